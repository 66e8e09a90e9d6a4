"""Fills with their evidence, and shadow fills, as canonical rows.

Both are written once. Only shadows that a restart cut off may go on and be written again: the version, which is the
instant until which they were watched, tells which row is the later one.
"""

from __future__ import annotations

from results.domain.outcomes import result_id_of
from trading.domain.evidence import OrderFill, encode_evidence
from trading.domain.shadow import ShadowFill
from trading.domain.units import day_of
from trading.stores.rows import Row


def fill_row(fill: OrderFill, portfolio: str) -> Row:
    """A row of `order_fill`; a fill never changes."""
    order = fill.order
    return {
        "id": fill.id,
        "trade_id": fill.trade_id,
        "order_id": order.id,
        "result_id": result_id_of(order.id),
        "portfolio": portfolio,
        "exchange": order.exchange,
        "symbol": order.symbol,
        "leg": order.leg.value,
        "role": order.role.value,
        "direction": order.side.value,
        "liquidity": fill.liquidity.value,
        "price": fill.price,
        "quantity": fill.quantity,
        "order_quantity": order.quantity,
        "fee": fill.fee,
        "sent_at": order.created_us,
        "accepted_at": order.accepted_us,
        "filled_at": fill.filled_us,
        "evidence": None if fill.evidence is None else encode_evidence(fill.evidence),
        "version": 1,
        "day": day_of(fill.filled_us),
    }


def shadow_row(shadow: ShadowFill, portfolio: str) -> Row:
    """A row of `shadow_fill`; its version is the instant until which it was watched."""
    at_20, at_50, at_100, through = shadow.filled_us
    return {
        "id": shadow.id,
        "trade_id": shadow.trade_id,
        "order_id": shadow.order_id,
        "portfolio": portfolio,
        "exchange": shadow.exchange,
        "symbol": shadow.symbol,
        "leg": shadow.leg.value,
        "role": shadow.role.value,
        "direction": shadow.side.value,
        "price": shadow.price,
        "quantity": shadow.quantity,
        "depth": shadow.depth,
        "volume": shadow.volume,
        "accepted_at": shadow.accepted_us,
        "leg_out_ms": shadow.leg_out_ms,
        "filled_20_at": at_20,
        "filled_50_at": at_50,
        "filled_100_at": at_100,
        "filled_through_at": through,
        "watched_until": shadow.watched_until_us,
        "version": shadow.watched_until_us,
        "day": day_of(shadow.accepted_us),
    }
