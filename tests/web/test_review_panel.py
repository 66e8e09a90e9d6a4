"""The panel of the admin's front page: where to begin, what is one's own to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from paperdesk.roles import ADMINISTRATOR, ANALYST, APPROVER, STAFF
from tests.web.cases import CRITICAL, LOW, MEDIUM, case, proposed, words_of
from tests.web.conftest import ANONYMOUS

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
ClientOf = Callable[[str], Client]
UserOf = Callable[[str], User]
PLACE = "/admin/results/reviewcase/"
FRONT = "/admin/"


def test_the_front_page_leads_to_the_oldest_of_the_gravest_cases(client_of: ClientOf, user_of: UserOf) -> None:
    case(MEDIUM, 500, assignee="approver")
    oldest = case(CRITICAL, 73, kind="missing_result", rejection_reason="Result missing")
    case(CRITICAL, 2)
    case(CRITICAL, 900, state="resolved")
    proposed(user_of(STAFF), LOW)
    proposed(user_of(APPROVER), LOW)
    answer = client_of(APPROVER).get(FRONT)
    words = words_of(answer)
    assert "Oldest critical case: BTCUSDT on binance, result missing, open for 3 days" in words
    assert f'href="{PLACE}{oldest.pk}/change/"' in answer.content.decode()
    assert "critical 2 high 0 medium 1 low 2" in words
    assert "1 waits for your decision · 1 is assigned to you" in words


def test_the_front_page_says_when_there_is_nothing_to_review(client_of: ClientOf) -> None:
    case(state="resolved")
    words = words_of(client_of(APPROVER).get(FRONT))
    assert "Nothing to review. No failed reconciliation waits for a decision." in words
    assert "Nothing waits for your decision · None is assigned to you" in words


@pytest.mark.parametrize(
    ("role", "own"),
    [(ANALYST, ""), (STAFF, "None is assigned to you"), (ADMINISTRATOR, "Nothing waits for your decision")],
)
def test_the_front_page_tells_each_role_what_it_can_do(role: str, own: str, client_of: ClientOf) -> None:
    case(rejection_reason="P&L does not add up")
    words = words_of(client_of(role).get(FRONT))
    assert "Oldest medium case: BTCUSDT on binance, P&L does not add up, open for 1 hour" in words
    assert own in words
    assert ("assigned to you" in words) is (role != ANALYST)
    assert ("your decision" in words) is (role == ADMINISTRATOR)
    assert ("Recent actions" in words) is (role == ADMINISTRATOR)  # the others change nothing that it would list


def test_who_may_not_see_cases_finds_no_panel(client_of: ClientOf) -> None:
    case()
    client = client_of(ANONYMOUS)
    client.force_login(User.objects.create_user("newcomer", is_staff=True))
    assert "To review" not in client.get(FRONT).content.decode()
