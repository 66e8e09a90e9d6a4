"""What fills make of a result: filled quantity, average price and commission of every order that has ended.

A result is compared with its order in the trade's record, and with the sum of the order's `order_fill` rows; those are
in the stream, or, once the stream has dropped them, in the durable stores. Quantities and commissions must be the same
to the last place; an average of rounded fill prices may differ by ROUNDING. Sources: rulings 1, 14 and 23.

After a loss of history the durable stores have fills that Redis lost beside those by which the engine filled the order
anew. They are told as LOST_HISTORY and are no violation: rows not above the versions of then and no longer in the
stream, without which the fills make the result, which is the one in the trade's record. Source: ruling 29.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations

from results.domain.outcomes import TradeResult, result_id_of
from results.domain.units import ZERO, round12
from results.pipeline.canonical_rows import Row
from results.pipeline.durable_rows import DurableRows, entered
from results.pipeline.invariants.portfolios import Violation, shown
from results.pipeline.reconcile.facts import Outcomes
from trading.domain.orders import Order
from trading.domain.trades import Trade
from trading.stores import keys
from trading.stores.rows import ORDER_FILL

LOST_HISTORY = "lost history"  # the rule of what is told and breaks none
LOST_MAX = 10  # fills of one order among which lost ones are looked for
ROUNDING = Decimal("1E-12")  # half a quantum of the prices of the fills, and half of one of their average

Fills = dict[str, dict[str, Row]]  # by trade id and fill id
Figures = dict[str, Decimal]


def fill_violations(
    trades: Sequence[Trade],
    outcomes: Mapping[str, Outcomes],
    from_stream: Fills,
    lost_until: int,
    durable: DurableRows,
) -> Iterator[Violation]:
    """Where the results of ended orders are not what their fills make, and fills of a lost history, which have versions
    up to `lost_until` (0: none was lost). A trade of which no fill was ever kept is compared with its record alone: it
    is older than the table. Raises like `durable`."""
    fills = _with_durable(trades, from_stream, durable)
    for trade in trades:
        for order in trade.all_orders:
            result = outcomes[trade.id].results.get(result_id_of(order.id))
            if order.is_pending or result is None:
                continue
            of_record = _differences(trade, result, _of_record(order), "the trade's record says", ZERO)
            yield from of_record
            mine = [row for row in fills[trade.id].values() if row["order_id"] == order.id]
            of_fills = _of_those(trade, result, mine) if fills[trade.id] else []
            still = from_stream.get(trade.id, {})
            old = [row for row in mine if row["version"] <= lost_until and row["id"] not in still]
            lost = _lost(trade, result, mine, old) if of_fills and not of_record else ()
            yield from (_told(trade, row) for row in lost)
            yield from () if lost else of_fills


def _of_those(trade: Trade, result: TradeResult, rows: Sequence[Row]) -> list[Violation]:
    return _differences(trade, result, _of_fills(rows), f"its fills ({len(rows)}) make", ROUNDING)


def _lost(trade: Trade, result: TradeResult, rows: Sequence[Row], old: Sequence[Row]) -> Sequence[Row]:
    """The fewest of the old rows without which the fills make the result; none where there are no such."""
    for count in range(1, min(len(old), LOST_MAX) + 1):
        for gone in combinations(old[:LOST_MAX], count):
            if not _of_those(trade, result, [row for row in rows if row not in gone]):
                return gone
    return ()


def _told(trade: Trade, row: Row) -> Violation:
    filled = f"{shown(row['quantity'])} at {shown(row['price'])}"
    sentence = f"trade {trade.id}, order {row['order_id']}: fill {row['id']} ({filled}) is of a history that Redis lost"
    return Violation(LOST_HISTORY, keys.result(result_id_of(row["order_id"])), sentence)


def _differences(trade: Trade, result: TradeResult, should: Figures, source: str, rounding: Decimal) -> list[Violation]:
    found = []
    for name, value in should.items():
        told = getattr(result, name)
        if abs(told - value) > (rounding if name == "execution_price" else ZERO):
            sentence = f"trade {trade.id}, order {result.order_id}: {name} is {shown(told)}, {source} {shown(value)}"
            found.append(Violation("fills", keys.result(result.result_id), sentence))
    return found


def _of_record(order: Order) -> Figures:
    price = order.fill_price if order.filled_quantity else ZERO
    return {"filled_quantity": order.filled_quantity, "execution_price": price or ZERO, "commission": order.fee}


def _of_fills(rows: Sequence[Row]) -> Figures:
    quantity = sum((row["quantity"] for row in rows), ZERO)
    cost = sum((row["quantity"] * row["price"] for row in rows), ZERO)
    return {
        "filled_quantity": quantity,
        "execution_price": round12(cost / quantity) if quantity else ZERO,
        "commission": sum((row["fee"] for row in rows), ZERO),
    }


def _with_durable(trades: Sequence[Trade], from_stream: Fills, durable: DurableRows) -> Fills:
    found = {trade.id: dict(from_stream.get(trade.id, {})) for trade in trades}
    for row in durable.of_trades(ORDER_FILL, entered(trades)):
        found[row["trade_id"]].setdefault(row["id"], row)
    return found
