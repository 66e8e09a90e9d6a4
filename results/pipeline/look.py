"""One look at a table's UTC day in every store.

A follower's position and rows are read before the log is, so that whatever the log has on top of them is only what
the follower has yet to take. Redis is read before the log too; entries that the log has not taken yet say what of it
is still on its way.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from redis import Redis

from results.pipeline.comparison import LOG, Comparison, Difference, Subject, compare, compare_hot, corrupt
from results.pipeline.fingerprints import Fingerprint, fingerprint_of
from results.pipeline.follower import Follower
from results.pipeline.hot_rows import NAME as REDIS
from results.pipeline.hot_rows import HotRows
from results.pipeline.relay import unrelayed
from results.pipeline.stream import BATCH_ENTRIES, COUNTED_MAX, START, OutboxStream
from results.pipeline.verify_sources import DjangoRows, DuckRows, Marks, Source
from results.stores import duck
from results.stores.gate import Gate
from results.stores.marks import Mark
from results.stores.schema import Table

Answered = TypeVar("Answered")


class Keeper(msgspec.Struct, frozen=True):
    """A store that follows the log: how its rows are read, and how far it is."""

    source: Source
    follower: Follower


class DayLook(msgspec.Struct, frozen=True):
    """What was seen of a table's day: fingerprints, differences, and the keys that are behind, by store."""

    table: str
    day: datetime.date
    stores: dict[str, Fingerprint]
    differences: list[Difference]
    behind: dict[str, set[str]]

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs and nothing is behind."""
        return not self.differences and not any(self.behind.values())

    def confirming(self, earlier: DayLook) -> DayLook:
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

    def days(self, table: Table) -> set[datetime.date]:
        """The days of which any store has rows."""
        days = self._hot.days(table) if self._hot else set()
        for keeper in self._keepers:
            days |= self._asked(keeper, keeper.source.days, table) or set()
        with self._gate.read() as connection:
            return days | DuckRows(connection).days(table)

    def at(self, table: Table, day: datetime.date) -> DayLook:
        """Look at one day of one table."""
        hot = self._hot.marks(table, day) if self._hot else {}
        positions = {keeper.source.name: self._asked(keeper, keeper.follower.marks) for keeper in self._keepers}
        rows = {
            keeper.source.name: self._asked(keeper, keeper.source.marks, table, day, self._recompute)
            for keeper in self._keepers
        }
        born = rows.get(DjangoRows.name) if table.is_born else None
        log, confirmed, waiting = self._log(table, day, positions, hot | (born or {}))
        seen = {name: marks for name, marks in rows.items() if marks is not None}
        found = {LOG: Comparison(corrupt(Subject(table.name, day, LOG), log), set())}
        for name, marks in seen.items():
            subject = Subject(table.name, day, name)
            if marks is born:
                found[name] = compare_hot(subject, log, marks, waiting | unrelayed(table))
            else:
                found[name] = compare(subject, log, marks, confirmed[name])
        if self._hot:
            found[REDIS] = compare_hot(Subject(table.name, day, REDIS), log, hot, waiting)
        stores = {LOG: log, **seen, **({REDIS: hot} if self._hot else {})}
        return DayLook(
            table.name,
            day,
            {name: fingerprint_of(marks.values()) for name, marks in stores.items()},
            [difference for comparison in found.values() for difference in comparison.differences],
            {LOG if name == REDIS else name: comparison.behind for name, comparison in found.items()},
        )

    def _log(
        self, table: Table, day: datetime.date, positions: dict[str, Sequence[Mark] | None], hot: Marks
    ) -> tuple[Marks, dict[str, int], frozenset[str]]:
        """The log's rows, how far each follower has confirmed it, and the hot keys that it has yet to take."""
        with self._gate.read() as connection:
            log = DuckRows(connection).marks(table, day, self._recompute)
            confirmed = {name: duck.resume(connection, marks or ()) for name, marks in positions.items()}
            mark = duck.watermark(connection)
        differs = any(key not in log or log[key].version < found.version for key, found in hot.items())
        is_same_epoch = self._stream.state().epoch == mark.epoch
        waiting = self._waiting(table, mark.stream_id if is_same_epoch else START) if differs else ()
        return log, confirmed, frozenset(waiting)

    def _waiting(self, table: Table, position: str) -> Iterable[str]:
        """The keys of the table's entries behind a position, of the first COUNTED_MAX entries."""
        for _ in range(COUNTED_MAX // BATCH_ENTRIES):
            batch = self._stream.after(position)
            if not batch:
                return
            for entry in batch:
                if entry.fields.get(b"table") == table.name.encode():
                    yield entry.fields.get(b"id", b"").decode(errors="replace")
            position = batch[-1].stream_id

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
