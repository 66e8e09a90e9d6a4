"""The verifier finds one changed cell, a missing and an extra row, in each of the stores, and names it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from results.models import TradeResult
from results.pipeline.verify.comparison import Kind
from results.stores.clickhouse import ClickHouse
from results.stores.failures import ClickHouseAway
from tests.results.pipeline.damage import Book
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import PREFIX
from trading.stores import keys


@pytest.fixture
def book(side: Side) -> Book:
    return Book(side)


@pytest.mark.both_databases
def test_stores_that_hold_the_same_agree(book: Book) -> None:
    report = book.verified()
    assert (report.verdict, report.difference_count, report.behind, report.away) == ("agree", 0, {}, {})
    results = next(table for table in report.tables if table.table == "trade_result")
    assert set(results.stores) == {"duckdb", "django", "clickhouse", "redis"}
    assert {fingerprint.count for fingerprint in results.stores.values()} == {14}  # 3 x 4 orders + 2
    assert len(set(results.stores.values())) == 1
    trades = next(table for table in report.tables if table.table == "paper_trade")
    assert len(set(trades.stores.values())) == 1


@pytest.mark.both_databases
def test_a_changed_cell_in_django_is_named(book: Book) -> None:
    TradeResult.objects.filter(pk=book.result_id).update(commission=Decimal("9.9"))
    assert book.found() == [("trade_result", "django", book.result_id, Kind.CORRUPT)]


def test_a_changed_cell_in_clickhouse_is_named(book: Book) -> None:
    book.in_clickhouse(f"ALTER TABLE trade_result_log UPDATE commission = 9.9 WHERE result_id = '{book.result_id}'")
    assert book.found() == [("trade_result", "clickhouse", book.result_id, Kind.CORRUPT)]


def test_a_changed_cell_in_the_log_is_named_and_the_others_are_not_blamed(book: Book) -> None:
    book.in_duckdb("UPDATE trade_result_log SET commission = 9.9 WHERE result_id = ?", book.result_id)
    assert book.found() == [("trade_result", "duckdb", book.result_id, Kind.CORRUPT)]


def test_a_changed_cell_in_a_result_hash_is_named(book: Book) -> None:
    book.side.client.hset(keys.result(book.result_id), "commission", "9.9")
    assert book.found() == [("trade_result", "redis", book.result_id, Kind.CORRUPT)]


def test_a_changed_price_in_a_closed_trade_in_redis_is_named(book: Book) -> None:
    key = keys.PortfolioKeys(PREFIX).closed_trade(book.trade.id)
    raw: Any = book.side.client.get(key)
    book.side.client.set(key, raw.replace(b'"entry_long_price":40000', b'"entry_long_price":40001'))
    assert book.found() == [("paper_trade", "redis", book.trade.id, Kind.DIFFERENT)]


def test_a_hash_that_was_merely_copied_proves_nothing(book: Book) -> None:
    TradeResult.objects.filter(pk=book.result_id).update(commission=Decimal("9.9"))
    assert book.side.verifier().run(recompute=False).verdict == "agree"
    assert book.verified().verdict == "differ"


@pytest.mark.parametrize("store", ["django", "clickhouse"])
def test_a_missing_row_is_named(book: Book, store: str) -> None:
    if store == "django":
        TradeResult.objects.filter(pk=book.result_id).delete()
    else:
        book.in_clickhouse(f"ALTER TABLE trade_result_log DELETE WHERE result_id = '{book.result_id}'")
    assert book.found() == [("trade_result", store, book.result_id, Kind.MISSING)]


def test_a_row_that_the_log_lost_is_extra_everywhere_else(book: Book) -> None:
    book.in_duckdb("DELETE FROM trade_result_log WHERE result_id = ?", book.result_id)
    assert sorted(book.found()) == [
        ("trade_result", store, book.result_id, Kind.EXTRA) for store in ("clickhouse", "django", "redis")
    ]


def test_an_extra_row_is_named(book: Book) -> None:
    row = TradeResult.objects.get(pk=book.result_id)
    row.result_id = "00000000-0000-4000-8000-000000000001"
    row.save(force_insert=True)
    kinds = {(store, key): kind for _, store, key, kind in book.found()}
    assert list(kinds) == [("django", str(row.result_id))]


def test_a_reconciliation_and_metrics_are_compared_too(book: Book) -> None:
    book.side.client.hset(keys.reconciliation(book.trade.id), "reconciliation_status", "failed")
    book.side.client.hset(keys.result_metrics(book.result_id), "network_latency_ms", "99")
    assert sorted(book.found()) == [
        ("result_metrics", "redis", book.result_id, Kind.CORRUPT),
        ("trade_reconciliation", "redis", book.trade.id, Kind.CORRUPT),
    ]


def test_entries_that_the_log_has_yet_to_take_are_behind_and_do_not_differ(book: Book) -> None:
    book.portfolio.closed(book.open_trade)
    report = book.verified()
    assert (report.verdict, report.difference_count) == ("behind", 0)
    assert report.behind == {"duckdb": 7}  # the trade, two results, their metrics and fills
    book.side.settle()
    assert book.verified().verdict == "agree"


def test_a_follower_that_has_not_confirmed_is_behind_and_one_that_has_lost_a_row_differs(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ClickHouse, "insert", _away)
        book.portfolio.closed(book.open_trade)
        book.side.settle()
    report = book.verified()
    assert (report.verdict, report.difference_count) == ("behind", 0)
    assert report.behind == {"clickhouse": 8}  # the trade, two results, their metrics and fills, a reconciliation
    assert report.followers["clickhouse"].lag == 8
    book.side.settle()
    assert book.verified().verdict == "agree"


def _away(*_: object) -> int:
    raise ClickHouseAway("ClickHouse is away")


def test_a_clickhouse_that_is_away_is_told_and_the_others_are_compared(book: Book) -> None:
    book.side.clickhouse = ClickHouse("http://default@127.0.0.1:1/nowhere")
    report = book.verified()
    assert (report.verdict, list(report.away)) == ("behind", ["clickhouse"])
    TradeResult.objects.filter(pk=book.result_id).update(commission=Decimal("9.9"))
    assert book.found() == [("trade_result", "django", book.result_id, Kind.CORRUPT)]


def test_a_hash_of_another_program_is_counted_and_an_unreadable_one_of_ours_is_told(book: Book) -> None:
    theirs: Any = {"trade_id": book.trade.id, "state": "executed"}
    book.side.client.hset(keys.result("123e4567-e89b-12d3-a456-426614174000"), mapping=theirs)
    assert (book.verified().verdict, book.verified().foreign) == ("agree", 1)
    book.side.client.hset(keys.result(book.result_id), "commission", "much")
    report = book.verified()
    assert report.verdict == "differ"
    assert "commission" in report.unreadable[0]


def test_one_table_and_one_day_can_be_asked_for(book: Book) -> None:
    TradeResult.objects.filter(pk=book.result_id).update(commission=Decimal("9.9"))
    day = TradeResult.objects.get(pk=book.result_id).day
    verifier = book.side.verifier()
    assert verifier.run(["paper_trade"]).verdict == "agree"
    assert verifier.run(["trade_result"], day).verdict == "differ"
    assert verifier.run(["trade_result"], day.replace(year=2020)).rows == 0


def test_the_report_is_json(book: Book) -> None:
    report = book.verified()
    told = msgspec.json.decode(msgspec.json.encode(report))
    assert told["verdict"] == "agree"
    assert told["tables"][0]["stores"]["duckdb"]["count"] > 0
