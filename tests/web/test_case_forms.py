"""What a wrong input on a case's page comes to: a sentence beside its field, what was typed kept, nothing changed."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client

from paperdesk.roles import ADMINISTRATOR, ANALYST, APPROVER, STAFF
from results.models import TradeResult
from results.review.services import case_withdraw
from results.review_models import Review, ReviewCase
from tests.web.cases import words_of
from tests.web.conftest import SUPERUSER
from tests.web.failed_cases import (
    ACCEPT,
    ADJUST,
    PLACE,
    PRICE,
    RESULT,
    TRADE,
    everything,
    failed,
    now_us,
    post,
    proposed,
)

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ClientOf = Callable[[str], Client]
UserOf = Callable[[str], User]


@pytest.fixture(autouse=True)
def empty_redis(redis_client: redis.Redis) -> None:
    """Nobody's trade is in Redis."""


@pytest.fixture
def case(db: None) -> ReviewCase:
    return failed()


@pytest.fixture
def maker(user_of: UserOf) -> User:
    """A member of staff who is none of those that look at the page."""
    somebody = user_of(STAFF)
    somebody.username = "mara"
    somebody.save()
    return somebody


def beside(text: str, field: str) -> str:
    """What stands as an error at a field of the page; "" for nothing."""
    found = re.search(rf'<p class="errornote" id="id_{field}_error"[^>]*>(.*?)</p>', text, re.S)
    return html.unescape(found[1]) if found else ""


LIST = "/admin/results/reviewcase/"
LONG = "x" * 2_001
WRONG: list[tuple[dict[str, str], str, str]] = [
    ({"propose-resolution": ""}, "propose-resolution", "Choose what becomes of the case"),
    ({"propose-resolution": "burn"}, "propose-resolution", "burn is not one of the available choices"),
    ({"propose-reason": ""}, "propose-reason", "Choose a reason"),
    ({"propose-reason": "wrong_fee"}, "propose-reason", "a resolution accept has one of market_moved"),
    ({"propose-reason": "mood"}, "propose-reason", "mood is not one of the available choices"),
    ({"propose-reason": "other"}, "propose-comment", "the reason other needs one"),
    ({"propose-comment": LONG}, "propose-comment", "at most 2000 characters"),
    ({"propose-basis": "1:12"}, "propose-basis", "The figures moved since you opened this page"),
    ({"propose-basis": "x"}, "propose-basis", "The figures moved since you opened this page"),
    ({PRICE: "40010"}, "propose-value_after", "to accept changes none: choose adjust"),
    ({"propose-resolution": "adjust", "propose-reason": "wrong_price"}, "propose-value_after", "at least one figure"),
    ({**ADJUST, PRICE: "forty"}, PRICE, "Enter a number"),
    ({**ADJUST, PRICE: "NaN"}, PRICE, "Enter a number"),
    ({**ADJUST, PRICE: "-1"}, PRICE, "-1 is below zero"),
    ({**ADJUST, PRICE: "40049.600"}, PRICE, "It is 40049.6 already"),
    ({**ADJUST, PRICE: "0.0000000000001"}, PRICE, "no more than 12 decimal places"),
    ({**ADJUST, f"propose-seen-{RESULT}": "2"}, PRICE, "The figures moved since you opened this page"),
]


@pytest.mark.parametrize(("changes", "field", "sentence"), WRONG)
def test_a_wrong_proposal_is_refused_beside_its_field_and_keeps_what_was_typed(
    case: ReviewCase, client_of: ClientOf, changes: dict[str, str], field: str, sentence: str
) -> None:
    before, typed = everything(), {**ACCEPT, "propose-comment": "a word", **changes}
    if field == "propose-comment" and "propose-comment" not in changes:
        typed["propose-comment"] = ""
    answer = post(client_of(STAFF), typed)
    text = answer.content.decode()
    assert (answer.status_code, answer.redirect_chain) == (200, [])
    assert sentence in beside(text, field), beside(text, field)
    assert everything() == before
    assert "<title>Error: " in text
    assert typed["propose-comment"] in html.unescape(text)
    for name in (PRICE, "propose-reason"):
        if typed.get(name) not in (None, "", "mood"):
            assert re.search(rf'value="{typed[name]}"( selected|[^>]*id="id_{name}")', text), name
    if typed["propose-resolution"] in ("accept", "adjust"):
        assert re.search(rf'value="{typed["propose-resolution"]}"[^>]* checked', text)


@pytest.mark.parametrize(
    ("role", "data", "field", "sentence"),
    [
        (APPROVER, {"step": "return", "decision-comment": " "}, "decision-comment", "Say what is missing"),
        (APPROVER, {"step": "return", "decision-comment": LONG}, "decision-comment", "at most 2000 characters"),
        (APPROVER, {"step": "approve", "decision-comment": LONG}, "decision-comment", "at most 2000 characters"),
        (APPROVER, {"step": "approve"}, "decision-seen", "not known which proposal you saw"),
        (APPROVER, {"step": "approve", "decision-seen": "it"}, "decision-seen", "not known which proposal you saw"),
        (APPROVER, {"step": "comment", "comment-comment": ""}, "comment-comment", "Write something first"),
        (APPROVER, {"step": "comment", "comment-comment": LONG}, "comment-comment", "at most 2000 characters"),
        (APPROVER, {"step": "assign", "assign-assignee": "zoe"}, "assign-assignee", "zoe is nobody who may work on a"),
        (APPROVER, {"step": "assign", "assign-assignee": ANALYST}, "assign-assignee", "analyst is nobody who may"),
    ],
)
def test_every_other_wrong_input_is_refused_beside_its_field_too(
    case: ReviewCase, maker: User, user_of: UserOf, client_of: ClientOf, role: str, data: dict[str, str], field: str,
    sentence: str,
) -> None:  # fmt: skip
    user_of(ANALYST)
    proposed(case, maker, now_us())
    before = everything()
    answer = post(client_of(role), data)
    text = answer.content.decode()
    assert sentence in beside(text, field), beside(text, field)
    assert everything() == before
    assert data.get("decision-comment", "").strip() in text


@pytest.mark.parametrize(
    ("role", "step"),
    [
        *((ANALYST, step) for step in ("propose", "withdraw", "approve", "return", "comment", "assign")),
        (STAFF, "approve"),
        (STAFF, "return"),
        (APPROVER, "propose"),
    ],
)
def test_a_forged_request_of_the_wrong_role_is_refused(
    case: ReviewCase, maker: User, client_of: ClientOf, role: str, step: str
) -> None:
    if step != "propose":
        proposed(case, maker, now_us())
    before = everything()
    answer = client_of(role).post(PLACE, {**ACCEPT, "step": step, "decision-comment": "a word", "comment-comment": "x"})
    assert answer.status_code == 403
    assert everything() == before


@pytest.mark.parametrize("step", ["approve", "return"])
def test_a_maker_who_forges_a_decision_is_refused_with_the_reason(
    case: ReviewCase, user_of: UserOf, client_of: ClientOf, step: str
) -> None:
    made = proposed(case, user_of(SUPERUSER), now_us())
    before = everything()
    forged = {"step": step, "decision-seen": str(made.pk), "decision-comment": "fine by me"}
    answer = post(client_of(SUPERUSER), forged)
    assert "superuser proposed it, so another person decides (four eyes)" in answer.content.decode()
    assert everything() == before


def test_only_the_maker_withdraws(case: ReviewCase, maker: User, client_of: ClientOf) -> None:
    proposed(case, maker, now_us())
    before = everything()
    answer = post(client_of(ADMINISTRATOR), {"step": "withdraw"})
    assert "mara proposed it, so administrator cannot withdraw it" in answer.content.decode()
    assert everything() == before


def test_who_was_overtaken_is_told_so_and_keeps_what_was_written(
    case: ReviewCase, maker: User, client_of: ClientOf
) -> None:
    proposed(case, maker, now_us())
    before = everything()
    answer = post(client_of(ADMINISTRATOR), {**ACCEPT, "propose-comment": "my view"})
    text = answer.content.decode()
    assert "its case is proposed, so nobody can propose a resolution" in text
    assert "You had written: my view" in text
    assert everything() == before


def test_another_proposal_than_the_one_that_was_seen_is_not_approved(
    case: ReviewCase, maker: User, client_of: ClientOf
) -> None:
    seen = proposed(case, maker, now_us())
    case_withdraw(TRADE, maker, now_us())
    proposed(case, maker, now_us())
    before = everything()
    answer = post(client_of(APPROVER), {"step": "approve", "decision-seen": str(seen.pk), "decision-comment": "yes"})
    assert "another proposal than the one you saw" in answer.content.decode()
    assert everything() == before


@pytest.mark.parametrize("place", [PLACE, LIST])
def test_a_correction_of_a_figure_that_moved_is_not_approved_though_the_reconciliation_is_as_it_was(
    case: ReviewCase, client_of: ClientOf, place: str
) -> None:
    post(client_of(STAFF), ADJUST)
    made, approver = Review.objects.get(), client_of(APPROVER)
    TradeResult.objects.filter(pk=RESULT).update(version=4, execution_price="40020")
    before = everything()
    data = {"step": "approve", "decision-seen": str(made.pk)}
    if place == LIST:
        data = {"action": "approve", "_selected_action": str(TRADE)}
        assert "moved after the proposal" in words_of(approver.post(place, data))
        data |= {"seen": f"{TRADE}:{made.pk}", "comment": ""}
    else:
        assert "Stale. The figures moved after this was proposed. It cannot" in words_of(approver.get(place))
    answer = approver.post(place, data, follow=True)
    assert "which staff would correct, moved after the proposal" in words_of(answer)
    assert everything() == before


def test_a_request_without_the_forms_secret_or_with_no_known_step_is_refused(
    case: ReviewCase, user_of: UserOf, client_of: ClientOf
) -> None:
    before = everything()
    assert client_of(STAFF).post(PLACE, {**ACCEPT, "step": "burn"}).status_code == 400
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user_of(STAFF))
    assert strict.post(PLACE, ACCEPT).status_code == 403
    assert everything() == before
