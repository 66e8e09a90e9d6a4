"""Our writer and another program on one hash, in any order, with the sweep in between: nothing is lost or undone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from results.domain.outcomes import ResultState, TradeResult
from results.domain.tolerances import Tolerances
from results.pipeline.foreign.sweep import wanted_by
from results.pipeline.intake import Intake
from results.pipeline.newest import newest_rows
from results.pipeline.reconcile.reconciler import Reconciler
from results.pipeline.sync import Sync
from results.stores import duck
from results.stores.gate import Gate
from results.stores.schema import TABLES
from tests.trading.stores import made
from trading.stores import keys
from trading.stores.hashes import is_ours, row_of_hash
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Transition

NOW_US = 1_731_000_000_000_000
TABLE = TABLES["trade_result"]
RESULT = made.results_of(made.active_trade())[0][0]
KEY = keys.result(RESULT.result_id)

amounts = st.integers(-3, 3).map(str)
operations = st.one_of(
    st.tuples(st.just("ours"), st.sampled_from([ResultState.PARTIALLY_FILLED, ResultState.EXECUTED]), amounts),
    st.tuples(st.just("theirs"), st.sampled_from(["pnl", "fees", "slippage"]), amounts),
    st.tuples(st.just("garbage"), st.just("pnl"), st.just("much")),
    st.tuples(st.just("removed"), st.just("pnl"), amounts),
    st.tuples(st.sampled_from(["look", "settle", "sync", "restart"]), st.none(), st.none()),
)


class Race:
    """One hash, its two writers, and the sweep, which may stop between reading and deciding."""

    def __init__(self, client: redis.Redis, gate: Gate) -> None:
        self.client, self.gate = client, gate
        self.store = PortfolioStore(client, "strategy", Outbox(TABLES))
        self.numbers = itertools.count()
        self.cases: list[Any] = []
        self.restart()

    def restart(self, *_: object) -> None:
        """The process that syncs is another one."""
        self.sync_ = Sync(self.client, self.gate, (), Reconciler(self.client, Tolerances, self.gate), lambda: NOW_US)
        self.intake: Intake = self.sync_.intake
        self.cases = []

    def ours(self, state: ResultState, pnl: str) -> None:
        """The engine writes a version."""
        result: TradeResult = msgspec.structs.replace(RESULT, state=state, pnl=Decimal(pnl))
        self.store.commit(Transition(operation_id=str(next(self.numbers)), at_us=NOW_US, results=(result,)))

    def theirs(self, field: str, value: str) -> None:
        """Another program changes a field of what stands there."""
        if self.client.exists(KEY):
            self.client.hset(KEY, field, value)

    garbage = theirs

    def removed(self, field: str, value: str) -> None:
        """The hash was removed as durable, and another program writes one field."""
        self.sync()
        if self.client.exists(KEY) and self.client.hget(KEY, "pnl") != b"much":
            self.client.delete(KEY)
            self.client.hset(KEY, field, value)
            self.sync()

    def look(self, *_: object) -> None:
        """The sweep reads."""
        self.cases = self.intake.sweep.look(NOW_US)

    def settle(self, *_: object) -> None:
        """The sweep decides what it read, however long ago, beside the log as it is then."""
        with self.gate.write() as connection:
            newest = newest_rows(connection, wanted_by(self.cases))
        known = bool(newest.get(TABLE.name))
        if known or not self.log_is_behind():
            self.intake.sweep.settle(self.cases, newest, NOW_US)
        self.cases = []

    def log_is_behind(self) -> bool:
        """Whether the stream has entries that the log has not."""
        with self.gate.write() as connection:
            return duck.watermark(connection).stream_id != self.sync_.stream.state().last_id

    def sync(self, *_: object) -> None:
        """Turns of the sync until nothing is left."""
        while not self.sync_.once().is_settled:
            pass

    def log(self) -> list[tuple[int, int]]:
        """Version and hash of all rows of the log, in order."""
        with self.gate.read() as connection:
            query = f"SELECT version, row_hash FROM {TABLE.log_name} ORDER BY seq"
            return connection.execute(query).fetchall()


@pytest.fixture
def race_of(redis_client: redis.Redis, tmp_path: Path, db: None) -> Iterator[Callable[[], Race]]:
    """Makes a race over an empty Redis and an empty log."""
    numbers = itertools.count()

    def make() -> Race:
        redis_client.flushall()
        gate = Gate(tmp_path / f"{next(numbers)}.duckdb")
        with gate.write() as connection:
            duck.migrate(connection)
        return Race(redis_client, gate)

    yield make


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(st.lists(operations, max_size=12))
@example([("ours", ResultState.EXECUTED, "1"), ("theirs", "pnl", "2"), ("look", None, None), ("theirs", "pnl", "3")])
@example([("ours", ResultState.EXECUTED, "1"), ("sync", None, None), ("garbage", "pnl", "much")])
@example([("ours", ResultState.EXECUTED, "1"), ("removed", "pnl", "2"), ("ours", ResultState.EXECUTED, "3")])
def test_whoever_writes_last_stands_in_the_log_and_versions_only_grow(
    race_of: Callable[[], Race], done: list[tuple[str, Any, Any]]
) -> None:
    race = race_of()
    for name, first, second in done:
        getattr(race, name)(first, second)
    race.theirs("pnl", "7")  # whatever was garbage is mended
    race.sync()
    counts = race.intake.sweep.counts()
    assert counts.seen == counts.accepted + counts.set_aside
    log = race.log()
    assert [version for version, _ in log] == list(range(1, len(log) + 1))
    fields: Any = race.client.hgetall(KEY)
    if not fields:
        assert log == []
        return
    row = row_of_hash(TABLE, KEY, RESULT.result_id, fields)
    assert is_ours(TABLE, row, fields)
    assert log[-1] == (row["version"], int(fields[b"row_hash"]))
    assert row["pnl"] == Decimal(7)


def test_a_hash_that_changes_between_reading_and_deciding_is_found_again(race_of: Callable[[], Race]) -> None:
    race = race_of()
    race.ours(ResultState.EXECUTED, "1")
    race.sync()
    race.theirs("pnl", "2")
    race.look()
    race.ours(ResultState.EXECUTED, "3")
    race.settle()
    assert race.intake.sweep.counts().seen == 0
    race.sync()
    assert [version for version, _ in race.log()] == [1, 2]
    assert race.client.hget(KEY, "pnl") == b"3"


def test_two_sweeps_at_once_take_a_record_once(race_of: Callable[[], Race]) -> None:
    race = race_of()
    race.ours(ResultState.EXECUTED, "1")
    race.sync()
    race.theirs("pnl", "2")
    other = Intake(race.client, race.gate, Reconciler(race.client, Tolerances, race.gate))
    cases = [race.intake.sweep.look(NOW_US), other.sweep.look(NOW_US)]
    with race.gate.write() as connection:
        newest = newest_rows(connection, wanted_by(cases[0]))
    assert race.intake.sweep.settle(cases[0], newest, NOW_US) == 1
    assert other.sweep.settle(cases[1], newest, NOW_US) == 0
    race.sync()
    assert [version for version, _ in race.log()] == [1, 2]
    assert race.intake.sweep.counts().seen == 1


def test_our_writer_over_what_cannot_be_read_goes_on_with_the_versions(race_of: Callable[[], Race]) -> None:
    race = race_of()
    for pnl in ("1", "2"):
        race.ours(ResultState.EXECUTED, pnl)
    race.garbage("pnl", "much")
    race.ours(ResultState.EXECUTED, "3")
    race.sync()
    assert [version for version, _ in race.log()] == [1, 2, 3]
