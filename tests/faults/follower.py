"""The ClickHouse follower and its log, for tests that break the wire or the server between them.

A world has a DuckDB log, a follower that reaches ClickHouse on the broken way, and a client on a sound one that looks.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import duckdb
import msgspec

from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.log_slice import next_slices
from results.stores import duck
from results.stores.clickhouse import ClickHouse
from results.stores.failures import StoreError
from results.stores.gate import Gate
from results.stores.schema import TABLES
from tests.results.stores.made import entry

EPOCH = "first"
NAMES = ("trade_result", "result_metrics", "funding_payment")
VERSIONS_MAX = 3
NOW_US = 1_731_000_000_000_000


class Found(msgspec.Struct, frozen=True):
    """What ClickHouse has: rows of the FINAL views, rows as they lie on disk, and how many of those are doubled."""

    final: int
    raw: int
    doubled: int


class World:
    """A log and its follower. `attempts` counts turns, `failures` the sentences of those that failed."""

    def __init__(self, gate: Gate, broken: ClickHouse, sound: ClickHouse) -> None:
        self.gate = gate
        self.sound = sound
        self.broken = broken
        self.follower = ClickHouseTables(lambda: self.broken, lambda: self.gate)
        self.attempts = 0
        self.failures: list[str] = []
        self._stream = 0

    def append(self, chance: random.Random, count: int, keys: Iterable[int]) -> None:
        """Put `count` rows into the log: some tables, some keys, new ones and newer and older versions of old ones."""
        numbers = list(keys)
        entries = []
        for _ in range(count):
            self._stream += 1
            table = TABLES[chance.choice(NAMES)]
            version = chance.randint(1, VERSIONS_MAX)
            entries.append(entry(table, chance.choice(numbers), version, stream_id=f"{self._stream}-0"))
        with self.gate.write() as connection:
            duck.append(connection, entries, EPOCH, entries[-1].stream_id, at_us=NOW_US)

    @property
    def logged(self) -> int:
        """How many rows the log has."""
        return self._stream

    def turn(self) -> bool:
        """One turn of the follower; whether it has everything now. A failure of the store is noted and is no error."""
        self.attempts += 1
        name = self.follower.name
        try:
            try:
                marks = self.follower.marks()
            except StoreError as error:
                if not self.follower.mend(error):
                    raise
                marks = self.follower.marks()
            with self.gate.read() as connection:
                log = next_slices(connection, {name: marks})[name]
            if log is None:
                return True
            self.follower.write(log, NOW_US + self.attempts)
        except StoreError as error:
            self.failures.append(f"{type(error).__name__}: {error}")
        return False

    def settle(self, turns_max: int = 500) -> None:
        """Turns until the follower has everything; after each one the watermark is not ahead of the data."""
        for _ in range(turns_max):
            if self.turn():
                return
            self.check_watermark()
            time.sleep(0.01)
        raise AssertionError(f"not level after {turns_max} turns: {self.failures[-3:]}")

    def check_watermark(self) -> None:
        """Whatever the marks in ClickHouse say is confirmed is there, in that version or a newer one."""
        with self.gate.read() as connection:
            confirmed = duck.resume(connection, self.sound.marks())
            for name in NAMES:
                logged = newest(connection, name, confirmed)
                there = dict(self.sound.rows(VERSIONS[name]))
                lost = [key for key, version in logged.items() if there.get(key, 0) < version]
                assert not lost, f"{name}: confirmed up to {confirmed}, and {len(lost)} keys are not there: {lost[:3]}"

    def check_same(self) -> Found:
        """All rows are the same in both stores; how many there are in ClickHouse."""
        final = 0
        with self.gate.read() as connection:
            for name in NAMES:
                table = TABLES[name]
                here = connection.sql(f'SELECT * FROM "{name}" ORDER BY "{table.key}"').to_arrow_table().to_pylist()
                there = self.sound.newest(table).to_pylist()
                columns = [column.name for column in table.columns]  # of equal versions any may be kept
                assert [only(row, columns) for row in there] == [only(row, columns) for row in here]
                final += len(there)
        counted = [self.sound.rows(f"SELECT count(), uniqExact(seq) FROM {name}_log")[0] for name in NAMES]
        return Found(final, sum(raw for raw, _ in counted), sum(raw - distinct for raw, distinct in counted))


VERSIONS = {name: f"SELECT toString({TABLES[name].key}), max(version) FROM {name}_log GROUP BY 1" for name in NAMES}


def newest(connection: duckdb.DuckDBPyConnection, name: str, seq: int) -> dict[str, int]:
    """The newest version of each key in the log's rows up to `seq`."""
    query = f'SELECT "{TABLES[name].key}"::VARCHAR, max(version) FROM "{name}_log" WHERE seq <= ? GROUP BY 1'
    return dict(connection.execute(query, [seq]).fetchall())


def only(row: dict[str, object], columns: list[str]) -> dict[str, object]:
    """These columns of a row."""
    return {name: row[name] for name in columns}
