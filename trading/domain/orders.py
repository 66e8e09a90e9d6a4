"""Simulated orders and their place in the queue.

An order belongs to one leg of a trade and plays one role in it. It is created (sent), accepted when it has
arrived at the venue, and ends filled or cancelled; a cancelled order may have been filled in part.
Prices are quote per base, quantities base asset, fees and cash quote asset.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from trading.domain.errors import InvalidTransition
from trading.domain.units import ZERO


class Leg(StrEnum):
    """The two legs of a trade."""

    LONG = "long"
    SHORT = "short"

    @property
    def other(self) -> Leg:
        """The opposite leg."""
        return Leg.SHORT if self is Leg.LONG else Leg.LONG

    @property
    def direction(self) -> int:
        """+1 for the long leg, -1 for the short one: the sign of its position."""
        return 1 if self is Leg.LONG else -1


class Side(StrEnum):
    """What an order does. On the wire buy is `Long` and sell is `Short`."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for buy, -1 for sell: the sign of the position it adds."""
        return 1 if self is Side.BUY else -1


class Role(StrEnum):
    """Why an order was sent."""

    ENTRY = "entry"
    EXIT = "exit"
    HEDGE = "hedge"


class OrderType(StrEnum):
    """The documents' order types."""

    LIMIT = "Limit"
    MARKET = "Market"


class OrderStatus(StrEnum):
    """The documents' order states."""

    PENDING = "Pending"
    FILLED = "Filled"
    CANCELLED = "Cancelled"


class Liquidity(StrEnum):
    """Whether the order rested (maker) or crossed, walked or hedged (taker). Source: ruling 14."""

    MAKER = "maker"
    TAKER = "taker"


class QueuePosition(msgspec.Struct, frozen=True):
    """Where a resting order stands in the queue at its price. Source: ruling 10, redis-schema `QueuePosition`.

    `at_front`: its turn has come. `volume_beyond` is what was printed since then and has not filled anything yet; it
    matters only where fills are as large as what is printed.
    """

    price: Decimal
    cumulative_volume: Decimal
    resting_depth: Decimal
    fill_threshold_fraction: Decimal
    is_filled: bool = False
    at_front: bool = False
    volume_beyond: Decimal = ZERO


class Order(msgspec.Struct, frozen=True):
    """One simulated order. `fill_price` is the volume-weighted average, `cash` the signed exact sum of
    -sign * price * quantity over its fills (positive = received), `fee` a cost when positive."""

    id: str
    exchange: str
    symbol: str
    leg: Leg
    role: Role
    side: Side
    order_type: OrderType
    price: Decimal
    quantity: Decimal
    created_us: int
    status: OrderStatus = OrderStatus.PENDING
    queue: QueuePosition | None = None
    accepted_us: int | None = None
    filled_us: int | None = None
    ended_us: int | None = None
    fill_price: Decimal | None = None
    filled_quantity: Decimal = ZERO
    cash: Decimal = ZERO
    fee: Decimal = ZERO
    liquidity: Liquidity | None = None

    @property
    def instrument(self) -> str:
        """`venue:symbol`."""
        return f"{self.exchange}:{self.symbol}"

    @property
    def remaining(self) -> Decimal:
        """The quantity that is not filled yet, in base asset."""
        return self.quantity - self.filled_quantity

    @property
    def is_pending(self) -> bool:
        """Whether the order may still be filled."""
        return self.status is OrderStatus.PENDING

    def require_pending(self, move: str) -> None:
        """Raises InvalidTransition, naming the move, unless the order is pending."""
        if not self.is_pending:
            raise InvalidTransition(f"order {self.id} is {self.status}, it cannot be {move}")
