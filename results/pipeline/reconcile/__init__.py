"""What a closed trade was meant to be against what came of it."""
