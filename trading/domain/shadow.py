"""Shadow fills: the same resting order judged at 20%, 50% and 100% of the depth ahead, and by trade-through alone.

The share of the queue that has to trade before our turn is an assumption. What it costs to be wrong about it shows
when one order is judged by several assumptions on the same prints. `filled_us` has one instant (or None) for each of
`SHARES`, then one for trade-through; a print through the price fills every one of them, and with no depth ahead the
first print at the price fills all but the last. Source: ruling 10.
"""

from __future__ import annotations

import uuid
from decimal import Decimal

import msgspec

from trading.domain.orders import Leg, Role, Side

SHARES = (Decimal("0.2"), Decimal("0.5"), Decimal("1"))
NAMES = ("20%", "50%", "100%", "trade-through")
UNFILLED: tuple[int | None, ...] = (None, None, None, None)

SHADOW_NAMESPACE = uuid.UUID("b7e1b2f0-52b5-5a63-9d0d-8d3b0f4f7a35")


class ShadowFill(msgspec.Struct, frozen=True):
    """What the shadows of one order came to by `watched_until_us`. Quantities are base asset."""

    trade_id: str
    order_id: str
    exchange: str
    symbol: str
    leg: Leg
    role: Role
    side: Side
    price: Decimal
    quantity: Decimal
    depth: Decimal
    volume: Decimal
    accepted_us: int
    leg_out_ms: int
    filled_us: tuple[int | None, ...]
    watched_until_us: int

    @property
    def id(self) -> str:
        """The UUIDv5 of the order's shadows."""
        return str(uuid.uuid5(SHADOW_NAMESPACE, self.order_id))


def judged(
    filled_us: tuple[int | None, ...], depth: Decimal, volume: Decimal, is_through: bool, at_us: int
) -> tuple[int | None, ...]:
    """The instants after a print at `at_us`; `volume` is what has traded at the price, this print included."""
    if is_through:
        return tuple(at_us if filled is None else filled for filled in filled_us)
    reached = [volume >= share * depth for share in SHARES]
    return tuple(
        at_us if filled is None and hit else filled for filled, hit in zip(filled_us, (*reached, False), strict=True)
    )
