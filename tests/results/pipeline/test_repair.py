"""Whatever is damaged in whichever store is named and repaired, and a second repair finds nothing to do."""

from __future__ import annotations

from typing import Any

import pyarrow
import pytest

from results.domain.canonical import sealed
from results.domain.outcomes import result_id_of
from results.models import TradeResult
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.mirror import DjangoTables
from results.pipeline.verify.comparison import Cell, Difference
from results.pipeline.verify.mending import RepairReport
from results.stores import duck
from results.stores.schema import TABLES
from tests.results.pipeline.damage import Book
from tests.results.pipeline.made import Side
from trading.models import PaperTrade
from trading.stores import keys
from trading.stores.hashes import is_ours, row_of_hash

RESULTS, TRADES = TABLES["trade_result"], TABLES["paper_trade"]


@pytest.fixture
def book(side: Side) -> Book:
    return Book(side)


def results_of(book: Book) -> list[str]:
    """The ids of six results, two of each closed trade."""
    return [result_id_of(order.id) for trade in book.trades for order in (trade.long_order, trade.short_order)]


def found(differences: list[Difference]) -> dict[tuple[str, str], str]:
    """Kind by store and key."""
    return {(each.store, each.key): each.kind.value for each in differences}


def repaired(book: Book) -> RepairReport:
    """The first repair; a second one finds nothing to do."""
    report = book.side.repair()
    again = book.side.repair()
    assert (again.repaired_count, again.verified.verdict) == ({}, report.verified.verdict)
    return report


def mended(report: RepairReport) -> set[tuple[str, str]]:
    """Store and key of what was sent again."""
    return {(each.store, each.key) for each in report.repaired}


def versions_of(book: Book, trade_id: str, version: int) -> pyarrow.Table:
    """A version of a trade as the log has it."""
    with book.side.gate.read() as connection:
        rows = duck.read_between(connection, TRADES, 0, duck.head(connection))
    wanted = [row["id"] == trade_id and row["version"] == version for row in rows.to_pylist()]
    return rows.filter(pyarrow.array(wanted))


@pytest.mark.both_databases
def test_damage_in_the_django_tables(book: Book) -> None:
    deleted, changed, rehashed = results_of(book)[:3]
    TradeResult.objects.filter(pk=deleted).delete()
    TradeResult.objects.filter(pk=changed).update(symbol="OTHER")
    TradeResult.objects.filter(pk=rehashed).update(row_hash=7)
    PaperTrade.objects.filter(pk=book.trade.id).delete()
    DjangoTables().resend(TRADES, versions_of(book, book.trade.id, 2))
    report = book.verified()
    assert found(report.differences) == {
        ("django", deleted): "missing",
        ("django", changed): "corrupt",
        ("django", rehashed): "corrupt",
        ("django", book.trade.id): "older",
    }
    cells = {each.key: (each.other, each.cells) for each in report.differences}
    assert cells[changed] == ("duckdb", (Cell("symbol", "OTHER", "BTCUSDT"),))
    assert [cell.column for cell in cells[rehashed][1]] == ["row_hash"]
    assert {cell.column for cell in cells[book.trade.id][1]} >= {"status", "version", "row_hash"}
    mending = repaired(book)
    assert mended(mending) == set(found(report.differences))
    assert (mending.verified.verdict, mending.unrepaired) == ("agree", [])


def test_damage_in_clickhouse(book: Book) -> None:
    deleted, changed, rehashed, doubled = results_of(book)[:4]
    for statement in (
        f"DELETE WHERE result_id = '{deleted}'",
        f"UPDATE symbol = 'OTHER' WHERE result_id = '{changed}'",
        f"UPDATE row_hash = 7 WHERE result_id = '{rehashed}'",
    ):
        book.in_clickhouse(f"ALTER TABLE trade_result_log {statement}")
    columns = ", ".join(column.name for column in RESULTS.log_columns)
    book.in_clickhouse(
        f"INSERT INTO trade_result_log ({columns}) SELECT {columns} FROM trade_result_log WHERE result_id = '{doubled}'"
    )
    book.side.clickhouse.insert({TRADES.name: versions_of(book, book.trade.id, 2)}, "an older version on top")
    report = book.verified()
    assert found(report.differences) == {
        ("clickhouse", deleted): "missing",
        ("clickhouse", changed): "corrupt",
        ("clickhouse", rehashed): "corrupt",
    }
    assert report.duplicates["clickhouse trade_result"] == 1
    mending = repaired(book)
    assert mended(mending) == set(found(report.differences))
    assert (mending.verified.verdict, mending.verified.duplicates.get("clickhouse trade_result")) == ("agree", None)


def test_damage_in_the_log_is_mended_from_redis_and_from_the_django_tables(book: Book) -> None:
    deleted, changed, rehashed, elsewhere, doubled = results_of(book)[:5]
    book.in_duckdb("DELETE FROM trade_result_log WHERE result_id = ?", deleted)
    book.in_duckdb("UPDATE trade_result_log SET commission = 9.9 WHERE result_id = ?", changed)
    book.in_duckdb("UPDATE trade_result_log SET row_hash = 7 WHERE result_id = ?", rehashed)
    book.in_duckdb("UPDATE trade_result_log SET symbol = 'OTHER' WHERE result_id = ?", elsewhere)
    book.in_duckdb("DELETE FROM paper_trade_log WHERE id = ? AND version = 4", book.trade.id)
    book.in_duckdb("INSERT INTO trade_result_log FROM trade_result_log WHERE result_id = ?", doubled)
    book.side.client.delete(keys.result(elsewhere))
    book.side.client.delete(keys.OUTBOX)
    book.side.client.xadd(keys.OUTBOX, {"not": "a row"})
    report = book.verified()
    assert {key: kind for key, kind in found(report.differences).items() if key[0] == "duckdb"} == {
        ("duckdb", changed): "corrupt",
        ("duckdb", rehashed): "corrupt",
        ("duckdb", elsewhere): "corrupt",
    }
    assert found(report.differences)["django", deleted] == "extra"
    assert found(report.differences)["redis", book.trade.id] == "newer"
    assert report.duplicates["duckdb trade_result"] == 1
    mending = repaired(book)
    told = {each.key: each.sentence for each in mending.repaired}
    assert told[elsewhere] == "version 1 taken from django"
    assert told[changed] == told[deleted] == told[rehashed] == "version 1 taken from redis"
    assert told[book.trade.id] == "version 4 taken from redis"
    assert (mending.verified.verdict, mending.unrepaired) == ("agree", [])


def test_a_row_without_a_record_in_redis_is_mended_from_the_stream(side: Side) -> None:
    side.emit("funding_payment", 1)
    side.settle()
    with side.gate.write() as connection:
        connection.execute("DELETE FROM funding_payment_log").fetchall()
    assert {each.store for each in side.verifier().run().differences} == {"redis", "django", "clickhouse"}
    mending = side.repair()
    assert [each.sentence for each in mending.repaired] == ["version 1 taken from redis"]
    assert (mending.verified.verdict, side.log_length("funding_payment")) == ("agree", 1)


def test_a_corrupt_log_of_which_no_store_has_a_sound_copy_is_told_plainly(book: Book) -> None:
    damaged = results_of(book)[0]
    book.in_duckdb("UPDATE trade_result_log SET commission = 9.9 WHERE result_id = ?", damaged)
    TradeResult.objects.filter(pk=damaged).update(commission=9)
    book.in_clickhouse(f"ALTER TABLE trade_result_log UPDATE commission = 9 WHERE result_id = '{damaged}'")
    book.side.client.delete(keys.result(damaged), keys.OUTBOX)
    book.side.client.xadd(keys.OUTBOX, {"not": "a row"})
    report = repaired(book)
    assert (report.verified.verdict, report.repaired) == ("differ", [])
    assert {each.store for each in report.unrepaired} == {"duckdb", "django", "clickhouse"}
    assert "does not hash to its own row_hash, and no store has a sound copy" in report.unrepaired[0].sentence
    assert {cell.column for each in report.verified.differences for cell in each.cells} == {"row_hash"}


def test_nothing_is_deleted_and_nothing_newer_overwritten(book: Book) -> None:
    lonely, newer = results_of(book)[:2]
    foreign_key = "00000000-0000-4000-8000-000000000001"
    columns = ", ".join(column.name for column in RESULTS.log_columns if column.name != "result_id")
    book.in_clickhouse(
        f"INSERT INTO trade_result_log (result_id, {columns}) SELECT '{foreign_key}', {columns} "
        f"FROM trade_result_log WHERE result_id = '{lonely}'"
    )
    TradeResult.objects.filter(pk=newer).update(version=9)
    report = repaired(book)
    told = {(each.store, each.key): each.sentence for each in report.unrepaired}
    assert "the log has no such row" in told["clickhouse", foreign_key]
    assert told["django", newer] == "version 9 is above the log's 1, and is never overwritten"
    assert (report.verified.verdict, report.repaired) == ("differ", [])
    assert TradeResult.objects.get(pk=newer).version == 9


def test_an_older_hash_in_redis_is_brought_up_and_a_record_of_the_engine_is_not_touched(book: Book) -> None:
    result_id = results_of(book)[0]
    key = keys.result(result_id)
    held: Any = book.side.client.hgetall(key)
    row = row_of_hash(RESULTS, key, result_id, held)
    corrected = sealed(RESULTS.columns, {**row, "version": 2, "commission": 9})
    book.side.emit_row(RESULTS.name, corrected)
    book.side.settle()
    trade_key = book.portfolio.store.keys.closed_trade(book.trade.id)
    raw: Any = book.side.client.get(trade_key)
    book.side.client.set(trade_key, raw.replace(b'"entry_long_price":40000', b'"entry_long_price":40001'))
    assert found(book.verified().differences) == {("redis", result_id): "older", ("redis", book.trade.id): "different"}
    report = repaired(book)
    assert mended(report) == {("redis", result_id)}
    assert [each.sentence for each in report.unrepaired] == ["only the engine writes this record"]
    fields: Any = book.side.client.hgetall(key)
    written = row_of_hash(RESULTS, key, result_id, fields)
    assert (written["version"], written["commission"], is_ours(RESULTS, written, fields)) == (2, 9, True)


def test_a_clickhouse_that_lost_everything_is_filled_again(book: Book) -> None:
    for name in TABLES:
        book.in_clickhouse(f"TRUNCATE TABLE {name}_log")
    report = repaired(book)
    assert report.verified.verdict == "agree"
    assert set(report.repaired_count) == {"clickhouse"}


def test_the_follower_writes_again_what_its_store_remembers_as_sent(book: Book) -> None:
    """ClickHouse remembers the tokens of batches; a row that is sent again must not be taken for one of them."""
    result_id = results_of(book)[0]
    book.in_clickhouse(f"ALTER TABLE trade_result_log UPDATE symbol = 'OTHER' WHERE result_id = '{result_id}'")
    with book.side.gate.read() as connection:
        rows = duck.read_newest(connection, RESULTS, [result_id])
    follower = ClickHouseTables(lambda: book.side.clickhouse, lambda: book.side.gate)
    for _ in range(2):
        assert follower.resend(RESULTS, rows) == 1
        assert book.verified().verdict == "agree"
        book.in_clickhouse(f"ALTER TABLE trade_result_log UPDATE symbol = 'OTHER' WHERE result_id = '{result_id}'")
