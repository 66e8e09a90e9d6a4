"""What must always be so of results: one per ended order, legal, with metrics, and each closed trade reconciled; and
that versions only grow. Sources: rulings 23, 24 and 25.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import cast

import msgspec
from redis import Redis

from results.domain.outcomes import ResultState, result_id_of
from results.pipeline.facts import outcomes_of
from results.pipeline.hot_rows import HASH_PATTERNS, KEYS_PER_READ, scanned
from results.pipeline.invariants import Violation
from results.pipeline.invariants_fills import Fills, fill_violations, stream_fills
from results.pipeline.loss import Losses
from results.pipeline.portfolio_view import PortfolioView
from results.pipeline.reconcile import candidates_of
from results.pipeline.reconciled import reconciled_in_django
from results.pipeline.stream import START, OutboxStream, StreamEntry
from trading.domain.trades import Trade
from trading.stores import keys
from trading.stores.errors import WireError
from trading.stores.rows import ORDER_FILL, PAPER_TRADE, TRADE_RESULT
from trading.stores.wire.trade import FOREIGN

TRADES_PER_READ = 100
STATES = frozenset(ResultState)


class StreamVersions(msgspec.Struct):
    """The newest version of each row by what is still in the stream, and where versions do not grow along it."""

    newest: dict[tuple[str, str], int] = {}
    violations: list[Violation] = []


class KnownFills(msgspec.Struct, frozen=True):
    """The fills in the stream, and the highest version that a fill of a lost history may have (0: none was lost)."""

    in_stream: Fills
    lost_until: int


def stream_versions(client: Redis) -> StreamVersions:
    """Read the whole stream. To be called before records are read: they are then at that version or a newer one."""
    found = StreamVersions()
    rows: dict[tuple[str, str], bytes] = {}
    for entry in _entries(OutboxStream(client), START):
        table, row_id = (entry.fields.get(name, b"").decode(errors="backslashreplace") for name in (b"table", b"id"))
        subject = (table, row_id)
        version, row = _integer(entry.fields.get(b"version")), entry.fields.get(b"row", b"")
        if version is None:
            continue  # the log makes a dead letter of it
        before = found.newest.get(subject)
        if before is not None and version <= before and row != rows[subject]:
            sentence = f"version {version} of {subject[0]} {subject[1]} follows version {before} at {entry.stream_id}"
            found.violations.append(Violation("version monotony", keys.OUTBOX, sentence))
        found.newest[subject], rows[subject] = version, row
    return found


def waiting_trades(client: Redis) -> set[str]:
    """The closed trades that the reconciler has yet to see. To be called after trades were read."""
    raw = cast("bytes | None", client.get(keys.RECONCILE_POSITION))
    position = raw.decode().partition(" ")[2] if raw else START
    return {each.trade_id for entry in _entries(OutboxStream(client), position) for each in candidates_of(entry)}


def result_violations(
    client: Redis, views: Sequence[PortfolioView], versions: StreamVersions, waiting: Collection[str]
) -> list[Violation]:
    """Everything about results and versions that does not hold, over all portfolios."""
    found = [*versions.violations, *_illegal_hashes(client, versions.newest)]
    loss = Losses(client).last()
    fills = KnownFills(stream_fills(client), loss.durable.get(ORDER_FILL, 0) if loss else 0)
    for view in views:
        ours = [trade for trade in view.closed_trades.values() if trade.origin != FOREIGN]
        for batch in _batches(ours):
            found += _of_closed(client, view.keys, batch, waiting, fills)
        for batch in _batches([trade for trade in view.open_trades.values() if trade.origin != FOREIGN]):
            found += _of_open(client, view.keys, batch, fills)
        for trades, key_of in (
            (view.open_trades, view.keys.active_trade),
            (view.closed_trades, view.keys.closed_trade),
        ):
            for trade_id, trade in trades.items():
                found += _older(key_of(trade_id), PAPER_TRADE, trade_id, trade.version, versions.newest)
    return found


def _batches(trades: Sequence[Trade]) -> Iterable[Sequence[Trade]]:
    return [trades[start : start + TRADES_PER_READ] for start in range(0, len(trades), TRADES_PER_READ)]


def _of_open(client: Redis, of: keys.PortfolioKeys, trades: Sequence[Trade], fills: KnownFills) -> Iterable[Violation]:
    try:
        return list(fill_violations(trades, outcomes_of(client, trades), fills.in_stream, fills.lost_until))
    except WireError as error:
        if len(trades) == 1:
            return [Violation("results", of.active_trade(trades[0].id), str(error))]
        return [violation for trade in trades for violation in _of_open(client, of, [trade], fills)]


def _of_closed(
    client: Redis, of: keys.PortfolioKeys, trades: Sequence[Trade], waiting: Collection[str], fills: KnownFills
) -> Iterable[Violation]:
    try:
        outcomes = outcomes_of(client, trades)
    except WireError as error:
        if len(trades) == 1:
            return [Violation("results", of.closed_trade(trades[0].id), str(error))]
        return [violation for trade in trades for violation in _of_closed(client, of, [trade], waiting, fills)]
    found = list(fill_violations(trades, outcomes, fills.in_stream, fills.lost_until))
    for trade in trades:
        for order in trade.all_orders:
            result_id = result_id_of(order.id)
            sentence = f"order {order.id} of closed trade {trade.id} has none"
            if result_id not in outcomes[trade.id].results:
                found.append(Violation("results", keys.result(result_id), sentence))
            if result_id not in outcomes[trade.id].metrics:
                found.append(Violation("results", keys.result_metrics(result_id), sentence))
    found += _unreconciled(client, [trade.id for trade in trades if trade.id not in waiting])
    return found


def _unreconciled(client: Redis, trade_ids: Sequence[str]) -> Iterable[Violation]:
    pipeline = client.pipeline(transaction=False)
    for trade_id in trade_ids:
        pipeline.exists(keys.reconciliation(trade_id))
    lacking = [trade_id for trade_id, exists in zip(trade_ids, pipeline.execute(), strict=True) if not exists]
    durable = reconciled_in_django(lacking)  # its hash may have left Redis (ruling 28)
    for trade_id in lacking:
        if trade_id not in durable:
            yield Violation("reconciliation", keys.reconciliation(trade_id), f"closed trade {trade_id} has none")


def _illegal_hashes(client: Redis, versions: Mapping[tuple[str, str], int]) -> Iterable[Violation]:
    for table, pattern in HASH_PATTERNS.items():
        names = list(scanned(client, pattern, "hash"))
        for start in range(0, len(names), KEYS_PER_READ):
            batch = names[start : start + KEYS_PER_READ]
            pipeline = client.pipeline(transaction=False)
            for key in batch:
                pipeline.hmget(key, "state", "version")
            for key, (state, version) in zip(batch, pipeline.execute(), strict=True):
                if table == TRADE_RESULT and (state or b"").decode() not in STATES:
                    yield Violation("legal states", key, f"state is {state!r}")
                number = _integer(version)
                if number is not None:
                    yield from _older(key, table, keys.id_of(key), number, versions)


def _older(
    key: str, table: str, row_id: str, version: int, versions: Mapping[tuple[str, str], int]
) -> Iterable[Violation]:
    newest = versions.get((table, row_id), version)
    if version < newest:
        yield Violation("version monotony", key, f"version is {version}, the outbox has {newest}")


def _entries(stream: OutboxStream, position: str) -> Iterable[StreamEntry]:
    while batch := stream.after(position):
        yield from batch
        position = batch[-1].stream_id


def _integer(raw: bytes | None) -> int | None:
    try:
        return None if raw is None else int(raw)
    except ValueError:
        return None
