"""The verifier: whether Redis, DuckDB, the Django tables and ClickHouse hold the same rows.

Per table and UTC day of the first version it compares the newest versions in each store with those of the durable
log, and names the rows that differ. A store that is merely behind is told apart from one that differs. What is found
at a first look is looked at once more, because rows move on meanwhile; only what both looks saw is told.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
from redis import Redis

from results.pipeline.report import FollowerState, published
from results.pipeline.verify.comparison import Difference
from results.pipeline.verify.detail import detailed
from results.pipeline.verify.fingerprints import Fingerprint
from results.pipeline.verify.hot_rows import HotRows
from results.pipeline.verify.look import Keeper, Look, PartLook
from results.pipeline.verify.sources import Part
from results.stores import duck
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table

DIFFERENCES_NAMED_MAX = 100
DOUBTS_MAX = 20_000  # rows in doubt that are kept in memory until they are looked at once more
AGREE, BEHIND, DIFFER = "agree", "behind", "differ"


class TableDay(msgspec.Struct, frozen=True):
    """One day of one table: each store's fingerprint, how many rows differ, how many of each store are behind."""

    table: str
    day: datetime.date
    stores: dict[str, Fingerprint]
    differences: int
    behind: dict[str, int]

    def with_part(self, seen: PartLook) -> TableDay:
        """This day with a part of it added."""
        stores = dict(self.stores)
        for name, found in seen.stores.items():
            stores[name] = found.with_rows_of(stores.get(name, Fingerprint()))
        behind = dict(self.behind)
        for store, keys in seen.behind.items():
            if keys:
                behind[store] = behind.get(store, 0) + len(keys)
        return TableDay(self.table, self.day, stores, self.differences + len(seen.differences), behind)


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """`verdict` is agree, differ, or behind (a store has yet to catch up, or could not be asked: `away`).

    `rows` counts the log's, `differences` names the first ones, `unreadable` are sentences about records in Redis,
    `foreign` counts records of other programs there that nobody has adopted yet, `duplicates` by store and table the
    copies of a version beyond the first, as far as they were counted: readers see one of them. `log_held_ms` is the
    longest time for which the sync could not have had the log, `seq` the log's last as this began.
    """

    at_us: int
    seconds: float
    verdict: str
    recomputed: bool
    rows: int
    tables: list[TableDay]
    differences: list[Difference]
    difference_count: int
    behind: dict[str, int]
    away: dict[str, str]
    unreadable: list[str]
    foreign: int
    followers: dict[str, FollowerState]
    duplicates: dict[str, int] = {}
    log_held_ms: float = 0.0
    seq: int = 0

    @property
    def worst(self) -> str | None:
        """The table and store with the most rows that differ, in words; None when none does."""
        if not self.difference_count:
            return None
        most = max(self.tables, key=lambda each: each.differences)
        stores = sorted({each.store for each in self.differences if each.table == most.table})
        return f"{self.difference_count} rows differ, most of them in {most.table}" + (
            f" ({', '.join(stores)})" if stores else ""
        )


class Verifier:
    """Looks at every store; writes to none."""

    def __init__(self, client: Redis, gate: Gate, keepers: Sequence[Keeper], now_us: Callable[[], int]) -> None:
        self._client = client
        self._gate = gate
        self._keepers = keepers
        self._now_us = now_us

    def run(
        self,
        tables: Iterable[str] = (),
        day: datetime.date | None = None,
        *,
        recompute: bool = True,
        hot: bool = True,
        recheck_seconds: float = 0.0,
        named_max: int = DIFFERENCES_NAMED_MAX,
    ) -> VerifyReport:
        """Verify the tables (all by default) on a UTC day (all by default).

        `recompute` makes every hash anew from the stored values, `hot` looks into Redis too, `recheck_seconds` is
        waited before the second look. Raises KeyError for an unknown table, WarehouseMissing, WarehouseBusy,
        redis.RedisError.
        """
        chosen = [TABLES[name] for name in (list(tables) or TABLES)]
        names = [table.name for table in chosen] if hot else []
        run = _Run(self._client, self._gate, self._keepers, recompute, names, recheck_seconds, named_max)
        for table in chosen:
            run.see(run.look.parts(table, day))
        return run.report(self._now_us())

    def run_changed(self, after_seq: int, today: datetime.date) -> VerifyReport:
        """Compare the stored hashes of today, and of each day that changed in the log behind `after_seq`, in the
        durable stores. Each store adds up a whole day; rows are read where the sums differ, and none of a follower that
        is behind: of that one it is told, and the next time will show. Raises like `run`."""
        level, behind = self._level()
        run = _Run(self._client, self._gate, level, False, [], 0.0, DIFFERENCES_NAMED_MAX)
        with self._gate.read() as connection:
            seq = duck.head(connection)
            known = after_seq if after_seq <= seq else 0  # another log's numbers say nothing of this one
            changed = {table: duck.changed_days(connection, table, known) for table in TABLES.values()}
        for table, days in changed.items():
            for day in sorted(days | {today}):
                run.see_day(table, day)
        report = run.report(self._now_us())
        verdict = BEHIND if behind and report.verdict == AGREE else report.verdict
        return msgspec.structs.replace(report, seq=seq, verdict=verdict, behind={**report.behind, **behind})

    def _level(self) -> tuple[list[Keeper], dict[str, int]]:
        """The keepers that have all of the log, or do not answer; and by how many rows the others are behind."""
        level: list[Keeper] = []
        behind: dict[str, int] = {}
        for keeper in self._keepers:
            try:
                marks = keeper.follower.marks()
            except keeper.follower.failures:
                level.append(keeper)
                continue
            with self._gate.read() as connection:
                head, seq = duck.head(connection), duck.resume(connection, marks)
                is_behind = bool(duck.tables_between(connection, seq, head))  # what was rejected has no rows
            if is_behind:
                behind[keeper.source.name] = head - seq
            else:
                level.append(keeper)
        return level, behind

    def run_parts(self, parts: Iterable[Part], *, recompute: bool) -> VerifyReport:
        """Verify these parts in the durable stores. Raises like `run`."""
        run = _Run(self._client, self._gate, self._keepers, recompute, [], 0.0, DIFFERENCES_NAMED_MAX)
        run.see(parts)
        return run.report(self._now_us())

    def head(self) -> int:
        """The last seq of the log. Raises WarehouseMissing, WarehouseBusy."""
        with self._gate.read() as connection:
            return duck.head(connection)

    def changed_days(self, table: Table, after_seq: int) -> set[datetime.date]:
        """The days of the table that changed in the log behind `after_seq`. Raises WarehouseMissing, WarehouseBusy."""
        with self._gate.read() as connection:
            return duck.changed_days(connection, table, after_seq)

    def parts(self, table: Table, day: datetime.date | None = None) -> list[Part]:
        """The parts of a table's day, or of all its days, in the durable stores. Raises like `run`."""
        return Look(self._client, self._gate, self._keepers, None, False).parts(table, day)


class _Run:
    """One run; `hot` names the tables of which Redis is read. Rows in doubt are looked at once more in batches."""

    def __init__(
        self,
        client: Redis,
        gate: Gate,
        keepers: Sequence[Keeper],
        recompute: bool,
        hot: Sequence[str],
        recheck_seconds: float,
        named_max: int,
    ) -> None:
        self.started = time.monotonic()
        self.client, self.gate, self.keepers = client, gate, keepers
        self.recompute, self.recheck_seconds, self.named_max = recompute, recheck_seconds, named_max
        self.rows = self._hot_rows(hot) if hot else None
        self.look = self._look(self.rows)
        self.tables: dict[tuple[str, datetime.date], TableDay] = {}
        self.named: list[Difference] = []
        self.doubtful: list[PartLook] = []
        self.duplicates: dict[str, int] = {}

    def see(self, parts: Iterable[Part]) -> None:
        """Look at the parts; what is in doubt is looked at once more when it is much, or at the end."""
        for part in parts:
            if self.recompute:
                self._count_duplicates(part)
            seen = self.look.at(part)
            if seen.is_clean:
                self._add(seen)
                continue
            self.doubtful.append(seen)
            if sum(each.doubts for each in self.doubtful) > DOUBTS_MAX:
                self._recheck()

    def see_day(self, table: Table, day: datetime.date) -> None:
        """Look at a day, at its parts only where the stores do not add it up the same."""
        agreed = self.look.agreed(Part(table, day))
        if agreed is None:
            self.see(self.look.parts(table, day))
        else:
            self._add(agreed)

    def report(self, at_us: int) -> VerifyReport:
        """What was seen, once everything in doubt was looked at twice."""
        if self.doubtful:
            self._recheck()
        tables = [day for _, day in sorted(self.tables.items())]
        behind: dict[str, int] = {}
        for each in tables:
            for store, count in each.behind.items():
                behind[store] = behind.get(store, 0) + count
        unreadable = self.rows.unreadable if self.rows else []
        count = sum(each.differences for each in tables)
        verdict = DIFFER if count or unreadable else BEHIND if behind or self.look.away else AGREE
        return VerifyReport(
            at_us=at_us,
            seconds=round(time.monotonic() - self.started, 3),
            recomputed=self.recompute,
            verdict=verdict,
            rows=sum(each.stores["duckdb"].count for each in tables),
            tables=tables,
            differences=self._told(),
            difference_count=count,
            behind=behind,
            away=self.look.away,
            unreadable=unreadable[: self.named_max],
            foreign=self.rows.foreign if self.rows else 0,
            followers=published(self.client),
            duplicates=self.duplicates,
            log_held_ms=round(1_000 * self.look.held_seconds_max, 3),
        )

    def _told(self) -> list[Difference]:
        """The differences, with the values of the first ones."""
        first = self.named[:DIFFERENCES_NAMED_MAX]
        return [*detailed(first, self.gate, self.keepers, self.client), *self.named[DIFFERENCES_NAMED_MAX:]]

    def _recheck(self) -> None:
        doubtful, self.doubtful = self.doubtful, []
        time.sleep(self.recheck_seconds)
        rows = self._hot_rows({each.part.table.name for each in doubtful}) if self.rows else None
        look = self._look(rows)
        for earlier in doubtful:
            self._add(look.at(earlier.part).confirming(earlier))
        self.look.away.update(look.away)

    def _count_duplicates(self, part: Part) -> None:
        for store, copies in self.look.duplicates(part).items():
            name = f"{store} {part.table.name}"
            self.duplicates[name] = self.duplicates.get(name, 0) + copies

    def _add(self, seen: PartLook) -> None:
        identity = (seen.part.table.name, seen.part.day)
        self.tables[identity] = self.tables.get(identity, TableDay(*identity, {}, 0, {})).with_part(seen)
        self.named += seen.differences[: max(0, self.named_max - len(self.named))]

    def _hot_rows(self, names: Iterable[str]) -> HotRows:
        rows = HotRows(self.client)
        rows.read(names)
        return rows

    def _look(self, rows: HotRows | None) -> Look:
        return Look(self.client, self.gate, self.keepers, rows, self.recompute)
