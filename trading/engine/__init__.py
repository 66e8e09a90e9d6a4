"""The engine: it alone makes fills and writes trades and portfolio state."""
