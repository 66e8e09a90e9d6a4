"""Benchmarks: each is a ratio against a named bare operation, both measured in the same run, turn by turn.

    python -m bench [NAME ...] [--json] [--turns N] [--minutes N]

The machine may be shared and noisy, so the median of the ratios is told, with the smallest and the largest. What the
figures mean, and what was measured: docs/benchmarks.md.
"""
