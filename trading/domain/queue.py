"""Queue position: when does a resting order fill, and how much of it? Source: ruling 10.

A resting buy is hit by sellers: it counts prints at its price with aggressor sell, and a print strictly below its
price goes through it. A resting sell is the mirror image. The caller shows only prints strictly after acceptance.

The order's turn comes (`at_front`) when the threshold is reached or a print goes through its price. Then the whole
order fills, or as much as was printed beyond the threshold: of a print at the price what exceeds the volume that was
still ahead, of a print through the price all of it, because nothing is left ahead.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.domain.orders import QueuePosition, Side
from trading.domain.units import ZERO, floor_to_step

replace = msgspec.structs.replace


def join(price: Decimal, resting_depth: Decimal, fill_threshold_fraction: Decimal) -> QueuePosition:
    """The position of an order accepted behind `resting_depth` base units at its price."""
    return QueuePosition(price, ZERO, resting_depth, fill_threshold_fraction)


def hits(side: Side, price: Decimal, print_price: Decimal, aggressor: str) -> bool:
    """Whether a print reaches an order resting at `price`: from the opposite side, at the price or through it."""
    if aggressor == side.value:
        return False
    return print_price <= price if side is Side.BUY else print_price >= price


def ahead(queue: QueuePosition) -> Decimal:
    """The volume that still has to trade at the price before the order's own turn, in base asset."""
    if queue.at_front:
        return ZERO
    return max(ZERO, queue.fill_threshold_fraction * queue.resting_depth - queue.cumulative_volume)


def advance(
    queue: QueuePosition, side: Side, price: Decimal, quantity: Decimal, aggressor: str, whole: bool = True
) -> QueuePosition:
    """The position after a print of `quantity`; `at_front` once its turn has come, and `is_filled` with it if `whole`.

    With no depth ahead the first print that hits is enough. Returns the same object when the print does not count.
    """
    if queue.is_filled or not hits(side, queue.price, price, aggressor):
        return queue
    if price != queue.price:
        beyond = queue.volume_beyond + quantity
        return replace(queue, at_front=True, volume_beyond=beyond, is_filled=whole)
    before = ahead(queue)
    turn = quantity >= before
    return replace(
        queue,
        cumulative_volume=queue.cumulative_volume + quantity,
        at_front=turn,
        volume_beyond=queue.volume_beyond + max(ZERO, quantity - before),
        is_filled=turn and whole,
    )


def printed_fill(queue: QueuePosition, remaining: Decimal, step: Decimal) -> Decimal:
    """How much of `remaining` fills where fills are as large as what is printed: a multiple of `step`, or all of it."""
    if queue.volume_beyond >= remaining:
        return remaining
    return floor_to_step(queue.volume_beyond, step)


def used(queue: QueuePosition, quantity: Decimal) -> QueuePosition:
    """The position after a fill of `quantity` has used that much of the volume beyond the threshold."""
    return replace(queue, volume_beyond=max(ZERO, queue.volume_beyond - quantity))


def progress_fraction(queue: QueuePosition | None) -> float:
    """How far the order is on its way to its turn, from 0 to 1. For display."""
    if queue is None:
        return 0.0
    needed = queue.fill_threshold_fraction * queue.resting_depth
    if queue.is_filled or queue.at_front:
        return 1.0
    if not needed:
        return 0.0
    return min(1.0, float(queue.cumulative_volume / needed))
