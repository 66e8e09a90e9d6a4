"""The units of trading: exact decimals and microseconds, and the two measures of a spread.

The ground rules (12 decimals half-even, microseconds UTC) are those of `results.domain.units`.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from results.domain.units import (
    DAY_US,
    MICROSECONDS,
    ZERO,
    datetime_of,
    day_of,
    day_start_us,
    iso_of,
    plain,
    round12,
    text_of,
    us_of_iso,
)

__all__ = [
    "BPS",
    "DAY_US",
    "MICROSECONDS",
    "MICROSECONDS_PER_MS",
    "ZERO",
    "datetime_of",
    "day_of",
    "day_start_us",
    "floor_to_step",
    "iso_of",
    "plain",
    "round12",
    "text_of",
    "us_of_iso",
]

BPS = Decimal(10_000)
MICROSECONDS_PER_MS = 1_000


def floor_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `quantity`; both in base asset, step positive."""
    return plain((quantity / step).to_integral_value(ROUND_FLOOR) * step)
