"""Exact numbers and times, the ground that every other module stands on.

Money, prices, quantities and ratios are `Decimal` with at most 12 decimals (ruling 1); a value that we compute
is rounded once, half-even, when it is made. Time is an integer of microseconds since the epoch, UTC (ruling 2).
"""

from __future__ import annotations

import datetime
import decimal
from decimal import Decimal

PLACES = 12
QUANTUM = Decimal(1).scaleb(-PLACES)
DIGITS = 76  # two DECIMAL(38, 12) factors multiply without rounding
MICROSECONDS = 1_000_000
DAY_US = 86_400 * MICROSECONDS
ZERO = Decimal(0)

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
NAIVE_EPOCH = EPOCH.replace(tzinfo=None)

# Python's 28 digits would round a product of two prices. Threads that start later inherit the default context; a
# function whose whole promise is exactness names the context, whoever calls it.
decimal.DefaultContext.prec = DIGITS
decimal.setcontext(decimal.DefaultContext)
EXACT = decimal.Context(prec=DIGITS, rounding=decimal.ROUND_HALF_EVEN)


def round12(value: Decimal) -> Decimal:
    """The value, half-even at 12 decimals, without trailing zeros. Source: ruling 1."""
    if not value:
        return ZERO
    rounded = value.quantize(QUANTUM, context=EXACT)
    return plain(rounded)


def plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros and without an exponent: 5E+3 becomes 5000, 1.50 becomes 1.5."""
    if not value:
        return ZERO
    short = value.normalize(EXACT)
    return short.quantize(Decimal(1), context=EXACT) if short.as_tuple().exponent > 0 else short  # type: ignore[operator]


def text_of(value: Decimal) -> str:
    """The number as plain text without an exponent, with the digits it has."""
    text = str(value)  # takes a third of the time, and is the same where there is no exponent
    return format(value, "f") if "E" in text else text


def datetime_of(time_us: int) -> datetime.datetime:
    """Microseconds since the epoch as an aware UTC datetime, exactly."""
    return EPOCH + datetime.timedelta(microseconds=time_us)


def us_of_datetime(moment: datetime.datetime) -> int:
    """An aware datetime as microseconds since the epoch, exactly (no float on the way)."""
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def iso_of(time_us: int) -> str:
    """ISO-8601 with `Z`: `2025-03-22T10:16:00Z`, microseconds only where there are any. Source: ruling 2."""
    return (NAIVE_EPOCH + datetime.timedelta(microseconds=time_us)).isoformat() + "Z"


def us_of_iso(text: str) -> int:
    """Microseconds since the epoch of an ISO-8601 text; one without an offset is UTC.

    Raises ValueError, with the text in its sentence, for anything else.
    """
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"not an ISO-8601 time: {text!r}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return us_of_datetime(moment)


def day_of(time_us: int) -> datetime.date:
    """The UTC day of an instant."""
    return datetime_of(time_us).date()


def day_start_us(day: datetime.date) -> int:
    """The first microsecond of a UTC day."""
    return us_of_datetime(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC))
