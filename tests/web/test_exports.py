"""The rows of a list as a file: those that filters and search leave, exact, harmless, and in the audit trail."""

from __future__ import annotations

import csv
import datetime
import io
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow.parquet
import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from paperdesk import list_export
from paperdesk.list_export import ListExport, Rows, Stream
from paperdesk.roles import ANALYST, STAFF
from results.audit.trail import audit_broken
from results.models import DeadLetter, ResultMetrics, TradeResult
from results.review_models import AuditEntry
from tests.web.rows import NOON, row
from trading.models import PaperTrade

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

RESULTS = "/admin/results/traderesult/export/"
TRADES = "/admin/trading/papertrade/export/"
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1+1", "＠SUM(A1)"]


@pytest.fixture
def analyst(client_of: Callable[[str], Client]) -> Client:
    return client_of(ANALYST)


def pieces_of(answer: Any) -> list[bytes]:
    """What is sent, piece by piece, as the desk's server asks for it; at its end the client closes the answer."""

    async def collect() -> list[bytes]:
        return [piece async for piece in answer.streaming_content]

    return async_to_sync(collect)()


def exported(client: Client, address: str, file_format: str = "parquet") -> list[dict[str, Any]]:
    """The rows of the file, as a program reads them."""
    answer = client.post(address, {"format": file_format})
    assert answer.status_code == 200
    content = b"".join(pieces_of(answer))
    if file_format == "parquet":
        found: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
        return found
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def told() -> list[tuple[str, str, str, dict[str, Any]]]:
    """The audit trail."""
    assert audit_broken() is None
    entries = AuditEntry.objects.order_by("number")
    return [(each.who, each.action, each.subject, msgspec.json.decode(each.after or "{}")) for each in entries]


def test_every_list_of_a_durable_table_can_be_exported(analyst: Client) -> None:
    analyst.get("/admin/")  # what is registered is known once the addresses are
    lists = [each for each in admin.site._registry.values() if isinstance(each, ListExport)]
    assert len(lists) >= 12
    for each in lists:
        place = f"/admin/{each.opts.app_label}/{each.opts.model_name}/"
        assert f'action="{place}export/?"' in analyst.get(place).content.decode()
        for file_format in ("csv", "parquet"):
            exported(analyst, f"{place}export/", file_format)


def test_a_file_has_every_column_exactly_as_it_is_stored(analyst: Client) -> None:
    saved = row(TradeResult, pnl=Decimal("-12345678901234567890.000000000001"), requested_price=None)
    saved.save()
    (found,) = exported(analyst, RESULTS)
    assert list(found) == [field.column for field in TradeResult._meta.local_fields]
    assert found["result_id"] == str(saved.pk)
    assert found["pnl"] == Decimal("-12345678901234567890.000000000001")
    assert found["executed_at"] == NOON
    assert found["executed_at"].utcoffset() == datetime.timedelta(0)
    assert found["requested_price"] is None
    (as_text,) = exported(analyst, RESULTS, "csv")
    assert as_text["pnl"] == "-12345678901234567890.000000000001"
    assert as_text["executed_at"] == "2026-01-31T12:00:00.250001Z"
    assert as_text["requested_price"] == ""


def test_in_csv_no_text_is_a_formula_and_every_number_is_one(analyst: Client) -> None:
    for text in [*FORMULAS, "BTCUSDT", 'a "b", c']:
        row(TradeResult, symbol=text, pnl=Decimal("-0.5")).save()
    rows = exported(analyst, RESULTS, "csv")
    assert sorted(each["symbol"] for each in rows) == sorted(
        [f"'{text}" for text in FORMULAS] + ["BTCUSDT", 'a "b", c']
    )
    assert {each["pnl"] for each in rows} == {"-0.500000000000"}
    content = "=cmd|' /C calc'!A0"
    DeadLetter.objects.create(id="1-0", kind="hash", key="-x", table="", reason="r", content=content, found_at=NOON)
    (letter,) = exported(analyst, "/admin/results/deadletter/export/", "csv")
    assert (letter["key"], letter["content"], letter["tries"]) == ("'-x", f"'{content}", "0")


def test_filters_and_search_choose_the_rows_and_pages_do_not(analyst: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [row(PaperTrade, symbol="ETHUSDT") for _ in range(60)]
    PaperTrade.objects.bulk_create([*mine, *(row(PaperTrade) for _ in range(5))])
    monkeypatch.setattr(list_export, "ROWS_PER_PAGE", 7)
    ids = [each["id"] for each in exported(analyst, f"{TRADES}?symbol=ETHUSDT&p=2")]
    assert sorted(ids) == sorted(str(trade.pk) for trade in mine)
    (found,) = exported(analyst, f"{TRADES}?q={mine[3].pk}")
    assert found["id"] == str(mine[3].pk)
    assert exported(analyst, f"{TRADES}?period=hour") == []


@pytest.mark.parametrize("model", [TradeResult, ResultMetrics, PaperTrade])
def test_no_row_is_left_out_or_doubled_where_times_are_equal(
    analyst: Client, monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    monkeypatch.setattr(list_export, "ROWS_PER_PAGE", 4)
    time = {TradeResult: "executed_at", ResultMetrics: "created_at", PaperTrade: "entry_time"}[model]
    for number in range(25):
        row(model, **{time: NOON + datetime.timedelta(seconds=number // 9)}).save()
    place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/export/"
    rows = exported(analyst, place)
    key = model._meta.pk.name
    expected = sorted(model.objects.all(), key=lambda each: (-getattr(each, time).timestamp(), each.pk))
    assert [each[key] for each in rows] == [str(each.pk) for each in expected]


def test_rows_are_read_page_by_page_without_an_offset(analyst: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_export, "ROWS_PER_PAGE", 10)
    TradeResult.objects.bulk_create(row(TradeResult) for _ in range(35))
    answer = analyst.post(RESULTS, {"format": "csv"})
    with CaptureQueriesContext(connection) as queries:
        pieces = pieces_of(answer)
    read = [query["sql"] for query in queries if 'FROM "trade_result"' in query["sql"]]
    assert len(read) == 5  # four pages, and one more that is empty
    assert all("LIMIT 10" in sql and "OFFSET" not in sql for sql in read)
    assert len([piece for piece in pieces if piece]) >= 4


def test_who_exported_which_rows_of_which_list_is_in_the_audit_trail(analyst: Client) -> None:
    for symbol in ("ETHUSDT", "ETHUSDT", "BTCUSDT"):
        row(PaperTrade, symbol=symbol).save()
    exported(analyst, f"{TRADES}?symbol=ETHUSDT", "csv")
    begun = {"format": "csv", "filters": {"symbol": "ETHUSDT"}}
    assert told() == [
        (ANALYST, "export begun", "list paper_trade", begun),
        (ANALYST, "exported", "list paper_trade", {**begun, "rows": 2}),
    ]


def test_a_reader_who_goes_away_is_told_of(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_export, "ROWS_PER_PAGE", 5)
    PaperTrade.objects.bulk_create(row(PaperTrade) for _ in range(12))
    stream = Stream(Rows(PaperTrade.objects.all(), "entry_time"), "csv", {}, "ann")
    assert async_to_sync(stream.__anext__)()
    stream.close()
    stream.close()
    assert [(action, more.get("rows"), more.get("why")) for _, action, _, more in told()] == [
        ("export begun", None, None),
        ("export broken off", 5, "the reader went away"),
    ]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_an_error_on_the_way_ends_the_answer_with_an_error(
    analyst: Client, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    monkeypatch.setattr(list_export, "ROWS_PER_PAGE", 5)
    PaperTrade.objects.bulk_create(row(PaperTrade) for _ in range(12))
    answer = analyst.post(TRADES, {"format": file_format})
    sent: list[bytes] = []

    async def collect() -> None:
        async for piece in answer.streaming_content:
            sent.append(piece)
            monkeypatch.setattr(list_export, "ROWS_PER_PAGE", -1)

    with pytest.raises(ValueError, match="Negative indexing"):
        async_to_sync(collect)()
    assert [action for _, action, _, _ in told()] == ["export begun", "export broken off"]
    assert not b"".join(sent).endswith(b"PAR1")


def test_who_may_not_see_a_list_exports_nothing_of_it(client_of: Callable[[str], Client], user_of: Any) -> None:
    row(PaperTrade).save()
    user_of(STAFF).groups.clear()
    assert client_of(STAFF).post(TRADES, {"format": "csv"}).status_code == 403
    assert client_of("anonymous").post(TRADES, {"format": "csv"}).status_code == 302
    assert told() == []


def test_an_export_is_asked_for_by_a_form_in_one_of_two_formats(analyst: Client) -> None:
    assert analyst.get(TRADES).status_code == 405
    answer = analyst.post(TRADES, {"format": "xls"})
    assert (answer.status_code, answer.content) == (400, b"format 'xls': csv or parquet")
    assert analyst.post(f"{TRADES}?nonsense__x=1", {"format": "csv"}).status_code == 302
    assert told() == []


def test_a_file_is_named_after_its_table_and_moment(analyst: Client) -> None:
    answer = analyst.post(f"{TRADES}?q={uuid.uuid4()}", {"format": "parquet"})
    pieces_of(answer)
    assert answer["Content-Type"] == "application/vnd.apache.parquet"
    assert answer["Content-Disposition"].startswith('attachment; filename="paper_trade-20')
