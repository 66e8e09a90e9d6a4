"""The spread between two venues, the size of a trade, and what it is expected to earn.

Source: rulings 6, 7 and 8. Spreads are basis points of the two prices' mid, positive is favourable at entry.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.domain.units import BPS, MICROSECONDS, ZERO, floor_to_step, round12


class FeeRates(msgspec.Struct, frozen=True):
    """What the four orders of a trade are expected to pay, as ratios of their notional."""

    long_entry: Decimal
    short_entry: Decimal
    long_exit: Decimal
    short_exit: Decimal


class FundingTerm(msgspec.Struct, frozen=True):
    """One leg's funding: the rate per settlement, its interval, and the next settlement."""

    rate: Decimal
    interval_hours: int
    next_settlement_us: int


class Projection(msgspec.Struct, frozen=True):
    """Expected profit in USD and its three terms; `net_usd = spread_usd + funding_usd - fees_usd`."""

    spread_usd: Decimal
    funding_usd: Decimal
    fees_usd: Decimal
    net_usd: Decimal


def spread_bps(long_price: Decimal, short_price: Decimal) -> Decimal:
    """(short - long) over their mid, in basis points. Source: ruling 6."""
    return round12((short_price - long_price) / ((short_price + long_price) / 2) * BPS)


def trade_size(
    position_size_usd: Decimal,
    long_price: Decimal,
    short_price: Decimal,
    long_step: Decimal,
    short_step: Decimal,
) -> Decimal:
    """The base quantity of both legs: the notional over the dearer price, floored to the coarser lot step.

    Zero when the notional does not buy one step. Source: ruling 7.
    """
    return floor_to_step(position_size_usd / max(long_price, short_price), max(long_step, short_step))


def settlements_until(term: FundingTerm | None, now_us: int, until_us: int) -> int:
    """How many settlement instants lie in (now, until]."""
    if term is None or term.interval_hours <= 0 or until_us < term.next_settlement_us:
        return 0
    interval_us = term.interval_hours * 3600 * MICROSECONDS
    missed = max(0, -((term.next_settlement_us - now_us - 1) // interval_us))
    first_us = term.next_settlement_us + missed * interval_us
    return 0 if until_us < first_us else (until_us - first_us) // interval_us + 1


def funding_expected_fraction(
    long: FundingTerm | None, short: FundingTerm | None, now_us: int, hold_seconds: int
) -> Decimal:
    """Funding expected within the holding time as a ratio of one leg's notional: a long pays, a short receives."""
    until_us = now_us + hold_seconds * MICROSECONDS
    received = settlements_until(short, now_us, until_us) * short.rate if short else ZERO
    paid = settlements_until(long, now_us, until_us) * long.rate if long else ZERO
    return received - paid


def project(
    quantity: Decimal, long_price: Decimal, short_price: Decimal, fees: FeeRates, funding_fraction: Decimal
) -> Projection:
    """Expected profit if the spread closes to zero at today's prices. Source: ruling 8."""
    spread_usd = round12((short_price - long_price) * quantity)
    funding_usd = round12((long_price + short_price) / 2 * quantity * funding_fraction)
    long_fees = long_price * quantity * (fees.long_entry + fees.long_exit)
    short_fees = short_price * quantity * (fees.short_entry + fees.short_exit)
    fees_usd = round12(long_fees + short_fees)
    return Projection(spread_usd, funding_usd, fees_usd, round12(spread_usd + funding_usd - fees_usd))
