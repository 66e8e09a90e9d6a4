"""SimulatedOrder <-> Order. A foreign order says neither leg nor role: its place in the trade does."""

from __future__ import annotations

from trading.domain.orders import Leg, Order, OrderStatus, QueuePosition, Role, Side
from trading.domain.units import ZERO, round12
from trading.stores.wire.documents import OrderDocument, QueuePositionDocument
from trading.stores.wire.records import (
    given,
    instant_us,
    optional_instant_us,
    optional_seconds_of,
    seconds_of,
)

SIDE = {"Long": Side.BUY, "Short": Side.SELL}


def order_of(document: OrderDocument, leg: Leg, role: Role) -> Order:
    """The order; `leg` and `role` hold where the document does not say."""
    side = SIDE[document.side]
    filled = document.size if document.status is OrderStatus.FILLED else ZERO
    filled = given(document.filled_size, filled)
    cash = round12(-side.sign * (document.fill_price or ZERO) * filled)
    return Order(
        id=document.id,
        exchange=document.exchange,
        symbol=document.symbol,
        leg=given(document.leg, leg),
        role=given(document.role, role),
        side=side,
        order_type=document.order_type,
        price=document.price,
        quantity=document.size,
        created_us=instant_us(document.created_at, document.created_at_us),
        status=document.status,
        queue=queue_of(document.queue_position),
        accepted_us=given(document.accepted_at_us, None),
        filled_us=optional_instant_us(document.filled_at, document.filled_at_us),
        ended_us=given(document.ended_at_us, None),
        fill_price=document.fill_price,
        filled_quantity=filled,
        cash=given(document.cash, cash),
        fee=given(document.fee, ZERO),
        liquidity=given(document.liquidity, None),
    )


def order_document(order: Order) -> OrderDocument:
    """The document of an order."""
    return OrderDocument(
        id=order.id,
        exchange=order.exchange,
        symbol=order.symbol,
        side="Long" if order.side is Side.BUY else "Short",
        order_type=order.order_type,
        price=order.price,
        size=order.quantity,
        queue_position=queue_document(order.queue),
        created_at=seconds_of(order.created_us),
        filled_at=optional_seconds_of(order.filled_us),
        fill_price=order.fill_price,
        status=order.status,
        created_at_us=order.created_us,
        filled_at_us=order.filled_us,
        accepted_at_us=order.accepted_us,
        ended_at_us=order.ended_us,
        leg=order.leg,
        role=order.role,
        filled_size=order.filled_quantity,
        cash=order.cash,
        fee=order.fee,
        liquidity=order.liquidity,
    )


def queue_of(document: QueuePositionDocument | None) -> QueuePosition | None:
    """The place in the queue, or None for an order that never rested."""
    if document is None:
        return None
    return QueuePosition(
        price=document.price,
        cumulative_volume=document.cumulative_volume_at_price,
        resting_depth=document.resting_depth_at_entry,
        fill_threshold_fraction=document.fill_threshold_pct,
        is_filled=document.is_filled,
        at_front=given(document.at_front, document.is_filled),
        volume_beyond=given(document.volume_beyond_threshold, ZERO),
    )


def queue_document(queue: QueuePosition | None) -> QueuePositionDocument | None:
    """The document of a place in the queue."""
    if queue is None:
        return None
    return QueuePositionDocument(
        price=queue.price,
        cumulative_volume_at_price=queue.cumulative_volume,
        resting_depth_at_entry=queue.resting_depth,
        fill_threshold_pct=queue.fill_threshold_fraction,
        is_filled=queue.is_filled,
        at_front=queue.at_front,
        volume_beyond_threshold=queue.volume_beyond,
    )
