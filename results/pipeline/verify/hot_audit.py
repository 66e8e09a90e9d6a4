"""The daily audit's last part: every record that is still hot in Redis against the newest durable rows, some at a time.

What differs is looked at once more at a later turn, since rows move on meanwhile: a record counts only if it stood
still while the log was read, and if no entry of it is on its way to the log.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import msgspec
from redis import Redis

from results.pipeline.newest import newest_rows
from results.pipeline.stream import START, OutboxStream
from results.pipeline.verify.comparison import Difference, Subject, compare_hot
from results.pipeline.verify.fingerprints import RowMark
from results.pipeline.verify.hot_rows import NAME, HotSlice, hot_slices
from results.pipeline.verify.look import keys_behind
from results.stores import duck
from results.stores.gate import Gate


class HotLook(msgspec.Struct, frozen=True):
    """How many rows a slice has, those that differ, and sentences about what cannot be read."""

    rows: int
    differences: list[Difference]
    unreadable: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is in doubt."""
        return not self.differences and not self.unreadable

    def confirming(self, earlier: HotLook) -> HotLook:
        """What the earlier look saw as well."""
        seen = {(each.table, each.key) for each in earlier.differences}
        same = [each for each in self.differences if (each.table, each.key) in seen]
        return HotLook(0, same, [each for each in self.unreadable if each in earlier.unreadable])


class HotAudit:
    """Keeps its place between turns; one that is made anew begins at the first record."""

    def __init__(self, client: Redis, gate: Gate) -> None:
        self._client = client
        self._gate = gate
        self._stream = OutboxStream(client)
        self._slices: Iterator[HotSlice] | None = None
        self._doubtful: list[tuple[HotSlice, HotLook]] = []

    def first_look(self) -> HotLook | None:
        """The rows of the next slice, nothing of which is told yet; None after the last one. Raises StoreError,
        redis.RedisError."""
        if self._slices is None:
            self._slices = hot_slices(self._client)
        some = next(self._slices, None)
        if some is None:
            return None
        look = self._look(some)
        if not look.is_clean:
            self._doubtful.append((some, look))
        return HotLook(look.rows, [], [])

    def second_look(self) -> HotLook | None:
        """What is still so of a slice that was in doubt; None after the last one, and all begins anew. Raises alike."""
        if not self._doubtful:
            self._slices = None
            return None
        some, earlier = self._doubtful[-1]
        found = self._look(some).confirming(earlier)
        self._doubtful.pop()
        return found

    def _look(self, some: HotSlice) -> HotLook:
        hot = some.read(self._client)
        parts = hot.parts()
        wanted = {part.table.name: hot.keys(part.table) for part in parts}
        with self._gate.read() as connection:
            log = {
                name: {key: RowMark(key, row["version"], row["row_hash"]) for key, row in rows.items()}
                for name, rows in newest_rows(connection, wanted).items()
            }
            position = self._position(connection)
        differences = []
        for part in parts:
            subject, marks = Subject(part.table.name, part.day, NAME), log[part.table.name]
            differences += compare_hot(subject, marks, hot.marks(part, marks), frozenset()).differences
        if differences:
            still, waiting = some.read(self._client), self._waiting(differences, position)
            differences = [
                each
                for each in differences
                if (each.table, each.key) not in waiting and hot.stands_as_in(still, each.table, each.key)
            ]
        return HotLook(sum(map(len, wanted.values())), differences, hot.unreadable)

    def _position(self, connection: duckdb.DuckDBPyConnection) -> str:
        mark = duck.watermark(connection)
        return mark.stream_id if self._stream.state().epoch == mark.epoch else START

    def _waiting(self, differences: list[Difference], position: str) -> set[tuple[str, str]]:
        names = {each.table for each in differences}
        return {(name, key) for name in names for key in keys_behind(self._stream, name, position)}
