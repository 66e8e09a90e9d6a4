"""Superseded versions leave the log once every store has them; nobody sees a difference."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from results.models import FollowerWatermark
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.follower import Follower
from results.pipeline.keep import compaction
from results.pipeline.keep.compaction import KEPT_US, Compacted, Compaction
from results.pipeline.mirror import DjangoTables
from results.stores.failures import ClickHouseAway
from results.stores.marks import Mark
from results.stores.schema import TABLES
from tests.results.pipeline.made import NOW_US, Side
from trading.stores import keys

LATER_US = NOW_US + KEPT_US + 1
VERSIONS = 5
FULL = {name: 2 * VERSIONS + (name == "trade_result") for name in TABLES}


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything may go but the last row, fifteen seqs at a time."""
    monkeypatch.setattr(compaction, "SEQS_KEPT", 1)
    monkeypatch.setattr(compaction, "SEQS_PER_SLICE", 15)


def lengths(side: Side) -> dict[str, int]:
    """How many versions each table has in the log."""
    return {name: side.log_length(name) for name in TABLES}


def compaction_of(side: Side, now_us: int = LATER_US) -> Compaction:
    followers: list[Follower] = [DjangoTables(), ClickHouseTables(lambda: side.clickhouse, lambda: side.gate)]
    return Compaction(side.gate, followers, lambda: now_us)


def compacted(side: Side, now_us: int = LATER_US) -> Compacted:
    return compaction_of(side, now_us).run()


def fill(side: Side) -> None:
    """Two rows of each table, in five versions each; the log has the newest not last."""
    for version in (1, 2, VERSIONS, 4, 3):
        for name in TABLES:
            for number in (1, 2):
                side.emit(name, number, version)
    side.emit("trade_result", 3)  # the row that the followers' marks name
    assert side.settle().is_level


def test_only_the_newest_version_of_each_row_stays_and_no_store_differs(side: Side) -> None:
    fill(side)
    before = {name: side.marks(name) for name in TABLES}
    done = compacted(side)
    assert done.removed == {name: 2 * (VERSIONS - 1) for name in TABLES if name != "trade_result"}
    assert done.is_complete
    for name in TABLES:
        assert side.log_length(name) == (2 * VERSIONS + 1 if name == "trade_result" else 2)  # transitions are kept
        assert side.marks(name) == before[name]
    assert side.verifier().run().differences == []
    assert compacted(side).removed == {}
    side.emit("daily_metrics", 1, VERSIONS + 1)
    report = side.new_sync().once()
    assert (report.appended, report.changed, report.is_level) == (1, {"django": 1, "clickhouse": 1}, True)


def test_what_a_follower_has_not_confirmed_and_what_is_younger_than_a_week_stays(side: Side) -> None:
    fill(side)
    assert compacted(side, NOW_US + KEPT_US).removed == {}
    FollowerWatermark.objects.all().delete()  # Django's tables begin anew
    assert compacted(side).removed == {}
    assert lengths(side) == FULL


def test_nothing_is_removed_while_a_follower_is_away(side: Side) -> None:
    fill(side)

    class Away(DjangoTables):
        def marks(self) -> list[Mark]:
            raise ClickHouseAway("ClickHouse is away")

    with pytest.raises(ClickHouseAway):
        Compaction(side.gate, [DjangoTables(), Away()], lambda: LATER_US).run()
    assert side.log_length("daily_metrics") == 2 * VERSIONS


def test_a_compaction_that_is_stopped_anywhere_is_finished_by_the_next(side: Side) -> None:
    fill(side)
    slices = 0

    def stop(_table: str, _count: int) -> None:
        nonlocal slices
        slices += 1
        if slices % 20 == 0:
            raise KeyboardInterrupt

    stopped, going = 0, compaction_of(side)
    while True:
        try:
            going.run(on_slice=stop)
        except KeyboardInterrupt:
            stopped += 1
        else:
            break
    assert stopped > 2
    assert lengths(side) == {name: FULL[name] if name == "trade_result" else 2 for name in TABLES}
    assert side.verifier().run().differences == []


def test_a_slice_that_fails_removes_nothing(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(side)
    whole = compaction.remove_superseded

    def broken(connection: duckdb.DuckDBPyConnection, *about: Any) -> int:
        connection.begin()
        whole(connection, *about)
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr(compaction, "remove_superseded", broken)
    with pytest.raises(duckdb.IOException):
        compacted(side)
    assert lengths(side) == FULL


def test_a_budget_ends_it_early_and_the_next_goes_on(side: Side) -> None:
    fill(side)
    going = compaction_of(side)
    done = going.run(seconds_max=-1.0)
    assert (done.removed, done.is_complete) == ({}, False)
    assert going.run().is_complete
    assert lengths(side)["daily_metrics"] == 2


def test_entries_of_before_a_loss_whose_versions_were_compacted_are_not_taken_for_new_ones(side: Side) -> None:
    fill(side)
    compacted(side)
    side.client.delete(keys.OUTBOX_EPOCH)  # the stream still has all versions
    report = side.settle()
    assert (report.epoch_began, report.appended) == (True, 0)
    assert side.verifier().run().differences == []


def test_the_space_of_removed_rows_is_used_again(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SEQS_PER_SLICE", 100_000)
    table = TABLES["portfolio_snapshot"]
    side.emit(table.name, 1)
    side.settle()

    def grow(first: int) -> None:
        columns = ", ".join({"seq": "i", "version": "i"}.get(c.name, f'"{c.name}"') for c in table.log_columns)
        with side.gate.write() as connection:
            rows = f"SELECT {columns} FROM {table.log_name}, range({first}, {first + 200_000}) r(i) WHERE seq = 1"
            connection.execute(f"INSERT INTO {table.log_name} {rows}").fetchall()

    grow(2)
    with side.gate.write() as connection:
        grown = compaction.remove_superseded(connection, table, 0, 300_000, LATER_US)
    full = side.gate.path.stat().st_size
    assert grown == 200_000
    for turn in range(1, 4):
        grow(2 + 200_000 * turn)
        with side.gate.write() as connection:
            compaction.remove_superseded(connection, table, 1, 10**9, LATER_US)
        grow_back = side.gate.path.stat().st_size
    assert grow_back <= 2 * full


def test_the_newest_view_is_right_when_versions_are_equal(side: Side) -> None:
    side.emit("daily_metrics", 1, 1, portfolio="first")
    side.emit("daily_metrics", 1, 1, portfolio="later")
    side.emit("daily_metrics", 2, 2)
    side.emit("trade_result", 3)
    side.settle()
    compacted(side)
    assert side.log_length("daily_metrics") == 2
    with side.gate.read() as connection:
        assert connection.execute("SELECT portfolio FROM daily_metrics WHERE version = 1").fetchall() == [("later",)]
