"""A follower that is away for days, while the other goes on and the stream is trimmed, catches up to the last row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.test import Client

from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.keep.compaction import Compaction
from results.pipeline.keep.window import Window
from results.pipeline.mirror import DjangoTables
from results.pipeline.report import SyncReport
from results.pipeline.stream import MARGIN_MS
from results.stores.clickhouse import ClickHouse
from results.stores.failures import ClickHouseAway
from tests.results.pipeline.made import NOW_US, Side, entry_of
from tests.results.pipeline.made_trades import Portfolio
from tests.results.stores.made import EmbeddedProcess
from trading.domain.units import DAY_US
from trading.engine.alarms import alarms
from trading.stores import keys
from trading.stores.monitor_store import SnapshotStore

DAYS = 4
ROWS = 600  # a day
NAMES = ("result_metrics", "funding_payment", "order_fill", "paper_trade")


class Days:
    """A desk whose days pass by its clock and by the ids of its entries, not by the machine's."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.rows = self.version = 0

    def passes(self, of: int = ROWS) -> SyncReport:
        """A day on which half of the rows are new and half are newer versions, and what follows it."""
        self.side.now_us += DAY_US
        self.version += 1
        at_ms = self.side.now_us // 1_000
        for number in range(of):
            key = number if number % 2 else self.rows + number
            self.side.add(entry_of(NAMES[number % len(NAMES)], key, self.version), f"{at_ms + number}-0")
        self.rows += of
        return self.side.settle()

    def housekeeping_waits(self, failure: type[Exception]) -> None:
        """Nobody removes anything for good while a follower is away: each of them says so."""
        side = self.side
        clickhouse = ClickHouseTables(lambda: side.clickhouse, lambda: side.gate)
        followers = (DjangoTables(), clickhouse)
        keepers: list[Callable[[], object]] = [
            lambda: Compaction(side.gate, followers, lambda: side.now_us).run(),
            lambda: Window(side.gate, lambda: side.clickhouse, clickhouse, 0, lambda: side.now_us).run(),
        ]
        for remove in keepers:
            with pytest.raises(failure):
                remove()

    def check_all_the_same(self) -> None:
        """Every row is in every store, once, with the hash of its values."""
        report = self.side.verifier().run()
        assert (report.verdict, report.differences, report.behind) == ("agree", [], {})
        assert {store for store in report.duplicates if "clickhouse" in store} == set()


def told(side: Side) -> tuple[dict[str, int], list[str]]:
    """Who is behind by `/readyz`, and the alarms of the live page."""
    return Client().get("/readyz").json()["behind"], alarms({"age_ms": 0}, {}, SnapshotStore(side.client).sync(), {})


def test_a_clickhouse_that_was_stopped_for_days_catches_up_exactly(
    side: Side, embedded: EmbeddedProcess, tmp_path: Path
) -> None:
    days, port = Days(side), embedded.port
    side.clickhouse = ClickHouse(embedded.url("away"))
    side.clickhouse.migrate()
    assert days.passes().is_level
    embedded.stop()
    report = days.passes()
    since_us = report.followers["clickhouse"].since_us
    trimmed = report.trimmed
    for _ in range(DAYS - 1):
        report = days.passes()
        trimmed += report.trimmed
    assert (report.followers["clickhouse"].lag, report.followers["django"].lag) == (DAYS * ROWS, 0)
    assert since_us == report.followers["clickhouse"].since_us == NOW_US + 2 * DAY_US
    assert trimmed >= (DAYS - 1) * ROWS  # the log keeps for ClickHouse what Redis need not
    assert side.client.xlen(keys.OUTBOX) <= ROWS + 1 < MARGIN_MS
    assert told(side) == (
        {"clickhouse": DAYS * ROWS},
        [f"ClickHouse is in trouble since 2024-11-09 17:20:00 UTC; {DAYS * ROWS} rows wait."],
    )
    days.housekeeping_waits(ClickHouseAway)

    back = EmbeddedProcess(tmp_path / "clickhouse", port)
    try:
        side.now_us += DAY_US
        side.sync = side.new_sync()  # its process was started anew meanwhile
        report = side.settle()
        assert (report.is_level, report.changed) == (True, {"clickhouse": DAYS * ROWS})
        assert told(side) == ({}, [])
        days.check_all_the_same()
        assert (side.settle().changed, days.passes(10).changed) == ({}, {"clickhouse": 10, "django": 10})
    finally:
        back.stop()


@pytest.mark.both_databases
def test_a_database_that_cannot_be_reached_for_days_catches_up_exactly(side: Side) -> None:
    def refuse(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        raise OperationalError("connection refused")

    days, portfolio = Days(side), Portfolio(side.client)
    assert days.passes().is_level
    with connection.execute_wrapper(refuse):
        trimmed = sum(days.passes().trimmed for _ in range(DAYS))
        assert trimmed >= (DAYS - 1) * ROWS
        report = side.sync.once()
        assert (report.followers["django"].lag, report.followers["clickhouse"].lag) == (DAYS * ROWS, 0)
        assert report.followers["duckdb"].error is None
        days.housekeeping_waits(DatabaseError)
        closed = portfolio.closed(portfolio.opened(1))  # what waits for its reconciliation is kept in the stream
        for _ in range(2):
            assert side.sync.once().trimmed == 0
    behind, sentences = told(side)
    assert behind.keys() == {"relay", "sweep", "reconcile", "django"}
    assert behind["django"] > DAYS * ROWS
    assert f"The Django tables is in trouble since 2024-11-09 17:20:00 UTC; {behind['django']} rows wait." in sentences

    side.sync = side.new_sync()
    report = side.settle()
    assert (report.is_level, report.reconciled) == (True, 1)
    assert side.client.exists(keys.reconciliation(closed.id))
    assert told(side) == ({}, [])
    days.check_all_the_same()
