"""The queue of review cases in the admin: its order, its filters, and that it reads no more than a page."""

from __future__ import annotations

import datetime
import html
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from paperdesk import bounded_list
from paperdesk.roles import ADMINISTRATOR, ANALYST, APPROVER, STAFF
from results.audit import audit_broken
from results.domain.review import Severity
from results.models import TradeResult
from results.review_models import AuditEntry, Review, ReviewCase, TradeAdjustment
from tests.web.conftest import ANONYMOUS, SUPERUSER
from tests.web.rows import row

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
ClientOf = Callable[[str], Client]
UserOf = Callable[[str], User]
PLACE = "/admin/results/reviewcase/"
SHOWN_ID = re.compile(r'class="row-id" href="[^"]+" title="([^"]+)"')
NOW = timezone.now()
LOW, MEDIUM, HIGH, CRITICAL = Severity


def case(severity: Severity = MEDIUM, hours: float = 1, **changes: Any) -> ReviewCase:
    """A case that was opened so many hours ago."""
    values = {
        "trade_id": uuid.uuid4(), "portfolio": "strategy", "symbol": "BTCUSDT", "exchange": "binance",
        "kind": "adverse_slippage", "severity": severity, "state": "open", "rejection_reason": "Slippage too high",
        "break_count": 1, "opened_at": NOW - datetime.timedelta(hours=hours), "reconciliation_version": 1,
        "reconciliation_hash": 11, "day": NOW.date(), "changed_at": NOW,
    }  # fmt: skip
    return ReviewCase.objects.create(**{**values, **changes})


def proposed(maker: User, severity: Severity = MEDIUM, **changes: Any) -> ReviewCase:
    """A case with a proposal."""
    made = Review(
        trade_id=uuid.uuid4(), resolution="accept", reason="market_moved", maker=maker.username, maker_id=maker.pk,
        proposed_at=NOW, expires_at=NOW + datetime.timedelta(hours=24), basis_version=1, basis_hash=11, day=NOW.date(),
        changed_at=NOW,
    )  # fmt: skip
    made.save()
    return case(severity, trade_id=made.trade_id, state="proposed", review_id=made.pk, **changes)


def listed(client: Client, query: str = "") -> list[str]:
    answer = client.get(PLACE + query)
    assert answer.status_code == 200
    return SHOWN_ID.findall(answer.content.decode())


def ids(*cases: ReviewCase) -> list[str]:
    return [str(each.pk) for each in cases]


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
    proposed(user_of(STAFF), HIGH, hours=80, exchange=None, kind="pnl_residual", break_count=3, assignee="staff")
    page = client_of(ANALYST).get(PLACE).content.decode()
    cells = re.findall(r'<td class="(?:field-|action)[^>]*>(.*?)</td>', page)
    words = [" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in cells]
    assert words[:2] + words[3:] == [
        "high", "3 days ago", "BTCUSDT", "whole trade", "pnl residual", "Slippage too high, and 2 more", "proposed",
        "accept, market moved: staff", "staff", "strategy",
    ]  # fmt: skip


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


def act(client: Client, action: str, *cases: ReviewCase, **more: Any) -> Any:
    """Send the queue's form with these cases chosen."""
    return client.post(PLACE, {"action": action, "_selected_action": ids(*cases), **more}, follow=True)


def approve_seen(client: Client, *cases: ReviewCase, **more: Any) -> Any:
    """Send the page that lists the proposals, as it was made for these cases."""
    seen = [f"{each.pk}:{each.review_id}" if each.review_id else "" for each in cases]
    return act(client, "approve", *cases, seen=seen, **more)


def words_of(answer: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def states() -> dict[uuid.UUID, str]:
    return dict(ReviewCase.objects.values_list("pk", "state"))


def test_approving_begins_with_a_page_of_the_proposals_and_decides_nothing(
    client_of: ClientOf, user_of: UserOf
) -> None:
    good, bare = proposed(user_of(STAFF)), case()
    own = proposed(user_of(APPROVER))
    TradeAdjustment.objects.create(
        trade_id=good.pk, review_id=good.review_id, adjusted_table="trade_result", adjusted_key="k", adjusted_version=3,
        adjusted_column="execution_price", value_before=Decimal("40010"), value_after=Decimal("40000.5"),
        day=NOW.date(), changed_at=NOW,
    )  # fmt: skip
    answer = act(client_of(APPROVER), "approve", good, bare, own)
    words = words_of(answer)
    assert "accept , market moved execution price: 40010 → 40000.5" in words
    assert "Approve 1 proposal " in words
    assert "Its case is open, so nobody can approve a proposal." in words
    assert "Approver proposed it, so another person decides (four eyes)." in words
    assert set(states().values()) == {"open", "proposed"}


def test_each_chosen_proposal_is_approved_or_refused_by_itself(client_of: ClientOf, user_of: UserOf) -> None:
    staff, approver = user_of(STAFF), user_of(APPROVER)
    good, last = proposed(staff), proposed(staff, HIGH)
    own = proposed(approver)
    stale, expired = proposed(staff, reconciliation_version=2), proposed(staff)
    Review.objects.filter(pk=expired.review_id).update(proposed_at=NOW - datetime.timedelta(hours=25))
    bare, decided = case(), case(state="resolved")
    chosen = (good, own, stale, expired, bare, decided, last)
    answer = approve_seen(client_of(APPROVER), *chosen, comment="seen by all")
    words = words_of(answer)
    assert "2 approved, 5 refused." in words
    for sentence in (
        f"{own.pk} refused Approver proposed it, so another person decides (four eyes).",
        f"{stale.pk} refused Its figures are at version 2, the proposal of staff is about version 1",
        f"{expired.pk} refused The proposal of staff expired at",
        f"{bare.pk} refused It had no proposal when you looked",
        f"{good.pk} approved",
        f"{last.pk} approved",
    ):
        assert sentence in words
    now = states()
    assert [now[each.pk] for each in chosen] == [
        "resolved", "proposed", "proposed", "proposed", "open", "resolved", "resolved",
    ]  # fmt: skip
    told = Review.objects.filter(outcome="approved").values_list("checker", "decision_comment")
    assert list(told) == [("approver", "seen by all")] * 2
    assert audit_broken() is None
    assert AuditEntry.objects.filter(action="approved").count() == 2


def test_a_proposal_that_came_after_the_page_is_not_approved_unseen(client_of: ClientOf, user_of: UserOf) -> None:
    found = proposed(user_of(STAFF))
    answer = act(client_of(APPROVER), "approve", found, seen=[f"{found.pk}:{uuid.uuid4()}"])
    assert "There is another proposal than the one you saw; look at it." in words_of(answer)
    answer = act(client_of(APPROVER), "approve", found, seen=[""])
    assert "It had no proposal when you looked" in words_of(answer)
    assert states()[found.pk] == "proposed"


def test_a_second_send_of_the_page_changes_nothing(client_of: ClientOf, user_of: UserOf) -> None:
    found, client = proposed(user_of(STAFF)), client_of(APPROVER)
    approve_seen(client, found)
    before = ReviewCase.objects.values().get()
    assert "0 approved, 1 refused." in words_of(approve_seen(client, found))
    assert ReviewCase.objects.values().get() == before


def test_a_comment_that_is_too_long_is_refused_beside_its_field(client_of: ClientOf, user_of: UserOf) -> None:
    found = proposed(user_of(STAFF))
    page = approve_seen(client_of(APPROVER), found, comment="x" * 2001).content.decode()
    assert re.search(r'class="form-row errors"><ul class="errorlist"[^>]*><li>Ensure this value has at most 2000', page)
    assert states()[found.pk] == "proposed"


@pytest.mark.parametrize("role", [APPROVER, ADMINISTRATOR, SUPERUSER])
def test_approvers_and_administrators_approve(role: str, client_of: ClientOf, user_of: UserOf) -> None:
    found, client = proposed(user_of(STAFF)), client_of(role)
    assert 'value="approve"' in client.get(PLACE).content.decode()
    assert "1 approved, 0 refused." in words_of(approve_seen(client, found))
    assert states()[found.pk] == "resolved"


@pytest.mark.parametrize("role", [ADMINISTRATOR, SUPERUSER])
def test_nobody_approves_his_own(role: str, client_of: ClientOf, user_of: UserOf) -> None:
    found = proposed(user_of(role))
    assert "another person decides (four eyes)" in words_of(approve_seen(client_of(role), found))
    assert states()[found.pk] == "proposed"


@pytest.mark.parametrize(("role", "action"), [(ANALYST, "approve"), (STAFF, "approve"), (ANALYST, "assign_to_me")])
def test_who_has_no_right_is_not_offered_the_action_and_refused_if_he_sends_it(
    role: str, action: str, client_of: ClientOf, user_of: UserOf
) -> None:
    found, client = proposed(user_of(SUPERUSER)), client_of(role)
    assert f'value="{action}"' not in client.get(PLACE).content.decode()
    for more in ({}, {"index": "0"}, {"seen": f"{found.pk}:{found.review_id}"}):
        assert act(client, action, found, **more).status_code == 403
    found.refresh_from_db()
    assert (found.state, found.assignee) == ("proposed", "")


@pytest.mark.parametrize("role", [STAFF, APPROVER, ADMINISTRATOR])
def test_cases_are_assigned_to_who_asks(role: str, client_of: ClientOf) -> None:
    cases = [case(), case(assignee="somebody"), case()]
    answer = act(client_of(role), "assign_to_me", *cases[:2])
    assert "2 cases are now assigned to you." in words_of(answer)
    assert {each.pk: each.assignee for each in ReviewCase.objects.all()} == {
        cases[0].pk: role, cases[1].pk: role, cases[2].pk: "",
    }  # fmt: skip


def test_what_is_no_case_is_refused_and_the_rest_is_done(client_of: ClientOf) -> None:
    found, gone = case(), ReviewCase(trade_id=uuid.uuid4())
    answer = act(client_of(STAFF), "assign_to_me", found, gone)
    assert f"Trade {gone.pk}: Has no case: its reconciliation has not failed." in words_of(answer)
    assert "1 case is now assigned to you." in words_of(answer)


def test_wrong_requests_are_refused_and_change_nothing(client_of: ClientOf, user_of: UserOf) -> None:
    found, client = proposed(user_of(STAFF)), client_of(APPROVER)
    assert client.post(PLACE, {"action": "approve", "_selected_action": "1 OR 1"}).status_code == 400
    for seen in ("x:y", str(found.pk), f"{found.pk}:{found.review_id}:{found.pk}"):
        assert act(client, "approve", found, seen=seen).status_code == 400
    assert act(client, "delete_selected", found, post="yes").status_code == 403
    many = [ReviewCase(trade_id=uuid.uuid4()) for _ in range(51)]
    assert "At most 50 cases, those of a page, at once." in words_of(act(client, "approve", *many))
    assert "At most 50 cases" in words_of(act(client, "assign_to_me", found, select_across="1"))
    assert "Items must be selected" in words_of(act(client, "approve", index="0"))
    found.refresh_from_db()
    assert (found.state, found.assignee) == ("proposed", "")


QUERIES = ["", "?show=mine", "?show=waiting", "?show=all", "?aged=24", "?exchange=binance", "?symbol=BTCUSDT"]


@pytest.mark.parametrize("query", [*QUERIES, "?kind=adverse_slippage", "?severity=medium", "?p=1"])
def test_each_query_of_a_list_is_a_range_of_an_index_in_the_queues_order(
    query: str, client_of: ClientOf, user_of: UserOf
) -> None:
    """On SQLite: a search by index, no scan of the table, and no sort but of rows that are equally old."""
    if connection.vendor != "sqlite":
        pytest.skip("EXPLAIN QUERY PLAN is SQLite's")
    row(TradeResult).save()
    for number in range(60):
        case(hours=number / 10, assignee="approver")
        proposed(user_of(STAFF), hours=number / 10)
    client = client_of(APPROVER)
    with CaptureQueriesContext(connection) as queries:
        client.get(PLACE + query)
    on_table = [each["sql"] for each in queries if 'FROM "review_case"' in each["sql"]]
    assert on_table
    for sql in on_table:
        assert "LIMIT" in sql
        plan = [line[3] for line in connection.cursor().execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
        assert not [line for line in plan if line.startswith("SCAN review_case")], (sql, plan)
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan, (sql, plan)
