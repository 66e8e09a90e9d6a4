"""A trade: a long leg and a short leg of the same base quantity, from its first order to its last fill.

States move only through `MOVES` (ruling 12): Pending -> Active -> Exiting -> Closed, or Pending -> Closed.
A trade is Pending until its legs are equal or flat, Active while it is hedged, Exiting while exit orders work.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from trading.domain.errors import InvalidTransition
from trading.domain.orders import Leg, Order
from trading.domain.units import ZERO


class TradeStatus(StrEnum):
    """The documents' trade states."""

    PENDING = "Pending"
    ACTIVE = "Active"
    EXITING = "Exiting"
    CLOSED = "Closed"


class ExitReason(StrEnum):
    """Why a trade was closed: the documents' four, and ours."""

    PROFIT_TARGET = "profit_target"
    LOSS_LIMIT = "loss_limit"
    FUNDING_CONVERGENCE = "funding_convergence"
    LEG_OUT = "leg_out"
    ENTRY_TIMEOUT = "entry_timeout"
    MANUAL = "manual"
    RESTART = "restart"


class Hedge(StrEnum):
    """What is done when one leg is filled and the other is not. Source: ruling 11."""

    UNWIND = "unwind"
    COMPLETE = "complete"


MOVES = frozenset(
    {
        (TradeStatus.PENDING, TradeStatus.ACTIVE),
        (TradeStatus.PENDING, TradeStatus.CLOSED),
        (TradeStatus.ACTIVE, TradeStatus.EXITING),
        (TradeStatus.EXITING, TradeStatus.CLOSED),
    }
)


class LegOut(msgspec.Struct, frozen=True):
    """One leg was filled and the other was not in time. `hedge_loss` is in quote asset, positive = a loss."""

    occurred_us: int
    filled_leg: Leg
    filled_us: int
    filled_price: Decimal
    unfilled_leg: Leg
    hedge: Hedge
    reason: str
    hedge_executed: bool = False
    hedge_price: Decimal | None = None
    hedge_loss: Decimal | None = None


class Trade(msgspec.Struct, frozen=True):
    """A paper trade. `position_size_usd` is the notional per leg (ruling 7); `orders` are the exits and hedges
    in the order in which they were sent; `version` counts its durable transitions from 1. `funding_long_until_us` is
    the last settlement that the long leg was paid for: 0 before the first one, None where an earlier version of the
    desk did not write it down."""

    id: str
    portfolio: str
    symbol: str
    long_exchange: str
    short_exchange: str
    entry_us: int
    entry_long_price: Decimal
    entry_short_price: Decimal
    entry_spread_bps: Decimal
    position_size_usd: Decimal
    quantity: Decimal
    funding_delta_entry: Decimal
    projected_profit_usd: Decimal
    long_order: Order
    short_order: Order
    projected_spread_usd: Decimal = ZERO
    projected_funding_usd: Decimal = ZERO
    projected_fees_usd: Decimal = ZERO
    orders: tuple[Order, ...] = ()
    status: TradeStatus = TradeStatus.PENDING
    exit_reason: str | None = None
    exit_us: int | None = None
    actual_profit_usd: Decimal | None = None
    leg_out: LegOut | None = None
    funding_long_usd: Decimal = ZERO
    funding_short_usd: Decimal = ZERO
    funding_long_until_us: int | None = 0
    funding_short_until_us: int | None = 0
    version: int = 1
    origin: str = "engine"

    @property
    def all_orders(self) -> tuple[Order, ...]:
        """Both entry orders, then exits and hedges."""
        return (self.long_order, self.short_order, *self.orders)

    @property
    def is_open(self) -> bool:
        """Whether its position size is still reserved of the capital."""
        return self.status is not TradeStatus.CLOSED

    def entry_order(self, leg: Leg) -> Order:
        """The entry order of a leg."""
        return self.long_order if leg is Leg.LONG else self.short_order

    def funding_until_us(self, leg: Leg) -> int | None:
        """The last settlement that a leg was paid for; see the class."""
        return self.funding_long_until_us if leg is Leg.LONG else self.funding_short_until_us

    def position(self, leg: Leg) -> Decimal:
        """The signed base quantity that a leg holds now: positive is long."""
        return sum((o.side.sign * o.filled_quantity for o in self.all_orders if o.leg is leg), ZERO)

    def with_order(self, order: Order) -> Trade:
        """A copy in which the order with this id is replaced, or appended to exits and hedges."""
        if order.id == self.long_order.id:
            return msgspec.structs.replace(self, long_order=order)
        if order.id == self.short_order.id:
            return msgspec.structs.replace(self, short_order=order)
        kept = tuple(order if order.id == other.id else other for other in self.orders)
        if order not in kept:
            kept = (*kept, order)
        return msgspec.structs.replace(self, orders=kept)

    def moved_to(self, status: TradeStatus) -> Trade:
        """A copy in the new state. Raises InvalidTransition for a pair that is not in MOVES."""
        if (self.status, status) not in MOVES:
            raise InvalidTransition(f"trade {self.id} is {self.status}, it cannot become {status}")
        return msgspec.structs.replace(self, status=status)
