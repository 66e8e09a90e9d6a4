"""Queue position: when does a resting order fill? Source: ruling 10.

A resting buy is hit by sellers: it counts prints at its price with aggressor sell, and a print strictly below its
price goes through it. A resting sell is the mirror image. The caller shows only prints strictly after acceptance.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.domain.orders import QueuePosition, Side
from trading.domain.units import ZERO


def join(price: Decimal, resting_depth: Decimal, fill_threshold_fraction: Decimal) -> QueuePosition:
    """The position of an order accepted behind `resting_depth` base units at its price."""
    return QueuePosition(price, ZERO, resting_depth, fill_threshold_fraction)


def hits(side: Side, price: Decimal, print_price: Decimal, aggressor: str) -> bool:
    """Whether a print reaches an order resting at `price`: from the opposite side, at the price or through it."""
    if aggressor == side.value:
        return False
    return print_price <= price if side is Side.BUY else print_price >= price


def advance(queue: QueuePosition, side: Side, price: Decimal, quantity: Decimal, aggressor: str) -> QueuePosition:
    """The position after a print; `is_filled` once the threshold is reached or the print went through.

    With no depth ahead the first print that hits fills. Returns the same object when the print does not count.
    """
    if queue.is_filled or not hits(side, queue.price, price, aggressor):
        return queue
    if price != queue.price:
        return msgspec.structs.replace(queue, is_filled=True)
    cumulative = queue.cumulative_volume + quantity
    reached = cumulative >= queue.fill_threshold_fraction * queue.resting_depth
    return msgspec.structs.replace(queue, cumulative_volume=cumulative, is_filled=reached)


def progress_fraction(queue: QueuePosition | None) -> float:
    """How far the order is on its way to a fill, from 0 to 1. For display."""
    if queue is None:
        return 0.0
    needed = queue.fill_threshold_fraction * queue.resting_depth
    if queue.is_filled or not needed:
        return 1.0 if queue.is_filled else 0.0
    return min(1.0, float(queue.cumulative_volume / needed))
