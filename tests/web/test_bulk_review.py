"""Many cases of review at once: the page before, an answer for each case, and who may."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from paperdesk.roles import ADMINISTRATOR, ANALYST, APPROVER, STAFF
from results.audit.trail import audit_broken
from results.review import bulk
from results.review.services import case_approve
from results.review_models import AuditEntry, Review, ReviewCase, TradeAdjustment
from tests.web.cases import HIGH, case, ids, proposed, words_of
from tests.web.conftest import SUPERUSER

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
ClientOf = Callable[[str], Client]
UserOf = Callable[[str], User]
PLACE = "/admin/results/reviewcase/"
NOW = timezone.now()


def act(client: Client, action: str, *cases: ReviewCase, **more: Any) -> Any:
    """Send the queue's form with these cases chosen."""
    return client.post(PLACE, {"action": action, "_selected_action": ids(*cases), **more}, follow=True)


def approve_seen(client: Client, *cases: ReviewCase, **more: Any) -> Any:
    """Send the page that lists the proposals, as it was made for these cases."""
    seen = [f"{each.pk}:{each.review_id}" if each.review_id else "" for each in cases]
    return act(client, "approve", *cases, seen=seen, **more)


def states() -> dict[uuid.UUID, str]:
    return dict(ReviewCase.objects.values_list("pk", "state"))


def test_approving_begins_with_a_page_of_the_proposals_and_decides_nothing(
    client_of: ClientOf, user_of: UserOf
) -> None:
    good, bare = proposed(user_of(STAFF)), case()
    own = proposed(user_of(APPROVER))
    TradeAdjustment.objects.create(
        trade_id=good.pk, review_id=good.review_id, adjusted_table="trade_result", adjusted_key=str(uuid.uuid4()),
        adjusted_version=3, adjusted_column="execution_price", value_before=Decimal("40010"),
        value_after=Decimal("40000.5"), day=NOW.date(), changed_at=NOW,
    )  # fmt: skip
    answer = act(client_of(APPROVER), "approve", good, bare, own)
    words = words_of(answer)
    assert "accept , market moved execution price: 40010 → 40000.5" in words
    assert "Approve 1 proposal " in words
    assert "refused its case is open, so nobody can approve a proposal" in words
    assert "refused approver proposed it, so another person decides (four eyes)" in words
    assert set(states().values()) == {"open", "proposed"}


def short(found: ReviewCase) -> str:
    """A case as the report names it."""
    return f"{str(found.pk)[:8]} BTCUSDT, binance"


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
        f"{short(own)} refused approver proposed it, so another person decides (four eyes)",
        f"{short(stale)} refused its figures are at version 2, the proposal of staff is about version 1",
        f"{short(expired)} refused the proposal of staff expired at",
        f"{short(bare)} refused it had no proposal when you looked",
        f"{short(good)} approved",
        f"{short(last)} approved",
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


def test_a_database_that_is_too_busy_for_one_is_told_of_that_one(
    client_of: ClientOf, user_of: UserOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = user_of(STAFF)
    first, busy, last = proposed(staff), proposed(staff), proposed(staff)

    def approve(trade_id: uuid.UUID, *about: Any) -> None:
        if trade_id == busy.pk:
            raise OperationalError("database is locked")
        case_approve(trade_id, *about)

    monkeypatch.setattr(bulk, "case_approve", approve)
    words = words_of(approve_seen(client_of(APPROVER), first, busy, last))
    assert "2 approved, 1 refused." in words
    assert f"{short(busy)} refused the database is too busy (database is locked); try it again" in words
    assert [states()[each.pk] for each in (first, busy, last)] == ["resolved", "proposed", "resolved"]


def test_a_proposal_that_came_after_the_page_is_not_approved_unseen(client_of: ClientOf, user_of: UserOf) -> None:
    found = proposed(user_of(STAFF))
    answer = act(client_of(APPROVER), "approve", found, seen=[f"{found.pk}:{uuid.uuid4()}"])
    assert "there is another proposal than the one you saw; look at it" in words_of(answer)
    answer = act(client_of(APPROVER), "approve", found, seen=[""])
    assert "it had no proposal when you looked" in words_of(answer)
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
    assert f"Trade {gone.pk} has no case: its reconciliation has not failed" in words_of(answer)
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
