"""One look at a part of a table's UTC day in every store.

A follower's position and rows are read before the log is, so that whatever the log has on top of them is only what
the follower has yet to take. Redis is read before the log too; entries that the log has not taken yet say what of it
is still on its way. Where nothing is hot and no hash is to be made anew, the stores add up the hashes themselves, and
rows are only looked at where the sums differ.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import duckdb
import msgspec
from redis import Redis

from paperdesk.mirror import window_began
from results.domain.readable import readable
from results.pipeline.follower import Follower
from results.pipeline.relay import unrelayed
from results.pipeline.stream import BATCH_ENTRIES, COUNTED_MAX, START, OutboxStream
from results.pipeline.verify.comparison import LOG, Comparison, Difference, Subject, compare, compare_hot, corrupt
from results.pipeline.verify.fingerprints import Fingerprint, fingerprint_of
from results.pipeline.verify.hot_rows import NAME as REDIS
from results.pipeline.verify.hot_rows import HotRows
from results.pipeline.verify.sources import DjangoRows, DuckRows, Marks, Part, Source, marks_of_log, parts_of
from results.stores import duck
from results.stores.gate import Gate
from results.stores.marks import Mark
from results.stores.schema import Table

Answered = TypeVar("Answered")


class Keeper(msgspec.Struct, frozen=True):
    """A store that follows the log: how its rows are read, and how far it is."""

    source: Source
    follower: Follower


class PartLook(msgspec.Struct, frozen=True):
    """What was seen of a part: fingerprints, differences, and the keys that are behind, by store."""

    part: Part
    stores: dict[str, Fingerprint]
    differences: list[Difference]
    behind: dict[str, set[str]]

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs and nothing is behind."""
        return not self.differences and not any(self.behind.values())

    @property
    def doubts(self) -> int:
        """How many rows differ or are behind."""
        return len(self.differences) + sum(map(len, self.behind.values()))

    def confirming(self, earlier: PartLook) -> PartLook:
        """This look, with only what the earlier one saw as well."""
        seen = {(difference.store, difference.key) for difference in earlier.differences}
        return msgspec.structs.replace(
            self,
            differences=[each for each in self.differences if (each.store, each.key) in seen],
            behind={store: keys & earlier.behind.get(store, set()) for store, keys in self.behind.items()},
        )


class Look:
    """Reads stores for one look; `hot` is what Redis has, read when this is made, or None to leave Redis out."""

    def __init__(
        self, client: Redis, gate: Gate, keepers: Sequence[Keeper], hot: HotRows | None, recompute: bool
    ) -> None:
        self._stream = OutboxStream(client)
        self._gate = gate
        self._keepers = keepers
        self._hot = hot
        self._recompute = recompute
        self.away: dict[str, str] = {}
        self.held_seconds_max = 0.0

    def parts(self, table: Table, day: datetime.date | None = None) -> list[Part]:
        """The parts of the day, or of all days, of which any store has rows."""
        rows = dict.fromkeys(self._hot.days(table), 0) if self._hot else {}
        with self._log_read() as connection:
            counts = [DuckRows(connection).days(table, day)]
        counts += [self._asked(keeper, keeper.source.days, table, day) or {} for keeper in self._keepers]
        for counted in counts:
            for each, count in counted.items():
                rows[each] = max(count, rows.get(each, 0))
        days = [day] if day else sorted(rows)
        return [part for each in days for part in parts_of(table, each, rows.get(each, 0))]

    def duplicates(self, part: Part) -> dict[str, int]:
        """How many rows of the part are copies of a version that is there already, by store."""
        found = {keeper.source.name: self._asked(keeper, keeper.source.duplicates, part) for keeper in self._keepers}
        with self._log_read() as connection:
            found[LOG] = DuckRows(connection).duplicates(part)
        return {name: copies for name, copies in found.items() if copies}

    def at(self, part: Part) -> PartLook:
        """Look at one part."""
        return self.agreed(part) or self._rows(part)

    def agreed(self, part: Part) -> PartLook | None:
        """The part where the stores add up the same; None where rows have to be looked at."""
        if self._recompute or part.table.is_born or (self._hot and self._hot.has(part)):
            return None
        sums = self._sums(part)
        return PartLook(part, sums, [], {}) if len(set(sums.values())) == 1 else None

    def _sums(self, part: Part) -> dict[str, Fingerprint]:
        """What each store that answers adds up; without the Django tables where they keep nothing of the day."""
        asked = {keeper.source.name: self._asked(keeper, keeper.source.fingerprint, part) for keeper in self._keepers}
        with self._log_read() as connection:
            log = DuckRows(connection).fingerprint(part)
        sums = {LOG: log, **{name: found for name, found in asked.items() if found is not None}}
        return {name: found for name, found in sums.items() if found.count or not _is_pruned(name, part)}

    def _rows(self, part: Part) -> PartLook:
        positions = {keeper.source.name: self._asked(keeper, keeper.follower.marks) for keeper in self._keepers}
        rows = {
            keeper.source.name: self._asked(keeper, keeper.source.marks, part, self._recompute)
            for keeper in self._keepers
        }
        born = rows.get(DjangoRows.name) if part.table.is_born else None
        log, confirmed, position = self._log(part, positions)
        hot, stream = (self._hot.marks(part, log), self._hot.stream_marks(part)) if self._hot else ({}, {})
        waiting = self._waiting(part.table, position, log, (hot, stream, born or {}))
        seen = {name: marks for name, marks in rows.items() if marks is not None}
        found = {LOG: Comparison(corrupt(_subject(part, LOG), log), set())}
        for name, marks in seen.items():
            expected = {key: log[key] for key in marks.keys() & log.keys()} if _is_pruned(name, part) else log
            if marks is born:
                found[name] = compare_hot(_subject(part, name), log, marks, waiting | unrelayed(part.table))
            else:
                found[name] = compare(_subject(part, name), expected, marks, confirmed[name])
        if self._hot:
            found[REDIS] = _of_redis(part, log, hot, stream, waiting)
            seen[REDIS] = {**stream, **hot}
        return PartLook(
            part,
            {name: fingerprint_of(marks.values()) for name, marks in {LOG: log, **seen}.items()},
            [difference for comparison in found.values() for difference in comparison.differences],
            {LOG if name == REDIS else name: comparison.behind for name, comparison in found.items()},
        )

    def _log(self, part: Part, positions: Mapping[str, Sequence[Mark] | None]) -> tuple[Marks, dict[str, int], str]:
        """The log's rows, how far each follower has confirmed it, and how far it has the stream as it is now."""
        with self._log_read() as connection:
            fetched = DuckRows(connection).fetch(part, self._recompute)
            confirmed = {name: duck.resume(connection, marks or ()) for name, marks in positions.items()}
            mark = duck.watermark(connection)
        is_same_epoch = self._stream.state().epoch == mark.epoch
        return marks_of_log(part.table, fetched), confirmed, mark.stream_id if is_same_epoch else START

    def _waiting(self, table: Table, position: str, log: Marks, hot: Iterable[Marks]) -> frozenset[str]:
        """The keys whose entries the log has yet to take; not looked for where it has everything that is hot."""
        differs = any(
            key not in log or log[key].version < found.version for marks in hot for key, found in marks.items()
        )
        return frozenset(keys_behind(self._stream, table.name, position)) if differs else frozenset()

    @contextlib.contextmanager
    def _log_read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._gate.read() as connection:
            began = time.monotonic()
            yield connection
        self.held_seconds_max = max(self.held_seconds_max, time.monotonic() - began)

    def _asked(self, keeper: Keeper, ask: Callable[..., Answered], *about: object) -> Answered | None:
        """The answer, or None from a store that is away."""
        name = keeper.source.name
        if name in self.away:
            return None
        try:
            return ask(*about)
        except keeper.follower.failures as error:
            self.away[name] = str(error)
            return None


def keys_behind(stream: OutboxStream, table: str, position: str) -> Iterator[str]:
    """The keys of the table's entries behind a position, of the first COUNTED_MAX entries."""
    for _ in range(COUNTED_MAX // BATCH_ENTRIES):
        batch = stream.after(position)
        if not batch:
            return
        for entry in batch:
            if entry.fields.get(b"table") == table.encode():
                yield readable(entry.fields.get(b"id", b""))
        position = batch[-1].stream_id


def _subject(part: Part, store: str) -> Subject:
    return Subject(part.table.name, part.day, store)


def _of_redis(part: Part, log: Marks, hot: Marks, stream: Marks, waiting: frozenset[str]) -> Comparison:
    """Records and stream entries. An entry that is older than the log's row was followed by another, since removed."""
    subject = _subject(part, REDIS)
    records = compare_hot(subject, log, hot, waiting)
    told = {difference.key for difference in records.differences}
    newest = {
        key: mark
        for key, mark in stream.items()
        if key not in told and (key not in log or log[key].version <= mark.version)
    }
    entries = compare_hot(subject, log, newest, waiting)
    return Comparison(records.differences + entries.differences, records.behind | entries.behind)


def _is_pruned(name: str, part: Part) -> bool:
    """Whether rows of the part's day were removed there on purpose."""
    if name != DjangoRows.name:
        return False
    began = window_began()
    return began is not None and part.day < began
