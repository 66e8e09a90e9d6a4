"""The page of one review case: what it says, which buttons it has for whom, what they do, and what happened so far."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client

from paperdesk.mirror import WINDOW
from paperdesk.roles import ADMINISTRATOR, ANALYST, APPROVER, STAFF
from results.domain.review import PROPOSAL_LIFETIME_US
from results.models import FollowerWatermark, TradeReconciliationBreak, TradeResult
from results.review.services import case_approve, case_assign, case_comment, case_return
from results.review_models import Review, ReviewCase, TradeAdjustment
from tests.web.conftest import ANONYMOUS, SUPERUSER
from tests.web.failed_cases import (
    ACCEPT,
    ADJUST,
    PLACE,
    RESULT,
    TRADE,
    failed,
    now_us,
    page,
    post,
    proposed,
    reconciled,
)
from tests.web.rows import NOON, row
from trading.models import PaperTrade

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ClientOf = Callable[[str], Client]
UserOf = Callable[[str], User]
STEP = re.compile(r'name="step" value="(\w+)"')
WORK = {"comment", "assign"}


@pytest.fixture(autouse=True)
def empty_redis(redis_client: redis.Redis) -> None:
    """Nobody's trade is in Redis."""


@pytest.fixture
def case(db: None) -> ReviewCase:
    return failed()


# What it says -------------------------------------------------------------------------------------------------------


def test_it_says_at_the_top_why_the_trade_failed_and_how_it_stands(case: ReviewCase, client_of: ClientOf) -> None:
    text = page(client_of(ANALYST))
    assert "<h1>Slippage of 12.4 bps on binance, allowed are 5.</h1>" in text
    for fact in ("severity-medium", 'data-is="open">open', "<dd>nobody</dd>", "BTCUSDT", "2.5", "40,049.6", "49.6"):
        assert fact in text, fact
    assert f"/admin/results/traderesult/{RESULT}/change/" in text
    assert "/admin/trading/orderfill/?q=order-1" in text
    assert f"/admin/trading/papertrade/{TRADE}/change/" in text


def test_the_evidence_is_that_of_the_trades_own_page(case: ReviewCase, client_of: ClientOf) -> None:
    text = page(client_of(ANALYST))
    for title in ("Profit and loss", "Orders", "Results", "Fills, explained", "Funding", "Leg-out"):
        assert title in text
    assert "40,049.6" in text


def test_evidence_that_has_left_the_tables_is_said_to_be_elsewhere(case: ReviewCase, client_of: ClientOf) -> None:
    for model in (PaperTrade, TradeResult, TradeReconciliationBreak):
        model.objects.all().delete()
    FollowerWatermark.objects.create(name=WINDOW, seq=1, mark="2026-03-01", moved_at=NOON)
    text = page(client_of(STAFF))
    assert "<h1>Slippage too high.</h1>" in text
    assert "Rows of days before 2026-03-01 are no longer in these tables" in text
    assert "manage.py export trade_result" in text
    assert "there is no figure to correct here" in text


def test_a_trade_of_before_the_window_that_redis_still_has_says_where_its_rows_are(
    case: ReviewCase, client_of: ClientOf
) -> None:
    TradeResult.objects.all().delete()
    FollowerWatermark.objects.create(name=WINDOW, seq=1, mark="2026-03-01", moved_at=NOON)
    text = page(client_of(ANALYST))
    assert "No results yet" not in text
    assert "Rows of days before 2026-03-01 are no longer in these tables" in text


def test_a_reconciliation_of_another_program_says_so(client_of: ClientOf) -> None:
    reconciled(1, rejection_reason="Price off", origin="foreign")
    text = page(client_of(ANALYST))
    assert "<h1>Price off.</h1>" in text
    assert "Another program reconciled this trade" in text
    assert "This desk knows no trade with this id" in text
    assert "manage.py export" not in text


def test_a_cleared_case_shows_what_had_failed(case: ReviewCase, client_of: ClientOf) -> None:
    found = TradeReconciliationBreak.objects.get()
    reconciled(2, status="success")
    TradeReconciliationBreak.objects.filter(pk=found.pk).update(version=1)
    text = page(client_of(STAFF))
    assert "<h1>Slippage of 12.4 bps on binance, allowed are 5.</h1>" in text
    assert "None of this stands any more" in text
    assert "There is nothing to decide" in text


def test_a_case_that_nobody_knows_leads_back_with_a_word(client_of: ClientOf) -> None:
    answer = client_of(STAFF).get(f"/admin/results/reviewcase/{uuid.uuid4()}/change/", follow=True)
    assert "doesn’t exist" in answer.content.decode()


def test_only_the_breaks_that_stand_are_shown_the_gravest_on_top(case: ReviewCase, client_of: ClientOf) -> None:
    values = {"trade_id": TRADE, "is_failure": True, "tolerance": Decimal(0), "expected": Decimal(1), "leg": "short"}
    row(TradeReconciliationBreak, kind="missing_result", actual=Decimal(0), version=1, **values).save()
    row(TradeReconciliationBreak, kind="duplicate_result", actual=Decimal(2), version=0, **values).save()
    text = page(client_of(ANALYST))
    assert "<h1>An order of the short leg on binance has no result.</h1>" in text
    assert "Slippage of 12.4 bps on binance, allowed are 5" in text
    assert "has 2 results" not in text


def test_it_leads_to_its_neighbours_in_the_queue(case: ReviewCase, client_of: ClientOf) -> None:
    graver, older, later, latest, lower, resolved = (uuid.uuid4() for _ in range(6))
    for trade, severity, hour, state in (
        (graver, 4, 13, "open"),
        (older, 2, 11, "proposed"),
        (later, 2, 13, "proposed"),
        (latest, 2, 14, "open"),
        (lower, 1, 10, "open"),
        (resolved, 2, 12, "resolved"),
    ):
        failed(trade)
        opened_at = NOON.replace(hour=hour, minute=5)
        ReviewCase.objects.filter(pk=trade).update(severity=severity, opened_at=opened_at, state=state)
    links = re.compile(r'data-key="(\w+)" href="/admin/results/reviewcase/([^/]+)/')
    order = [graver, older, TRADE, later, latest, lower]
    for place, trade in enumerate(order):
        text = client_of(ANALYST).get(f"/admin/results/reviewcase/{trade}/change/").content.decode()
        neighbours = {"previous": order[place - 1 : place], "next": order[place + 1 : place + 2]}
        assert links.findall(text) == [(name, str(key)) for name, keys in neighbours.items() for key in keys]


def test_its_neighbours_are_those_of_the_list_from_which_it_was_opened(case: ReviewCase, client_of: ClientOf) -> None:
    before, other, after, decided = (uuid.uuid4() for _ in range(4))
    for hour, trade in enumerate((before, other, after, decided), 8):
        failed(trade)
        ReviewCase.objects.filter(pk=trade).update(opened_at=NOON.replace(hour=hour), exchange="okx", severity=2)
    ReviewCase.objects.filter(pk=other).update(exchange="bybit")
    ReviewCase.objects.filter(pk=decided).update(state="resolved", opened_at=NOON.replace(hour=9))
    client = client_of(ANALYST)
    row(TradeResult, exchange="okx").save()  # whence the filter knows the venue
    listed = client.get("/admin/results/reviewcase/?exchange=okx").content.decode()
    opened = re.findall(r'class="row-id" href="([^"]+)"', listed)
    assert [str(before) in opened[0], str(after) in opened[1], len(opened)] == [True, True, 2]
    links = re.compile(r'data-key="(\w+)" href="([^"]+)"')
    assert links.findall(client.get(html.unescape(opened[0])).content.decode()) == [("next", opened[1])]
    text = client.get(html.unescape(opened[1])).content.decode()
    assert links.findall(text) == [("previous", opened[0])]
    assert '<a href="/admin/results/reviewcase/?exchange=okx">Review cases</a>' in text
    of_decided = f"/admin/results/reviewcase/{decided}/change/?_changelist_filters=show%3Dresolved"
    assert links.findall(client.get(of_decided).content.decode()) == []
    nonsense = client.get(f"{PLACE}?_changelist_filters=nonsense%3D1").content.decode()
    assert [name for name, _ in links.findall(nonsense)] == ["previous"]  # the latest of those that are undecided


@pytest.mark.parametrize(("role", "may"), [(ANALYST, False), (STAFF, True), (APPROVER, False), (ADMINISTRATOR, True)])
def test_who_may_have_trades_reconciled_again_finds_it_on_the_case(
    role: str, may: bool, case: ReviewCase, client_of: ClientOf
) -> None:
    client = client_of(role)
    assert ("Reconcile this trade again" in page(client)) is may
    asked = {"action": "reconcile_again", "_selected_action": str(TRADE)}
    answer = client.post("/admin/results/tradereconciliation/", asked, follow=True).content.decode()
    assert ("1 trade is reconciled again" in answer) is may


def test_an_entry_of_the_history_leads_to_the_audit_trail(case: ReviewCase, client_of: ClientOf) -> None:
    client = client_of(ANALYST)
    address = re.search(r'<a class="unit" href="(/admin/results/auditentry/\d+/change/)"', page(client))
    assert address is not None
    assert client.get(address[1]).status_code == 200


# Who has which button -----------------------------------------------------------------------------------------------

STANDINGS: dict[str, Callable[[ReviewCase, User], Any]] = {
    "open": lambda case, maker: None,
    "proposed": lambda case, maker: proposed(case, maker, now_us()),
    "stale": lambda case, maker: [proposed(case, maker, now_us()), reconciled(2)],
    "expired": lambda case, maker: proposed(case, maker, now_us() - PROPOSAL_LIFETIME_US),
    "resolved": lambda case, maker: [proposed(case, maker, now_us()), resolved_by_carl()],
    "cleared": lambda case, maker: reconciled(2, status="success"),
}
BOTH = {"approve", "return"}
BUTTONS: dict[str, dict[str, set[str]]] = {
    ANALYST: dict.fromkeys(STANDINGS, set()),
    STAFF: {
        "open": {"propose", *WORK}, "proposed": WORK, "stale": WORK, "expired": WORK, "resolved": WORK,
        "cleared": WORK,
    },
    APPROVER: {
        "open": WORK, "proposed": {*BOTH, *WORK}, "stale": {"return", *WORK}, "expired": {"return", *WORK},
        "resolved": WORK, "cleared": WORK,
    },
    ADMINISTRATOR: {
        "open": {"propose", *WORK}, "proposed": {*BOTH, *WORK}, "stale": {"return", *WORK},
        "expired": {"return", *WORK}, "resolved": WORK, "cleared": WORK,
    },
}  # fmt: skip
BUTTONS[SUPERUSER] = BUTTONS[ADMINISTRATOR]


def resolved_by_carl() -> ReviewCase:
    return case_approve(TRADE, "seen", User.objects.create_superuser("carl"), now_us())


@pytest.fixture
def maker(user_of: UserOf) -> User:
    """A member of staff who is none of those that look at the page."""
    somebody = user_of(STAFF)
    somebody.username = "mara"
    somebody.save()
    return somebody


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize("role", BUTTONS)
def test_each_role_has_the_buttons_of_the_table(
    case: ReviewCase, maker: User, client_of: ClientOf, role: str, standing: str
) -> None:
    STANDINGS[standing](case, maker)
    assert {*STEP.findall(page(client_of(role)))} == BUTTONS[role][standing]


@pytest.mark.parametrize("standing", ["proposed", "stale", "expired"])
@pytest.mark.parametrize("role", [STAFF, ADMINISTRATOR, SUPERUSER])
def test_a_maker_sees_why_there_is_no_button_to_decide(
    case: ReviewCase, user_of: UserOf, client_of: ClientOf, role: str, standing: str
) -> None:
    STANDINGS[standing](case, user_of(role))
    text = page(client_of(role))
    assert {*STEP.findall(text)} == {"withdraw", *WORK}
    assert "You proposed this, so another person decides (four eyes)." in text


@pytest.mark.parametrize(
    ("standing", "said"), [("stale", "it is about version 1"), ("expired", "Nobody decided on it")]
)
def test_what_cannot_be_approved_says_why_and_what_can_be_done(
    case: ReviewCase, maker: User, client_of: ClientOf, standing: str, said: str
) -> None:
    STANDINGS[standing](case, maker)
    text = page(client_of(APPROVER))
    assert said in text
    assert "mara can withdraw it" in text
    assert 'data-key="return"' in text
    assert 'data-key="approve"' not in text


def test_nobody_sees_it_who_is_not_logged_in(case: ReviewCase, client_of: ClientOf) -> None:
    assert client_of(ANONYMOUS).get(PLACE).status_code == 302


# What the buttons do ------------------------------------------------------------------------------------------------


def test_one_proposes_and_another_approves(case: ReviewCase, client_of: ClientOf) -> None:
    answer = post(client_of(STAFF), {**ACCEPT, "propose-comment": "it moved"})
    assert answer.redirect_chain == [(PLACE, 302)]
    assert "Proposed. Another person decides on it now" in answer.content.decode()
    made = Review.objects.get()
    assert (made.resolution, made.reason, made.comment, made.maker) == ("accept", "market_moved", "it moved", STAFF)
    seen = {"decision-seen": str(made.pk), "decision-comment": "agreed"}
    answer = post(client_of(APPROVER), {"step": "approve", **seen})
    assert "Approved. The case is resolved" in answer.content.decode()
    made.refresh_from_db()
    assert (made.outcome, made.checker, made.decision_comment) == ("approved", APPROVER, "agreed")
    assert "Approved by <strong>approver</strong>" in page(client_of(ANALYST))


def test_a_returned_proposal_tells_its_maker_why(case: ReviewCase, client_of: ClientOf) -> None:
    post(client_of(STAFF), ACCEPT)
    made = Review.objects.get()
    post(client_of(APPROVER), {"step": "return", "decision-comment": "which book?", "decision-seen": str(made.pk)})
    text = page(client_of(STAFF))
    assert "which book?" in text
    assert "propose" in STEP.findall(text)


def test_its_history_is_on_the_page_itself(case: ReviewCase, client_of: ClientOf) -> None:
    answer = client_of(ANALYST).get(PLACE.replace("change", "history"))
    assert (answer.status_code, answer["Location"]) == (302, f"{PLACE}#history-title")
    trade = f"/admin/trading/papertrade/{TRADE}/"
    assert client_of(ANALYST).get(f"{trade}history/")["Location"] == f"{trade}change/"


def test_a_maker_withdraws(case: ReviewCase, client_of: ClientOf) -> None:
    post(client_of(STAFF), ACCEPT)
    answer = post(client_of(STAFF), {"step": "withdraw"})
    assert "Withdrawn. The case is open again." in answer.content.decode()
    assert ReviewCase.objects.get().state == "open"


def test_an_adjustment_names_each_corrected_figure_as_it_was(case: ReviewCase, client_of: ClientOf) -> None:
    post(client_of(STAFF), {**ADJUST, f"propose-commission-{RESULT}": "-1.25"})
    found = [
        (each.adjusted_key, each.adjusted_version, each.adjusted_column, each.value_before, each.value_after)
        for each in TradeAdjustment.objects.order_by("adjusted_column")
    ]
    assert found == [
        (str(RESULT), 3, "commission", Decimal("8.01"), Decimal("-1.25")),
        (str(RESULT), 3, "execution_price", Decimal("40049.6"), Decimal(40_010)),
    ]
    text = page(client_of(APPROVER))
    assert "40,049.6" in text and "40,010" in text


def test_a_case_is_assigned_to_me_to_somebody_and_to_nobody(
    case: ReviewCase, user_of: UserOf, client_of: ClientOf
) -> None:
    user_of(APPROVER)
    for name in (STAFF, APPROVER, ""):
        post(client_of(STAFF), {"step": "assign", "assign-assignee": name})
        assert ReviewCase.objects.get().assignee == name
    names = re.findall(r"<option[^>]*>(\w+)</option>", page(client_of(STAFF)))
    assert {STAFF, APPROVER} <= {*names} and ANALYST not in names


def test_a_comment_is_shown_as_text(case: ReviewCase, client_of: ClientOf) -> None:
    post(client_of(STAFF), {"step": "comment", "comment-comment": "<script>alert(1)</script>"})
    text = client_of(ANALYST).get(PLACE).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text


# What happened so far -----------------------------------------------------------------------------------------------


def told(text: str) -> list[str]:
    """The lines of the history, the newest first, without times and numbers."""
    found = re.findall(r"<li><p>(.*?)</p>", text, re.S)
    return [re.sub(r"<time.*?</time>|<a .*?</a>|<[^>]+>", "", line).strip() for line in found]


def test_the_history_tells_each_deed_once(case: ReviewCase, maker: User, client_of: ClientOf) -> None:
    carl = User.objects.create_superuser("carl")
    case_assign(TRADE, "mara", maker, now_us())
    proposed(case, maker, now_us())
    case_comment(TRADE, "look at the book", maker, now_us())
    case_return(TRADE, "which one?", carl, now_us())
    text = page(client_of(ANALYST))
    assert told(text) == [
        "carl returned the proposal to accept",
        "mara commented",
        "mara proposed to accept, because: thin book; on version 1",
        "mara assigned the case",
        "desk opened the case: the reconciliation failed",
    ]
    assert "<del>proposed</del> → <ins>open</ins>" in text
    assert "<del>nobody</del> → <ins>mara</ins>" in text
    for said in ("look at the book", "which one?", "the book was thin"):
        assert said in text


def test_a_change_of_the_row_past_the_review_shows_in_the_history(
    case: ReviewCase, maker: User, client_of: ClientOf
) -> None:
    case_assign(TRADE, "mara", maker, now_us())
    row = ReviewCase.objects.get()
    row.assignee, row.version = "zoe", row.version + 5
    row.save()
    text = page(client_of(ANALYST))
    assert told(text)[0] == "somebody changed the row past the review"
    assert "<del>mara</del> → <ins>zoe</ins>" in text
