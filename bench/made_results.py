"""Results as an engine records them, for the benchmarks of the pipeline: a result and its metrics for each order."""

from __future__ import annotations

import uuid
from decimal import Decimal

from results.domain.outcomes import ResultMetrics, ResultState, TradeResult, result_id_of
from results.domain.units import day_of
from results.stores.schema import TABLES
from trading.stores import rows
from trading.stores.outbox import Outbox

OUTBOX = Outbox(TABLES)
Made = tuple[TradeResult, ResultMetrics]
START_US = 1_731_000_000_000_000
STEP_US = 1_000


def made_results(first: int, count: int) -> list[Made]:
    """Results `first` to `first + count - 1`, a millisecond apart, each with an id of its own."""
    return [_made(number) for number in range(first, first + count)]


def _made(number: int) -> Made:
    order_id = str(uuid.UUID(int=(number << 64) | (4 << 76) | (2 << 62) | number))
    result_id, at_us = result_id_of(order_id), START_US + number * STEP_US
    price = Decimal(42_495_30 + number % 1_000).scaleb(-2)
    result = TradeResult(
        result_id=result_id,
        trade_id=str(uuid.UUID(int=(number // 4 << 64) | (4 << 76) | (2 << 62))),
        symbol="BTCUSDT",
        direction="buy" if number % 2 else "sell",
        lot_size=Decimal("0.117"),
        execution_price=price,
        requested_price=price - Decimal("0.1"),
        slippage=Decimal("0.1"),
        pnl=Decimal(0),
        commission=price * Decimal("0.0000234"),
        fees=Decimal(0),
        state=ResultState.EXECUTED,
        executed_us=at_us,
        portfolio="strategy",
        exchange="binance-usdm" if number % 2 else "bybit",
        leg="long" if number % 2 else "short",
        role="entry",
        order_id=order_id,
        filled_quantity=Decimal("0.117"),
        slippage_cost_bps=Decimal("0.023532101105"),
    )
    metrics = ResultMetrics(
        result_id=result_id,
        execution_latency_ms=120 + number % 400,
        broker_latency_ms=50,
        network_latency_ms=20,
        slippage=Decimal("0.1"),
        created_us=at_us,
        portfolio="strategy",
        queue_wait_ms=number % 400,
    )
    return result, metrics


def entries_of(result: TradeResult, metrics: ResultMetrics) -> list[dict[str, str]]:
    """Their entries of the outbox."""
    return [
        OUTBOX.entry(rows.TRADE_RESULT, rows.result_row(result, day_of(result.executed_us))),
        OUTBOX.entry(rows.RESULT_METRICS, rows.result_metrics_row(metrics, day_of(metrics.created_us))),
    ]
