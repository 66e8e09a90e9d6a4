"""From the stream into the durable log: exactly once, whatever is killed in between.

The epoch and the stream's end are looked at while the log is held, so that two syncs at once cannot disagree. When the
stream lost its history (`loss`), a new epoch begins, the stream is read from its start, and what the log already has,
row for row, is left out. Source: ruling 29.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import duckdb
import msgspec

from results.pipeline.entries import DeadLetter, DeadLetterBox, sorted_out
from results.pipeline.loss import Losses, Survivors
from results.pipeline.stream import START, OutboxStream, StreamEntry, StreamState, order_of
from results.stores import duck
from results.stores.schema import TABLES

Progress = Callable[[str, int], None]


class Written(msgspec.Struct, frozen=True):
    """What one call wrote: log rows, dead letters; whether an epoch began; where the log now is, and whether the stream
    had nothing behind that. Its last entry may be gone, so that no mark ever reaches the stream's last id."""

    rows: int
    dead_letters: int
    epoch_began: bool
    stream: StreamState
    mark: duck.Watermark
    is_at_end: bool = False

    @property
    def is_level(self) -> bool:
        """Whether the log has the whole stream, as it was when this began."""
        return self.is_at_end or order_of(self.mark.stream_id) >= order_of(self.stream.last_id)


class LogWriter:
    """Appends the stream's entries to the log."""

    def __init__(self, stream: OutboxStream, losses: Losses, dead_letters: DeadLetterBox, progress: Progress) -> None:
        self._stream = stream
        self._losses = losses
        self._dead_letters = dead_letters
        self._progress = progress

    def write(self, connection: duckdb.DuckDBPyConnection, batches_max: int, at_us: int) -> Written:
        """Append at most `batches_max` batches of what is new, in one transaction."""
        stream, position, began = self._where(connection, at_us)
        found: list[StreamEntry] = []
        is_at_end = False
        for _ in range(batches_max):
            batch = self._stream.after(position)
            if not batch:
                is_at_end = True
                break
            found += batch
            position = batch[-1].stream_id
        rows, letters = self._append(connection, found, stream.epoch, at_us) if found else (0, 0)
        return Written(rows, letters, began, stream, duck.watermark(connection), is_at_end)

    def _where(self, connection: duckdb.DuckDBPyConnection, at_us: int) -> tuple[StreamState, str, bool]:
        """The stream, from where to read it, and whether a new epoch began."""
        mark, stream = duck.watermark(connection), self._stream.state()
        if self._losses.happened(connection, stream, mark):
            stream = self._losses.begin(connection, stream, mark, at_us)
            duck.append(connection, [], stream.epoch, START, at_us=at_us)
            return stream, START, True
        return stream, mark.stream_id or START, False

    def _append(
        self, connection: duckdb.DuckDBPyConnection, batch: Sequence[StreamEntry], epoch: str, at_us: int
    ) -> tuple[int, int]:
        self._stream.note_read(epoch, batch[-1].stream_id)  # before the log has it
        found = sorted_out(connection, batch, TABLES)
        self._dead_letters.put(found.dead, epoch)  # before the watermark passes them
        self._progress("dead_lettered", len(found.dead))
        rows, columns = found.rows, found.columns
        loss = self._losses.last()
        if loss is not None and loss.is_before(epoch, batch[0].stream_id):
            rows, columns = Survivors(loss).sorted_out(connection, rows), {}
        appended = duck.append(connection, rows, epoch, batch[-1].stream_id, at_us=at_us, columns=columns)
        self._progress("appended", appended.rows)
        by_id = {entry.stream_id: entry for entry in batch} if appended.rejected else {}
        refused = [DeadLetter(by_id[each.entry.stream_id], each.reason) for each in appended.rejected]
        self._dead_letters.put(refused, epoch)
        return appended.rows, len(found.dead) + len(refused)
