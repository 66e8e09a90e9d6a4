"""Funding of perpetual positions: the ledger of settlements and the delta between two venues. Source: ruling 13.

A long pays a positive rate and a short receives it: `cash = -signed_quantity * mark_price * rate`.
"""

from __future__ import annotations

import uuid
from decimal import Decimal
from enum import StrEnum

import msgspec

from trading.domain.orders import Leg
from trading.domain.trades import Trade
from trading.domain.units import round12

FUNDING_NAMESPACE = uuid.UUID("0d7a6e53-93b0-5b43-8a4e-0f6e5f6f3c11")
DELTA_HOURS = 8


class Basis(StrEnum):
    """How the rate of a payment was known: the venue said it after the settlement; it was the last word before it; or
    nobody heard it, and the last rate and mark price that were known stand in."""

    SETTLED = "settled"
    ANNOUNCED = "announced"
    ESTIMATED = "estimated"


class FundingPayment(msgspec.Struct, frozen=True):
    """One leg at one settlement. `quantity` is signed base (negative = short), `cash` positive when received."""

    id: str
    trade_id: str
    exchange: str
    symbol: str
    leg: Leg
    settled_us: int
    quantity: Decimal
    mark_price: Decimal
    rate: Decimal
    interval_hours: int
    cash: Decimal
    basis: Basis = Basis.ANNOUNCED


def delta_8h(short_rate: Decimal, short_interval_h: int, long_rate: Decimal, long_interval_h: int) -> Decimal:
    """Short minus long rate, both normalised to 8 hours, as a ratio."""
    return round12(short_rate * DELTA_HOURS / short_interval_h - long_rate * DELTA_HOURS / long_interval_h)


def funding_cash(signed_quantity: Decimal, mark_price: Decimal, rate: Decimal) -> Decimal:
    """What one settlement pays into the account, in quote asset."""
    return round12(-signed_quantity * mark_price * rate)


def payment(
    trade: Trade,
    leg: Leg,
    rate: Decimal,
    interval_hours: int,
    mark_price: Decimal,
    settled_us: int,
    basis: Basis = Basis.ANNOUNCED,
) -> FundingPayment | None:
    """The payment of a leg at a settlement, or None if it held nothing at that instant.

    A fill at the very instant of the settlement does not count: `fill time < instant <= exit time`.
    """
    held = sum(
        (o.side.sign * o.filled_quantity for o in trade.all_orders if o.leg is leg and (o.filled_us or 0) < settled_us),
        Decimal(0),
    )
    if not held:
        return None
    return FundingPayment(
        id=str(uuid.uuid5(FUNDING_NAMESPACE, f"{trade.id}:{leg}:{settled_us}")),
        trade_id=trade.id,
        exchange=trade.entry_order(leg).exchange,
        symbol=trade.symbol,
        leg=leg,
        settled_us=settled_us,
        quantity=held,
        mark_price=mark_price,
        rate=rate,
        interval_hours=interval_hours,
        cash=funding_cash(held, mark_price, rate),
        basis=basis,
    )


def booked(trade: Trade, paid: FundingPayment) -> Trade:
    """The trade after a payment was added to its leg's funding, which is booked up to that settlement then."""
    if paid.leg is Leg.LONG:
        cash = round12(trade.funding_long_usd + paid.cash)
        return msgspec.structs.replace(trade, funding_long_usd=cash, funding_long_until_us=paid.settled_us)
    cash = round12(trade.funding_short_usd + paid.cash)
    return msgspec.structs.replace(trade, funding_short_usd=cash, funding_short_until_us=paid.settled_us)
