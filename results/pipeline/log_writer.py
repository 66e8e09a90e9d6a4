"""From the stream into the durable log: exactly once, whatever is killed in between.

The epoch and the stream's end are looked at while the log is held, so that two syncs at once cannot disagree. A stream
that ends before the log's watermark, or whose epoch is another, lost its history: a new epoch begins, the stream is
read from its start, and what the log already has, row for row, is left out. Source: ruling 29.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import duckdb
import msgspec

from results.pipeline.entries import DeadLetter, DeadLetterBox, sorted_out
from results.pipeline.stream import START, OutboxStream, StreamEntry, StreamState, order_of
from results.stores import duck
from results.stores.rows import Entry
from results.stores.schema import TABLES, Table, quoted

Progress = Callable[[str, int], None]


class Written(msgspec.Struct, frozen=True):
    """What one call wrote: log rows, dead letters; whether an epoch began; where the log now is."""

    rows: int
    dead_letters: int
    epoch_began: bool
    stream: StreamState
    mark: duck.Watermark

    @property
    def is_level(self) -> bool:
        """Whether the log has the whole stream, as it was when this began."""
        return order_of(self.mark.stream_id) >= order_of(self.stream.last_id)


class LogWriter:
    """Appends the stream's entries to the log."""

    def __init__(self, stream: OutboxStream, dead_letters: DeadLetterBox, progress: Progress) -> None:
        self._stream = stream
        self._dead_letters = dead_letters
        self._progress = progress

    def write(self, connection: duckdb.DuckDBPyConnection, batches_max: int, at_us: int) -> Written:
        """Append at most `batches_max` batches of what is new, in one transaction."""
        before = duck.watermark(connection)
        stream, position, began = self._where(before)
        found: list[StreamEntry] = []
        for _ in range(batches_max):
            batch = self._stream.after(position)
            if not batch:
                break
            found += batch
            position = batch[-1].stream_id
        rows, letters = self._append(connection, found, stream.epoch, before, at_us) if found else (0, 0)
        return Written(rows, letters, began, stream, duck.watermark(connection))

    def _where(self, mark: duck.Watermark) -> tuple[StreamState, str, bool]:
        """The stream, from where to read it, and whether a new epoch began."""
        stream = self._stream.state()
        if not mark.epoch:
            return stream, START, False
        if stream.epoch == mark.epoch and order_of(stream.last_id) >= order_of(mark.stream_id):
            return stream, mark.stream_id, False
        if stream.epoch == mark.epoch:
            stream = StreamState(self._stream.begin_epoch(), stream.last_id)
        return stream, START, True

    def _append(
        self,
        connection: duckdb.DuckDBPyConnection,
        batch: Sequence[StreamEntry],
        epoch: str,
        before: duck.Watermark,
        at_us: int,
    ) -> tuple[int, int]:
        found = sorted_out(connection, batch, TABLES)
        self._dead_letters.put(found.dead, epoch)  # before the watermark passes them
        self._progress("dead_lettered", len(found.dead))
        is_known = before.epoch and before.epoch != epoch
        rows = without_known(connection, found.rows) if is_known else found.rows
        appended = duck.append(connection, rows, epoch, batch[-1].stream_id, at_us=at_us, columns=found.columns)
        self._progress("appended", appended.rows)
        by_id = {entry.stream_id: entry for entry in batch} if appended.rejected else {}
        refused = [DeadLetter(by_id[each.entry.stream_id], each.reason) for each in appended.rejected]
        self._dead_letters.put(refused, epoch)
        return appended.rows, len(found.dead) + len(refused)


def without_known(connection: duckdb.DuckDBPyConnection, entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose version of a row the log does not have yet, with the same hash."""
    identities = {entry.stream_id: _identity(TABLES[entry.table], entry) for entry in entries}
    known: set[tuple[str, str, int, int]] = set()
    for name in {entry.table for entry in entries}:
        wanted = sorted({key for table, key, _, _ in identities.values() if table == name})
        known |= {(name, *row) for row in _versions(connection, TABLES[name], wanted)}
    return [entry for entry in entries if identities[entry.stream_id] not in known]


def _identity(table: Table, entry: Entry) -> tuple[str, str, int, int]:
    row: Mapping[str, object] = msgspec.json.decode(entry.row, type=dict[str, object])
    return table.name, str(row[table.key]), int(str(row["version"])), int(str(row["row_hash"]))


def _versions(connection: duckdb.DuckDBPyConnection, table: Table, wanted: Sequence[str]) -> list[tuple[str, int, int]]:
    key = f"CAST({quoted(table.key)} AS VARCHAR)"
    query = f"SELECT {key}, version, row_hash FROM {quoted(table.log_name)} WHERE list_contains(?, {key})"
    return connection.execute(query, [list(wanted)]).fetchall()
