"""The sync end to end, on real stores: exactly once, each follower on its own."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection

from results import tasks, wiring
from results.models import FollowerWatermark, TradeResult
from results.pipeline import sync
from results.pipeline.log_slice import SEQS_PER_SLICE
from results.pipeline.report import published
from results.pipeline.stream import BATCH_ENTRIES
from results.stores.clickhouse import ClickHouse
from results.stores.schema import TABLES
from tests.results.pipeline.made import NOW_US, Side
from tests.results.pipeline.made_trades import Portfolio
from tests.results.stores.made import EmbeddedProcess
from trading.stores import keys

POINTS = ("reconcile", "dead_lettered", "appended", "django", "clickhouse")


class Killed(Exception):
    """Stands for a process that ends here."""


@pytest.mark.both_databases
def test_rows_of_every_table_reach_every_store_and_a_second_sync_changes_nothing(side: Side) -> None:
    for number in range(1, 31):
        for table in TABLES:
            side.emit(table, number)
    report = side.settle()
    assert (report.appended, report.dead_letters, report.is_level) == (30 * len(TABLES), 0, True)
    for table in TABLES:
        marks = side.marks(table)
        assert len(marks["duckdb"]) == 30
        assert marks["duckdb"] == marks["clickhouse"]
        assert marks["django"] == ({} if TABLES[table].is_born else marks["duckdb"])
        assert all(mark.stored == mark.recomputed for mark in marks["django"].values())
    again = side.new_sync().once()
    assert (again.appended, again.changed, again.dead_letters) == (0, {}, 0)
    assert side.log_length("trade_result") == 30


@pytest.mark.both_databases
def test_of_several_versions_in_one_batch_the_newest_is_kept_and_an_older_one_never_replaces_it(side: Side) -> None:
    for version in (1, 3, 2):
        side.emit("trade_result", 1, version, symbol=f"version {version}")
    side.settle()
    assert TradeResult.objects.get().symbol == "version 3"
    side.emit("trade_result", 1, 2, symbol="late")
    side.settle()
    assert TradeResult.objects.get().symbol == "version 3"
    assert side.log_length("trade_result") == 4
    marks = side.marks("trade_result")
    assert marks["duckdb"] == marks["django"] == marks["clickhouse"]


def test_more_rows_than_one_slice_are_carried_over_in_several(side: Side) -> None:
    count = SEQS_PER_SLICE + 10
    for number in range(count):
        side.emit("result_metrics", number)
    report = side.settle()
    assert report.is_level
    assert (report.appended, report.changed) == (count, {"django": count, "clickhouse": count})
    assert len(side.marks("result_metrics")["clickhouse"]) == count


def test_a_long_stream_is_in_the_log_before_the_followers_get_their_next_slice(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RECONCILE_SECONDS", "APPEND_SECONDS"):
        monkeypatch.setattr(sync, name, 3_600.0)
    monkeypatch.setattr(sync, "BATCHES_PER_TURN", 1)
    count = BATCH_ENTRIES + 10
    for number in range(count):
        side.emit("result_metrics", number)
    passed: list[tuple[str, int]] = []
    side.new_sync().once(lambda point, rows: passed.append((point, rows)), seconds_max=3_600.0)
    written = [each for each in passed if each[0] in ("appended", "django", "clickhouse")]
    assert written[:3] == [("appended", BATCH_ENTRIES), ("appended", 10), ("django", BATCH_ENTRIES)]
    assert sum(rows for point, rows in written if point == "clickhouse") == count


@pytest.mark.parametrize("point", POINTS)
def test_a_sync_killed_at_any_point_loses_and_doubles_nothing(side: Side, point: str) -> None:
    for number in range(1, 101):
        side.emit("trade_result", number)
    side.add({"table": "trade_result", "id": "1", "version": "1"})

    def die(passed: str, _count: int) -> None:
        if passed == point:
            raise Killed

    with pytest.raises(Killed):
        side.sync.once(die)
    side.sync = side.new_sync()
    report = side.settle()
    assert report.is_level
    assert side.log_length("trade_result") == 100
    marks = side.marks("trade_result")
    assert len(marks["duckdb"]) == 100
    assert marks["duckdb"] == marks["django"] == marks["clickhouse"]
    assert side.client.xlen(keys.DEAD_LETTERS) == 1


def test_an_entry_that_is_no_row_becomes_a_dead_letter_and_is_not_in_the_way(side: Side) -> None:
    side.emit("trade_result", 1)
    good = side.entries()[0][1]
    bad = {
        "the row has columns": {**good, b"row": good[b"row"].replace(b'"symbol"', b'"symbols"')},
        "row_hash is": {**good, b"row": good[b"row"].replace(b'"pnl":"1.', b'"pnl":"2.')},
        "there is no table 'trades'": {**good, b"table": b"trades"},
        "the entry has no row": {name: value for name, value in good.items() if name != b"row"},
        "the row cannot be read": {**good, b"row": b"{"},
        "version is": {**good, b"version": b"2"},
    }
    sources = [side.add(fields) for fields in bad.values()]
    side.emit("trade_result", 2)
    report = side.settle()
    assert (report.appended, report.dead_letters, report.is_level) == (2, len(bad), True)
    letters = [fields for _, fields in side.entries(keys.DEAD_LETTERS)]
    assert [letter[b"source"].decode() for letter in letters] == sources
    for letter, reason in zip(letters, bad, strict=True):
        assert letter[b"reason"].decode().startswith(reason)
    assert letters[1][b"row"] == bad["row_hash is"][b"row"]


@pytest.mark.parametrize(
    "changes",
    [
        {"direction": "sideways "},  # nine characters of eight
        {"symbol": "BTC\0USDT"},
        {"executed_at": 2**62},
        {"day": datetime.date(1899, 12, 31)},
        {"version": 2**63},
    ],
)
def test_a_row_that_not_every_store_can_hold_is_a_dead_letter(side: Side, changes: dict[str, Any]) -> None:
    side.emit("trade_result", 1, **changes)
    side.emit("trade_result", 2)
    report = side.settle()
    assert (report.appended, report.dead_letters, report.is_level) == (1, 1, True)
    assert next(iter(changes)).encode() in side.entries(keys.DEAD_LETTERS)[0][1][b"reason"]


def test_a_clickhouse_that_is_away_holds_up_nobody_and_catches_up_later(
    side: Side, embedded: EmbeddedProcess, tmp_path: Path
) -> None:
    port = embedded.port
    side.clickhouse = ClickHouse(embedded.url("away"))
    side.clickhouse.migrate()
    side.emit("trade_result", 1)
    assert side.settle().is_level
    embedded.kill()

    for number in (2, 3):
        side.emit("trade_result", number)
    side.now_us = NOW_US + 5_000_000
    report = side.settle()
    away = report.followers["clickhouse"]
    assert report.followers["django"].lag == 0
    assert TradeResult.objects.count() == 3
    assert (away.lag, away.since_us, away.at_us) == (2, NOW_US + 5_000_000, NOW_US)
    assert away.error is not None
    assert f"ClickHouse at 127.0.0.1:{port} is away" in away.error

    side.now_us += 3_000_000
    later = side.new_sync().once()  # another process, with nothing new: it still knows since when
    assert later.followers["clickhouse"].since_us == NOW_US + 5_000_000
    assert published(side.client)["clickhouse"].lag == 2

    back = EmbeddedProcess(tmp_path / "clickhouse", port)
    try:
        report = side.settle()
        assert report.is_level
        assert (report.changed, report.followers["clickhouse"].since_us) == ({"clickhouse": 2}, None)
        assert len(side.marks("trade_result")["clickhouse"]) == 3
    finally:
        back.stop()


def test_a_database_that_is_away_holds_up_nobody_and_catches_up_later(side: Side) -> None:
    def refuse(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        raise OperationalError("connection refused")

    portfolio = Portfolio(side.client)
    trade = portfolio.opened(1)
    with connection.execute_wrapper(refuse):
        portfolio.closed(trade)
        report = side.sync.once()
    told = {name: (state.error or "").partition(":")[0] for name, state in report.followers.items()}
    assert (told["reconcile"], told["django"]) == ("OperationalError", "OperationalError")
    assert (told["duckdb"], told["clickhouse"]) == ("", "")
    assert (report.followers["duckdb"].lag, report.followers["clickhouse"].lag) == (0, 0)
    assert side.settle().is_level
    assert side.client.exists(f"reconciliation:{trade.id}")


def test_a_clickhouse_that_has_no_tables_gets_them_and_every_row(side: Side, embedded: EmbeddedProcess) -> None:
    side.emit("trade_result", 1)
    assert side.settle().is_level
    side.emit("trade_result", 2)
    side.clickhouse = ClickHouse(embedded.url("new"))  # nobody migrated it: it was away when the desk started
    report = side.settle()
    assert (report.is_level, report.followers["clickhouse"].error) == (True, None)
    assert len(side.marks("trade_result")["clickhouse"]) == 2


def test_a_migration_of_clickhouse_that_broke_off_is_finished_by_the_sync(
    side: Side, embedded: EmbeddedProcess
) -> None:
    side.clickhouse = ClickHouse(embedded.url("half"))
    side.clickhouse.migrate()
    for name in ("follower_mark", "trade_result_log"):  # the marks are made last, so they lack with any other
        side.clickhouse.command(f"DROP TABLE {name} SYNC")
    side.emit("trade_result", 1)
    assert side.settle().is_level
    assert len(side.marks("trade_result")["clickhouse"]) == 1


def test_a_turn_between_two_syncs_is_taken_only_after_one_that_did_not_settle_everything(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "sync", lambda: side.sync)

    def caught_up() -> bool:
        side.now_us += 1
        tasks.catch_up()
        return published(side.client)["duckdb"].at_us == side.now_us

    assert caught_up()  # the first of this process
    assert not caught_up()
    with monkeypatch.context() as broken:
        broken.setattr(side, "clickhouse", ClickHouse("http://127.0.0.1:1/nobody"))
        side.emit("trade_result", 1)
        side.sync.once()
    assert caught_up()
    assert published(side.client)["clickhouse"].lag == 0
    with monkeypatch.context() as broken:
        broken.setattr(side.sync.stream, "state", _raise_killed)
        with pytest.raises(Killed):
            side.sync.once()
    assert caught_up()
    assert not caught_up()


def _raise_killed() -> None:
    raise Killed


def test_a_sync_with_nothing_to_do_does_not_open_the_log(side: Side) -> None:
    side.emit("trade_result", 1)
    side.settle()
    with side.gate.write():  # whoever wanted the log would wait for it in vain
        for _ in range(20):
            report = side.sync.once()
            assert report.is_level
            assert not [name for name, state in report.followers.items() if state.error]


def test_a_stream_that_lost_its_tail_begins_a_new_epoch_and_nothing_is_lost_or_doubled(side: Side) -> None:
    for number in (1, 2, 3):
        side.emit("trade_result", number)
    entries = side.entries()
    first = side.settle().epoch
    side.client.delete(keys.OUTBOX)  # an older copy of Redis is restored: it has two of three entries
    for stream_id, fields in entries[:2]:
        side.add(fields, stream_id)
    report = side.new_sync().once()
    assert report.epoch_began
    assert report.epoch != first
    assert side.client.get(keys.OUTBOX_EPOCH) == report.epoch.encode()
    side.emit("trade_result", 4)
    assert side.settle().is_level
    assert side.log_length("trade_result") == 4
    assert TradeResult.objects.count() == 4


def test_a_replaced_log_is_followed_anew(side: Side) -> None:
    side.emit("trade_result", 1)
    side.settle()
    FollowerWatermark.objects.update(mark="1/0-0/0")  # the mark of another log's row
    TradeResult.objects.all().delete()
    side.emit("trade_result", 2)
    side.settle()
    assert TradeResult.objects.count() == 2
