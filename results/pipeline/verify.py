"""The verifier: whether Redis, DuckDB, the Django tables and ClickHouse hold the same rows.

Per table and UTC day of the first version it compares the newest versions in each store with those of the durable
log, and names the rows that differ. A store that is merely behind is told apart from one that differs. What is found
at a first look is looked at once more, because rows move on meanwhile; only what both looks saw is told.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from redis import Redis

from results.pipeline.comparison import Difference
from results.pipeline.fingerprints import Fingerprint
from results.pipeline.hot_rows import HotRows
from results.pipeline.look import DayLook, Keeper, Look
from results.pipeline.report import FollowerState, published
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table

DIFFERENCES_NAMED_MAX = 100
AGREE, BEHIND, DIFFER = "agree", "behind", "differ"


class TableDay(msgspec.Struct, frozen=True):
    """One day of one table: each store's fingerprint, how many rows differ, how many of each store are behind."""

    table: str
    day: datetime.date
    stores: dict[str, Fingerprint]
    differences: int
    behind: dict[str, int]


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """`verdict` is agree, differ, or behind (a store has yet to catch up, or could not be asked: `away`).

    `rows` counts the log's, `differences` names the first 100, `unreadable` are sentences about records in Redis,
    `foreign` counts records of other programs there that nobody has adopted yet.
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
    ) -> VerifyReport:
        """Verify the tables (all by default) on a UTC day (all by default).

        `recompute` makes every hash anew from the stored values, `hot` looks into Redis too, `recheck_seconds` is
        waited before the second look. Raises KeyError for an unknown table, WarehouseMissing, WarehouseBusy,
        redis.RedisError.
        """
        started, at_us = time.monotonic(), self._now_us()
        chosen = [TABLES[name] for name in (list(tables) or TABLES)]
        look, rows = self._look(chosen, hot, recompute)
        found = {
            (table.name, each): look.at(table, each)
            for table in chosen
            for each in sorted({day} if day else look.days(table))
        }
        doubtful = [subject for subject, seen in found.items() if not seen.is_clean]
        if doubtful:
            time.sleep(recheck_seconds)
            look, _ = self._look([TABLES[name] for name, _ in doubtful], hot, recompute)
            for name, each in doubtful:
                found[name, each] = look.at(TABLES[name], each).confirming(found[name, each])
        report = self._report(found, look.away, rows)
        return msgspec.structs.replace(
            report, at_us=at_us, recomputed=recompute, seconds=round(time.monotonic() - started, 3)
        )

    def _look(self, tables: Iterable[Table], hot: bool, recompute: bool) -> tuple[Look, HotRows | None]:
        rows = HotRows(self._client) if hot else None
        if rows:
            rows.read(table.name for table in tables)
        return Look(self._client, self._gate, self._keepers, rows, recompute), rows

    def _report(
        self,
        found: Mapping[tuple[str, datetime.date], DayLook],
        away: dict[str, str],
        rows: HotRows | None,
    ) -> VerifyReport:
        differences = [difference for seen in found.values() for difference in seen.differences]
        behind: dict[str, int] = {}
        for seen in found.values():
            for store, keys in seen.behind.items():
                behind[store] = behind.get(store, 0) + len(keys)
        behind = {store: count for store, count in behind.items() if count}
        unreadable = rows.unreadable if rows else []
        verdict = DIFFER if differences or unreadable else BEHIND if behind or away else AGREE
        return VerifyReport(
            at_us=0,
            seconds=0.0,
            recomputed=False,
            verdict=verdict,
            rows=sum(seen.stores["duckdb"].count for seen in found.values()),
            tables=[_told(seen) for seen in found.values()],
            differences=differences[:DIFFERENCES_NAMED_MAX],
            difference_count=len(differences),
            behind=behind,
            away=away,
            unreadable=unreadable[:DIFFERENCES_NAMED_MAX],
            foreign=rows.foreign if rows else 0,
            followers=published(self._client),
        )


def _told(seen: DayLook) -> TableDay:
    behind = {store: len(keys) for store, keys in seen.behind.items() if keys}
    return TableDay(seen.table, seen.day, seen.stores, len(seen.differences), behind)
