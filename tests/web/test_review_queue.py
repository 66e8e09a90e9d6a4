"""The queue of review cases in the admin: its order, its filters, and that it reads no more than a page."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from paperdesk import bounded_list
from paperdesk.roles import ADMINISTRATOR, ANALYST, APPROVER, STAFF
from results.models import TradeResult
from tests.web.cases import CRITICAL, HIGH, LOW, MEDIUM, case, ids, proposed
from tests.web.conftest import ANONYMOUS, SUPERUSER
from tests.web.rows import row

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
ClientOf = Callable[[str], Client]
UserOf = Callable[[str], User]
PLACE = "/admin/results/reviewcase/"
SHOWN_ID = re.compile(r'class="row-id" href="[^"]+" title="([^"]+)"')
NOW = timezone.now()


def listed(client: Client, query: str = "") -> list[str]:
    answer = client.get(PLACE + query)
    assert answer.status_code == 200
    return SHOWN_ID.findall(answer.content.decode())


def test_the_gravest_and_oldest_come_first_and_what_is_decided_is_not_shown(
    client_of: ClientOf, user_of: UserOf
) -> None:
    old, new = case(MEDIUM, 50), case(MEDIUM, 2)
    between = proposed(user_of(STAFF), MEDIUM, hours=9)
    grave, slight = case(CRITICAL, 1), case(LOW, 500)
    decided = case(CRITICAL, 900, state="resolved", resolution="accept", resolved_at=NOW)
    cleared = case(HIGH, 900, state="cleared")
    client = client_of(ANALYST)
    assert listed(client) == ids(grave, old, between, new, slight)
    assert listed(client, "?show=resolved") == ids(decided)
    assert listed(client, "?show=cleared") == ids(cleared)
    assert listed(client, "?show=all") == ids(decided, grave, cleared, old, between, new, slight)
    assert listed(client, "?show=nonsense") == []


def test_a_row_says_in_words_what_is_wrong_since_when_and_who_proposed_what(
    client_of: ClientOf, user_of: UserOf
) -> None:
    wrong = {"kind": "pnl_residual", "rejection_reason": "P&L does not add up", "break_count": 3}
    proposed(user_of(STAFF), HIGH, hours=80, exchange=None, assignee="staff", **wrong)
    page = client_of(ANALYST).get(PLACE).content.decode()
    cells = re.findall(r'<td class="(?:field-|action)[^>]*>(.*?)</td>', page)
    words = [" ".join(re.sub(r"<[^>]+>", " ", html.unescape(cell)).split()) for cell in cells]
    assert words[:2] + words[3:] == [
        "high", "3 days ago", "BTCUSDT whole trade", "P&L does not add up 3 failures",
        "proposed staff proposes to accept: market moved", "staff", "strategy",
    ]  # fmt: skip


def test_a_reason_is_said_once_and_an_age_is_never_zero(client_of: ClientOf) -> None:
    case(hours=0)
    case(hours=1, kind=None, rejection_reason=None)
    page = client_of(ANALYST).get(PLACE).content.decode()
    words = " ".join(re.sub(r"<[^>]+>", " ", html.unescape(page)).split())
    assert "less than a minute ago" in words
    assert "Slippage too high open" in words
    assert "No reason given said by another program open" in words


def test_filters_narrow_by_turn_age_and_place(client_of: ClientOf, user_of: UserOf) -> None:
    row(TradeResult, exchange="bybit", symbol="ETHUSDT", portfolio="second").save()  # whence filters know the values
    staff, approver = user_of(STAFF), user_of(APPROVER)
    mine = case(hours=1, assignee="approver")
    old = case(hours=30, exchange="bybit", symbol="ETHUSDT")
    older = case(hours=90, kind="latency", severity=LOW, portfolio="second")
    of_others, own = proposed(staff, hours=2), proposed(approver, hours=3)
    client = client_of(APPROVER)
    assert listed(client, "?show=mine") == ids(mine)
    assert listed(client, "?show=waiting") == ids(of_others)
    assert listed(client, "?aged=24") == ids(old, older)
    assert listed(client, "?aged=72") == ids(older)
    assert listed(client, "?aged=1") == []
    assert listed(client, "?exchange=bybit") == ids(old) == listed(client, "?symbol=ETHUSDT")
    assert listed(client, "?kind=latency") == ids(older) == listed(client, "?severity=low")
    assert listed(client, "?severity=worst") == []
    assert listed(client, "?portfolio=second") == ids(older)
    assert listed(client, "?period=day") == ids(own, of_others, mine)


def test_a_trade_is_found_in_any_state_by_its_exact_id(client_of: ClientOf) -> None:
    decided, _ = case(state="resolved"), case()
    client = client_of(ANALYST)
    assert listed(client, f"?q={decided.pk}") == ids(decided)
    assert listed(client, f"?q={decided.pk}&show=open") == []
    assert listed(client, f"?q={str(decided.pk)[:8]}") == []


def test_an_empty_queue_says_so_in_words(client_of: ClientOf) -> None:
    client = client_of(ANALYST)
    assert "Nothing to review." in client.get(PLACE).content.decode()
    assert "No case matches these filters." in client.get(PLACE + "?aged=24").content.decode()
    assert "No case has the trade id" in client.get(PLACE + "?q=abc").content.decode()


def test_only_who_may_decide_is_offered_what_waits_for_him(client_of: ClientOf) -> None:
    assert "show=waiting" in client_of(APPROVER).get(PLACE).content.decode()
    assert "show=waiting" not in client_of(STAFF).get(PLACE).content.decode()


@pytest.mark.parametrize("role", [ANALYST, STAFF, APPROVER, ADMINISTRATOR, SUPERUSER])
def test_every_role_reads_the_queue_and_nobody_adds_or_deletes(role: str, client_of: ClientOf) -> None:
    found, client = case(), client_of(role)
    assert listed(client) == ids(found)
    assert client.get(f"{PLACE}add/").status_code == 403
    assert client.post(f"{PLACE}{found.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client_of(ANONYMOUS).get(PLACE).status_code == 302


def test_pages_go_on_where_the_one_before_ended(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_list, "ROWS_COUNTED_MAX", 100)
    cases = [case(severity, hours) for severity in (HIGH, MEDIUM) for hours in range(60, 0, -1)]
    client = client_of(ANALYST)
    assert listed(client) == ids(*cases[:50])
    assert listed(client, "?p=2") == ids(*cases[50:100])
    assert "more than 100 review cases" in " ".join(client.get(PLACE).content.decode().split())
    assert client.get(PLACE + "?p=3").status_code == 302


# Which column each address narrows by, besides state and severity.
NARROWED = {
    "": "severity", "?show=mine": "assignee", "?show=waiting": "severity", "?show=all": "severity",
    "?aged=24": "opened_at", "?period=day": "opened_at", "?exchange=binance": "exchange", "?symbol=BTCUSDT": "symbol",
    "?portfolio=strategy": "portfolio", "?kind=adverse_slippage": "kind", "?severity=medium": "severity",
    "?exchange=binance&kind=latency": "kind", "?exchange=bybit&kind=adverse_slippage": "exchange",
    "?symbol=BTCUSDT&portfolio=second": "portfolio", "?show=all&portfolio=strategy&symbol=ETHUSDT": "symbol",
    "?show=mine&kind=latency": "assignee",
}  # fmt: skip


@pytest.mark.parametrize("query", NARROWED)
def test_each_query_of_a_list_is_a_range_of_an_index_in_the_queues_order(
    query: str, client_of: ClientOf, user_of: UserOf
) -> None:
    """On SQLite: each searches an index by all that it asks for, and sorts nothing."""
    if connection.vendor != "sqlite":
        pytest.skip("EXPLAIN QUERY PLAN is SQLite's")
    row(TradeResult).save()
    for number in range(60):
        case(hours=number / 10, assignee="approver")
        proposed(user_of(STAFF), hours=number / 10)
    case(kind="latency", portfolio="second")
    case(exchange="bybit", symbol="ETHUSDT")
    client = client_of(APPROVER)
    with CaptureQueriesContext(connection) as queries:
        client.get(PLACE + query)
    of_queue = [each["sql"] for each in queries if 'FROM "review_case"' in each["sql"]]
    assert all("LIMIT" in sql for sql in of_queue)
    on_table = [sql for sql in of_queue if '"severity" = ' in sql]
    assert on_table
    for sql in on_table:
        plan = [line[3] for line in connection.cursor().execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
        (searched,) = (line for line in plan if " review_case " in line)
        assert searched.startswith("SEARCH review_case USING "), plan
        for asked in ("state=", "severity=", f"{NARROWED[query]}"):
            assert asked in searched, (sql, plan)
        assert not [line for line in plan if "TEMP B-TREE" in line], (sql, plan)
