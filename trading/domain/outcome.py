"""From an ended order to its result: the documents' trade_result and result_metrics. Source: ruling 23."""

from __future__ import annotations

from results.domain.outcomes import (
    ResultMetrics,
    ResultState,
    TradeResult,
    result_id_of,
    slippage_cost_bps,
    slippage_of,
)
from trading.domain.orders import Liquidity, Order, OrderStatus
from trading.domain.pnl import order_pnl
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS_PER_MS, ZERO


def result_state(order: Order) -> ResultState:
    """Executed when nothing remains, failed when nothing was filled, else partially filled."""
    if order.status is OrderStatus.FILLED:
        return ResultState.EXECUTED
    if order.filled_quantity:
        return ResultState.PARTIALLY_FILLED
    return ResultState.PENDING if order.is_pending else ResultState.FAILED


def result_of(trade: Trade, order: Order) -> TradeResult:
    """The result of an order of the trade. A failed one has execution price 0 and no slippage."""
    executed = order.fill_price if order.filled_quantity else None
    return TradeResult(
        result_id=result_id_of(order.id),
        trade_id=trade.id,
        symbol=order.symbol,
        direction=order.side.value,
        lot_size=order.quantity,
        execution_price=ZERO if executed is None else executed,
        requested_price=order.price,
        slippage=None if executed is None else slippage_of(executed, order.price),
        pnl=order_pnl(trade, order),
        commission=order.fee,
        fees=ZERO,
        state=result_state(order),
        executed_us=order.filled_us if executed is not None and order.filled_us else order.ended_us or order.created_us,
        portfolio=trade.portfolio,
        exchange=order.exchange,
        leg=order.leg.value,
        role=order.role.value,
        order_id=order.id,
        filled_quantity=order.filled_quantity,
        slippage_cost_bps=None if executed is None else slippage_cost_bps(order.side.value, executed, order.price),
    )


def metrics_of(trade: Trade, order: Order, transit_us: int) -> ResultMetrics:
    """The execution metrics of an order: signal to last fill, acceptance to fill for a taker, and `transit_us`, its way
    to the venue and back."""
    executed_us = order.filled_us if order.filled_quantity else None
    took = order.liquidity is Liquidity.TAKER
    at_venue_ms = _ms_between(order.accepted_us, executed_us)
    return ResultMetrics(
        result_id=result_id_of(order.id),
        execution_latency_ms=_ms_between(order.created_us, executed_us),
        broker_latency_ms=at_venue_ms if took else None,
        network_latency_ms=transit_us // MICROSECONDS_PER_MS,
        slippage=None if order.fill_price is None else slippage_of(order.fill_price, order.price),
        created_us=order.ended_us or executed_us or order.created_us,
        portfolio=trade.portfolio,
        queue_wait_ms=None if took else at_venue_ms,
    )


def _ms_between(start_us: int | None, end_us: int | None) -> int | None:
    return None if start_us is None or end_us is None else (end_us - start_us) // MICROSECONDS_PER_MS
