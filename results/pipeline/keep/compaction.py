"""Removing superseded versions from the DuckDB log, slice by slice.

A row of `<table>_log` goes when a newer version of its key is there, every follower has it, and it was taken in more
than a week ago. The newest version of each row stays, so the views, the followers and `verify_stores` see no change.
`trade_result` keeps all its versions: each transition of a result is kept (ruling 24). Each slice is a transaction of
its own; a compaction that is stopped anywhere has removed whole slices, and the next one goes on.
DuckDB gives the space of removed rows back to itself: the file grows no further until it is used up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import duckdb
import msgspec

from results.pipeline.follower import Follower
from results.stores import duck
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table, quoted

SEQS_PER_SLICE = 100_000  # a look at the keys of one table; the log is held for some 100 ms
SEQS_KEPT = 200_000  # behind what the last follower has: its marks name rows, by which it finds its place
KEPT_US = 7 * 86_400 * 1_000_000  # older copies of Redis may bring entries back; those of a week are recognised
KEPT_WHOLE = frozenset({"trade_result"})
PAUSE_SECONDS = 0.02  # in which whoever waits at the gate gets in

Removed = Callable[[str, int], None]  # (table, versions removed by a slice)


def no_slice(_table: str, _count: int) -> None:
    """Nobody watches."""


class Compacted(msgspec.Struct, frozen=True):
    """What a compaction did: versions removed by table, the size of the file before and after, whether it was through
    with everything."""

    removed: dict[str, int]
    bytes_before: int
    bytes_after: int
    seconds: float
    is_complete: bool


class Compaction:
    """Goes through the log from its beginning; keeps its place between calls, and begins anew after the end."""

    def __init__(self, gate: Gate, followers: Sequence[Follower], now_us: Callable[[], int]) -> None:
        self._gate = gate
        self._followers = followers
        self._now_us = now_us
        self._place: dict[str, int] = {}  # table -> the seq up to which it was looked at

    def run(self, seconds_max: float = float("inf"), on_slice: Removed = no_slice) -> Compacted:
        """Go on for about `seconds_max`, or to the end.

        Raises what `marks` of a follower that is away raises, and WarehouseMissing, WarehouseBusy, duckdb.Error.
        """
        started = time.monotonic()
        marks = [list(follower.marks()) for follower in self._followers]
        before_us, removed = self._now_us() - KEPT_US, dict[str, int]()
        with self._gate.read() as connection:
            confirmed = min(duck.resume(connection, each) for each in marks)
            changing = [table for table in TABLES.values() if _changes(connection, table)]
        bytes_before, is_complete = self._gate.path.stat().st_size, True
        for table, after_seq, last_seq in self._slices(changing, confirmed - SEQS_KEPT):
            if time.monotonic() - started > seconds_max:
                is_complete = False
                break
            with self._gate.write() as connection:
                count = remove_superseded(connection, table, after_seq, last_seq, before_us)
            self._place[table.name] = last_seq
            if count:
                removed[table.name] = removed.get(table.name, 0) + count
            on_slice(table.name, count)
            time.sleep(PAUSE_SECONDS)
        if is_complete:
            self._place.clear()
        seconds = round(time.monotonic() - started, 3)
        return Compacted(removed, bytes_before, self._gate.path.stat().st_size, seconds, is_complete)

    def _slices(self, tables: Sequence[Table], last_seq: int) -> Iterator[tuple[Table, int, int]]:
        for table in tables:
            for after_seq in range(self._place.get(table.name, 0), last_seq, SEQS_PER_SLICE):
                yield table, after_seq, min(after_seq + SEQS_PER_SLICE, last_seq)


def _changes(connection: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """Whether the table may have superseded versions to remove; DuckDB knows least and greatest without a look."""
    if table.name in KEPT_WHOLE:
        return False
    query = f"SELECT min(version) < max(version) FROM {quoted(table.log_name)}"
    return bool(connection.execute(query).fetchall()[0][0])


def remove_superseded(
    connection: duckdb.DuckDBPyConnection, table: Table, after_seq: int, last_seq: int, before_us: int
) -> int:
    """Remove the rows with after_seq < seq <= last_seq, taken in before `before_us`, of which the log has a newer
    version; how many."""
    log, key = quoted(table.log_name), quoted(table.key)
    found = connection.execute(
        f"DELETE FROM {log} USING (SELECT {key} AS k, arg_max(seq, (version, seq)) AS newest FROM {log} WHERE {key} IN "
        f"(SELECT {key} FROM {log} WHERE seq > $1 AND seq <= $2) GROUP BY {key}) kept WHERE {log}.{key} = kept.k "
        f"AND seq > $1 AND seq <= $2 AND seq <> kept.newest AND ingested_at < make_timestamp($3)",
        [after_seq, last_seq, before_us],
    ).fetchall()
    return int(found[0][0])
