"""What a reconciliation compares: a closed trade as its record tells it, and its results and metrics.

Results come from their Redis hashes, whose ids follow from the trade's orders; those that left Redis, and those that
name the trade under another id (a duplicate), come from the mirrored tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
from redis import Redis

from results.domain.outcomes import ResultMetrics, TradeResult, result_id_of
from results.domain.reconciliation import OrderFacts, TradeFacts
from results.domain.units import ZERO
from results.models import ResultMetrics as ResultMetricsRow
from results.models import TradeResult as TradeResultRow
from results.pipeline.fingerprints import canonical_row
from results.stores.schema import TABLES
from trading.domain.pnl import residual_tolerance, terms_of
from trading.domain.trades import Trade
from trading.stores import keys
from trading.stores.hashes import metrics_of_row, result_of_row, row_of_hash
from trading.stores.rows import RESULT_METRICS, TRADE_RESULT

Row = dict[str, Any]


class Outcomes(msgspec.Struct):
    """What is known of one trade's orders: results by id, and metrics by the same ids."""

    results: dict[str, TradeResult]
    metrics: dict[str, ResultMetrics]


def facts_of(trade: Trade) -> TradeFacts:
    """What a closed trade says of itself; the residual is of the profit that it reports."""
    orders = tuple(
        OrderFacts(order.id, order.exchange, order.leg.value, order.side.value, order.filled_quantity)
        for order in trade.all_orders
    )
    residual = (trade.actual_profit_usd or ZERO) - terms_of(trade).sum_of_terms
    return TradeFacts(trade.id, trade.portfolio, trade.symbol, orders, residual, residual_tolerance(trade))


def outcomes_of(client: Redis, trades: Sequence[Trade]) -> dict[str, Outcomes]:
    """The results and metrics of each trade, by trade id. Raises WireError for a hash that cannot be read."""
    wanted = {trade.id: [result_id_of(order.id) for order in trade.all_orders] for trade in trades}
    found = _durable(wanted)
    result_ids = sorted({result_id for ids in wanted.values() for result_id in ids})
    rows = _hot(client, TRADE_RESULT, keys.result, result_ids)
    metrics = _hot(client, RESULT_METRICS, keys.result_metrics, result_ids)
    for trade_id, ids in wanted.items():
        outcomes = found[trade_id]
        outcomes.results |= {each: result_of_row(rows[each]) for each in ids if each in rows}
        outcomes.metrics |= {each: metrics_of_row(metrics[each]) for each in ids if each in metrics}
    return found


def _hot(client: Redis, table: str, key_of: Any, result_ids: Sequence[str]) -> Mapping[str, Row]:
    pipeline = client.pipeline(transaction=False)
    for result_id in result_ids:
        pipeline.hgetall(key_of(result_id))
    answers = cast("list[dict[bytes, bytes]]", pipeline.execute())
    return {
        result_id: row_of_hash(TABLES[table], key_of(result_id), result_id, fields)
        for result_id, fields in zip(result_ids, answers, strict=True)
        if fields
    }


def _durable(wanted: Mapping[str, Iterable[str]]) -> dict[str, Outcomes]:
    found = {trade_id: Outcomes({}, {}) for trade_id in wanted}
    trade_of: dict[str, str] = {}
    results = TradeResultRow.objects.filter(trade_id__in=list(wanted)).order_by()
    for values in results.values(*_names(TRADE_RESULT)):
        result = result_of_row(canonical_row(TABLES[TRADE_RESULT], values))
        found[result.trade_id].results[result.result_id] = result
        trade_of[result.result_id] = result.trade_id
    metrics = ResultMetricsRow.objects.filter(result_id__in=list(trade_of)).order_by()
    for values in metrics.values(*_names(RESULT_METRICS)):
        measured = metrics_of_row(canonical_row(TABLES[RESULT_METRICS], values))
        found[trade_of[measured.result_id]].metrics[measured.result_id] = measured
    return found


def _names(table: str) -> list[str]:
    return [column.name for column in TABLES[table].columns]
