"""Exports as the desk's own server sends them: whole, or visibly not; and told in the audit trail."""

from __future__ import annotations

import csv
import datetime
import http.client
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow.parquet
import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect

from paperdesk import list_export
from paperdesk.embedded.ports import LOCAL, free_port
from paperdesk.list_export import Rows
from paperdesk.roles import ANALYST
from results.review_models import AuditEntry
from tests.web.browsing import browsing, serving
from tests.web.rows import NOON, row
from trading.models import PaperTrade

pytestmark = [pytest.mark.django_db(transaction=True)]

TRADES = "/admin/trading/papertrade/"
SECONDS_MAX = 60.0


@pytest.fixture
def server(user_of: Callable[[str], User], redis_client: redis.Redis) -> Iterator[int]:
    user_of(ANALYST)
    trades = [row(PaperTrade, symbol="ETHUSDT" if number % 2 else "BTCUSDT") for number in range(240)]
    for number, trade in enumerate(trades):
        trade.entry_time = NOON + datetime.timedelta(seconds=number)
    PaperTrade.objects.bulk_create(trades)
    port = free_port()
    with serving(port):
        yield port


@pytest.fixture
def connection(server: int) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection(LOCAL, server, timeout=SECONDS_MAX)
    yield made
    made.close()


def asked(connection: http.client.HTTPConnection, client: Client, file_format: str) -> http.client.HTTPResponse:
    """The answer to a press of the button, as a browser gets it."""
    client.get(f"{TRADES}")
    token = client.cookies["csrftoken"].value
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    headers = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": token}
    connection.request("POST", f"{TRADES}export/", f"format={file_format}", headers)
    answer = connection.getresponse()
    assert answer.status == 200
    return answer


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("number").values_list("action", flat=True))


def wait_for(actions_wanted: list[str]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while actions() != actions_wanted:
        assert time.monotonic() < deadline, actions()
        time.sleep(0.05)


@pytest.mark.browser
@pytest.mark.parametrize("name", ["CSV", "Parquet"])
def test_a_browser_gets_the_filtered_rows_as_a_file(server: int, name: str) -> None:
    with browsing(server) as desk:
        page: Page = desk.logged_in(f"{TRADES}?symbol=ETHUSDT", ANALYST)
        expect(page.get_by_text("Export these rows")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        content = download.value.path().read_bytes()
    rows: list[dict[str, Any]]
    if name == "CSV":
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    else:
        rows = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    assert (len(rows), {each["symbol"] for each in rows}) == (120, {"ETHUSDT"})


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_file_that_an_error_ended_is_not_taken_for_a_whole_one(
    connection: http.client.HTTPConnection,
    client_of: Callable[[str], Client],
    monkeypatch: pytest.MonkeyPatch,
    file_format: str,
) -> None:
    pages = Rows.pages

    def two_pages(rows: Rows) -> Iterator[list[tuple[Any, ...]]]:
        every = pages(rows)
        yield next(every)
        yield next(every)
        raise OSError("the disk is gone")

    monkeypatch.setattr(list_export, "ROWS_PER_PAGE", 50)
    monkeypatch.setattr(Rows, "pages", two_pages)
    answer = asked(connection, client_of(ANALYST), file_format)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)) as broken:
        answer.read()
    sent = getattr(broken.value, "partial", b"")
    if file_format == "parquet":
        with pytest.raises(pyarrow.ArrowInvalid):
            pyarrow.parquet.read_table(io.BytesIO(sent))
    wait_for(["export begun", "export broken off"])
    assert "the disk is gone" in (AuditEntry.objects.get(action="export broken off").after or "")


def test_a_reader_that_goes_away_ends_the_reading_and_is_told_of(
    connection: http.client.HTTPConnection, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = Rows.pages

    def without_end(rows: Rows) -> Iterator[list[tuple[Any, ...]]]:
        while True:
            yield from pages(rows)

    monkeypatch.setattr(list_export, "ROWS_PER_PAGE", 50)
    monkeypatch.setattr(Rows, "pages", without_end)
    answer = asked(connection, client_of(ANALYST), "csv")
    assert answer.read(1_000)
    answer.close()
    connection.close()
    wait_for(["export begun", "export broken off"])
    assert "the reader went away" in (AuditEntry.objects.get(action="export broken off").after or "")


def test_a_file_is_sent_while_it_is_read(
    connection: http.client.HTTPConnection, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_export, "ROWS_PER_PAGE", 50)
    answer = asked(connection, client_of(ANALYST), "csv")
    assert answer.getheader("Transfer-Encoding") == "chunked"
    rows = list(csv.DictReader(io.StringIO(answer.read().decode(), newline="")))
    assert len({each["id"] for each in rows}) == 240
    wait_for(["export begun", "exported"])
