"""How an order changes: accepted, filled (whole or in part), cancelled. Source: rulings 10, 11 and 14."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.domain.orders import Liquidity, Order, OrderStatus, QueuePosition
from trading.domain.units import round12


def accepted(order: Order, accepted_us: int, queue: QueuePosition | None = None) -> Order:
    """The order once it has arrived at the venue, with its place in the queue if it rests there."""
    order.require_pending("accepted")
    return msgspec.structs.replace(order, accepted_us=accepted_us, queue=queue)


def filled(
    order: Order, quantity: Decimal, cost: Decimal, time_us: int, fee_rate: Decimal, liquidity: Liquidity
) -> Order:
    """The order after one more fill of `quantity` base units for `cost` (exact sum of price * quantity).

    `fill_price` becomes the average over all fills, `fee` grows by cost * rate; both are rounded once to 12
    decimals, `cash` never. Raises InvalidTransition unless the order is pending.
    """
    order.require_pending("filled")
    quantity_filled = order.filled_quantity + quantity
    cash = order.cash - order.side.sign * cost
    done = quantity_filled >= order.quantity
    queue = order.queue
    if queue is not None and done and not queue.is_filled:
        queue = msgspec.structs.replace(queue, is_filled=True)
    return msgspec.structs.replace(
        order,
        filled_quantity=quantity_filled,
        cash=cash,
        fill_price=round12(abs(cash) / quantity_filled),
        fee=round12(order.fee + cost * fee_rate),
        filled_us=time_us,
        liquidity=liquidity,
        queue=queue,
        status=OrderStatus.FILLED if done else OrderStatus.PENDING,
        ended_us=time_us if done else None,
    )


def cancelled(order: Order, time_us: int) -> Order:
    """The order after its cancel arrived; what was filled before stays filled."""
    order.require_pending("cancelled")
    return msgspec.structs.replace(order, status=OrderStatus.CANCELLED, ended_us=time_us)
