"""What must always be so of results: one per ended order, legal, with metrics, and each closed trade reconciled; and
that versions only grow. Sources: rulings 23, 24 and 25.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec
from redis import Redis

from results.domain.outcomes import ResultState, result_id_of
from results.pipeline.batches import in_batches
from results.pipeline.durable_rows import BY_TRADE, DurableRows, entered
from results.pipeline.invariants.fills import Fills, fill_violations
from results.pipeline.invariants.portfolios import Violation
from results.pipeline.invariants.stream_look import StreamLook, integer_of
from results.pipeline.invariants.view import PortfolioView
from results.pipeline.loss import Losses
from results.pipeline.reconcile.facts import outcomes_of
from results.pipeline.verify.hot_rows import HASH_PATTERNS, KEYS_PER_READ, RECONCILIATION, scanned
from results.stores.gate import Gate
from trading.domain.trades import Trade
from trading.stores import keys
from trading.stores.errors import WireError
from trading.stores.keys import PortfolioKeys
from trading.stores.rows import ORDER_FILL, PAPER_TRADE, TRADE_RESULT
from trading.stores.wire.trade import FOREIGN

TRADES_PER_READ = 500  # of days near each other: the log, which has most of a long history, is opened for each batch
STATES = frozenset(ResultState)


class Known(msgspec.Struct, frozen=True):
    """What trades are compared with: the fills in the stream, the highest version that a fill of a lost history may
    have (0: none was lost), and the durable rows."""

    fills: Fills
    lost_until: int
    durable: DurableRows


def result_violations(
    client: Redis, gate: Gate, views: Sequence[PortfolioView], stream: StreamLook, waiting: Collection[str]
) -> list[Violation]:
    """Everything about results and versions that does not hold, over all portfolios; `waiting` are closed trades that
    the reconciler has yet to see. Raises like `DurableRows`."""
    found = [*stream.violations, *_illegal_hashes(client, stream.versions)]
    loss = Losses(client).last()
    known = Known(stream.fills, loss.durable.get(ORDER_FILL, 0) if loss else 0, DurableRows(gate))
    for view in views:
        for batch in _in_batches(view.closed_trades):
            found += _of_closed(client, view.keys, batch, waiting, known)
        for batch in _in_batches(view.open_trades):
            found += _of_open(client, view.keys, batch, known)
        for trades, key_of in (
            (view.open_trades, view.keys.active_trade),
            (view.closed_trades, view.keys.closed_trade),
        ):
            for trade_id, trade in trades.items():
                found += _older(key_of(trade_id), PAPER_TRADE, trade_id, trade.version, stream.versions)
    return found


def _in_batches(trades: Mapping[str, Trade]) -> Iterator[list[Trade]]:
    ours = (trade for trade in trades.values() if trade.origin != FOREIGN)
    return in_batches(sorted(ours, key=lambda trade: trade.entry_us), TRADES_PER_READ)


def _of_open(client: Redis, of: PortfolioKeys, trades: Sequence[Trade], known: Known) -> Iterable[Violation]:
    try:
        outcomes = outcomes_of(client, trades, known.durable)
    except WireError as error:
        if len(trades) == 1:
            return [Violation("results", of.active_trade(trades[0].id), str(error))]
        return [violation for trade in trades for violation in _of_open(client, of, [trade], known)]
    return list(fill_violations(trades, outcomes, known.fills, known.lost_until, known.durable))


def _of_closed(
    client: Redis, of: PortfolioKeys, trades: Sequence[Trade], waiting: Collection[str], known: Known
) -> Iterable[Violation]:
    try:
        outcomes = outcomes_of(client, trades, known.durable)
    except WireError as error:
        if len(trades) == 1:
            return [Violation("results", of.closed_trade(trades[0].id), str(error))]
        return [violation for trade in trades for violation in _of_closed(client, of, [trade], waiting, known)]
    found = list(fill_violations(trades, outcomes, known.fills, known.lost_until, known.durable))
    for trade in trades:
        for order in trade.all_orders:
            result_id = result_id_of(order.id)
            sentence = f"order {order.id} of closed trade {trade.id} has none"
            if result_id not in outcomes[trade.id].results:
                found.append(Violation("results", keys.result(result_id), sentence))
            if result_id not in outcomes[trade.id].metrics:
                found.append(Violation("results", keys.result_metrics(result_id), sentence))
    found += _unreconciled(client, [trade for trade in trades if trade.id not in waiting], known.durable)
    return found


def _unreconciled(client: Redis, trades: Sequence[Trade], durable: DurableRows) -> Iterable[Violation]:
    pipeline = client.pipeline(transaction=False)
    for trade in trades:
        pipeline.exists(keys.reconciliation(trade.id))
    lacking = [trade for trade, exists in zip(trades, pipeline.execute(), strict=True) if not exists]
    rows = durable.of_trades(RECONCILIATION, entered(lacking))  # its hash may have left Redis (ruling 28)
    reconciled = {row[BY_TRADE] for row in rows}
    for trade in lacking:
        if trade.id not in reconciled:
            yield Violation("reconciliation", keys.reconciliation(trade.id), f"closed trade {trade.id} has none")


def _illegal_hashes(client: Redis, versions: Mapping[tuple[str, str], int]) -> Iterable[Violation]:
    for table, pattern in HASH_PATTERNS.items():
        for batch in in_batches(scanned(client, pattern, "hash"), KEYS_PER_READ):
            pipeline = client.pipeline(transaction=False)
            for key in batch:
                pipeline.hmget(key, "state", "version")
            for key, (state, version) in zip(batch, pipeline.execute(), strict=True):
                if table == TRADE_RESULT and (state or b"").decode() not in STATES:
                    yield Violation("legal states", key, f"state is {state!r}")
                number = integer_of(version)
                if number is not None:
                    yield from _older(key, table, keys.id_of(key), number, versions)


def _older(
    key: str, table: str, row_id: str, version: int, versions: Mapping[tuple[str, str], int]
) -> Iterable[Violation]:
    newest = versions.get((table, row_id), version)
    if version < newest:
        yield Violation("version monotony", key, f"version is {version}, the outbox has {newest}")
