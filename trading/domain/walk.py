"""A taker's walk through the levels of a book. Source: ruling 10.

Levels come best first as (price, quantity). What is not there stays unfilled.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from trading.domain.orders import Side
from trading.domain.units import ZERO, round12


class Walk(msgspec.Struct, frozen=True):
    """What a walk took: `cost` is the exact sum of price * quantity, `taken` the (price, quantity) per level."""

    filled: Decimal
    cost: Decimal
    taken: tuple[tuple[Decimal, Decimal], ...]

    @property
    def average_price(self) -> Decimal | None:
        """Volume-weighted, half-even at 12 decimals; None when nothing was taken."""
        return round12(self.cost / self.filled) if self.filled else None

    @property
    def levels(self) -> int:
        """How many levels were touched."""
        return len(self.taken)


def walk(
    levels: Iterable[tuple[Decimal, Decimal]], quantity: Decimal, side: Side, limit: Decimal | None = None
) -> Walk:
    """Take up to `quantity` from the levels, none of them worse than `limit`.

    It asks for no level beyond the one that fills it: to a book that knows only its best one, the others cost a sort.
    """
    filled, cost, taken = ZERO, ZERO, []
    for price, available in levels:
        if limit is not None and is_worse(side, price, limit):
            break
        part = min(available, quantity - filled)
        if part > 0:
            filled, cost = filled + part, cost + part * price
            taken.append((price, part))
        if filled >= quantity:
            break
    return Walk(filled, cost, tuple(taken))


def is_worse(side: Side, price: Decimal, limit: Decimal) -> bool:
    """Whether a price is beyond what the limit allows: above it for a buy, below it for a sell."""
    return price > limit if side is Side.BUY else price < limit
