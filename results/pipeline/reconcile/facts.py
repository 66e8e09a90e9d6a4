"""What a reconciliation compares: a closed trade as its record tells it, and its results and metrics.

One whose record has left Redis (`trade_archive`) is told by its durable row, which has the residual, and by its fills,
which have its orders; an order without a fill is known by its own result alone.
Results come from their Redis hashes, whose ids follow from the trade's orders; those that left Redis, and those that
name the trade under another id (a duplicate), come from the durable stores.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec
from redis import Redis

from results.domain.outcomes import ResultMetrics, TradeResult, result_id_of
from results.domain.reconciliation import OrderFacts, TradeFacts
from results.domain.units import ZERO
from results.pipeline.durable_rows import BY_TRADE, DurableRows, Entered, entered
from results.stores.schema import TABLES
from trading.domain.pnl import residual_rounding, residual_tolerance, terms_of
from trading.domain.trades import Trade, TradeStatus
from trading.stores import keys
from trading.stores.hashes import metrics_of_row, result_of_row, row_of_hash
from trading.stores.rows import ORDER_FILL, PAPER_TRADE, RESULT_METRICS, TRADE_RESULT
from trading.stores.wire.trade import FOREIGN

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


def facts_of_archived(trade_ids: Collection[str], durable: DurableRows) -> tuple[list[TradeFacts], Entered]:
    """What the durable stores tell of trades of ours that were closed and left Redis, and the days of their entries.
    Raises like `durable`."""
    asked = {trade_id: [trade_id] for trade_id in trade_ids}
    found = durable.among(PAPER_TRADE, "id", asked, dict.fromkeys(asked, datetime.date.min))
    rows = [row for row in found if row["status"] == TradeStatus.CLOSED.value and row["origin"] != FOREIGN]
    of = {row["id"]: row["day"] for row in rows}
    orders: dict[str, dict[str, OrderFacts]] = {trade_id: {} for trade_id in of}
    for fill in durable.of_trades(ORDER_FILL, of):
        known = orders[fill[BY_TRADE]].get(fill["order_id"])
        quantity = fill["quantity"] + (known.filled_quantity if known else ZERO)
        orders[fill[BY_TRADE]][fill["order_id"]] = _order_of_row(fill, quantity)
    for result in durable.of_trades(TRADE_RESULT, of):
        if result["order_id"] is not None and result["result_id"] == result_id_of(result["order_id"]):
            orders[result[BY_TRADE]].setdefault(result["order_id"], _order_of_row(result, ZERO))
    return [_facts_of_row(row, tuple(orders[row["id"]].values())) for row in rows], of


def _order_of_row(row: Row, filled_quantity: Decimal) -> OrderFacts:
    return OrderFacts(row["order_id"], row["exchange"], row["leg"], row["direction"], filled_quantity)


def _facts_of_row(row: Row, orders: tuple[OrderFacts, ...]) -> TradeFacts:
    rounding = residual_rounding(sum((order.filled_quantity for order in orders), ZERO))
    return TradeFacts(row["id"], row["portfolio"], row["symbol"], orders, row["residual_usd"], rounding)


def outcomes_of(client: Redis, trades: Sequence[Trade], durable: DurableRows) -> dict[str, Outcomes]:
    """The results and metrics of each trade, by trade id. Raises WireError for a hash that cannot be read, and like
    `durable`."""
    orders = {trade.id: [order.id for order in trade.all_orders] for trade in trades}
    return outcomes_of_orders(client, orders, entered(trades), durable)


def outcomes_of_orders(
    client: Redis, orders: Mapping[str, Iterable[str]], of: Entered, durable: DurableRows
) -> dict[str, Outcomes]:
    """As `outcomes_of`, of these order ids by trade id."""
    wanted = {trade_id: list(map(result_id_of, ids)) for trade_id, ids in orders.items()}
    found = _durable(durable, wanted, of)
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


def _durable(durable: DurableRows, wanted: Mapping[str, Collection[str]], of: Entered) -> dict[str, Outcomes]:
    found = {trade_id: Outcomes({}, {}) for trade_id in wanted}
    for row in durable.of_trades(TRADE_RESULT, of):
        found[row[BY_TRADE]].results[row["result_id"]] = result_of_row(row)
    measured = {trade_id: {*ids, *found[trade_id].results} for trade_id, ids in wanted.items()}
    trade_of = {result_id: trade_id for trade_id, ids in measured.items() for result_id in ids}
    for row in durable.among(RESULT_METRICS, "result_id", measured, of):
        found[trade_of[row["result_id"]]].metrics[row["result_id"]] = metrics_of_row(row)
    return found
