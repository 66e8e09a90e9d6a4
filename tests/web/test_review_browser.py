"""The review queue in a real browser: the way from the front page, the keys, and that they rest while one types."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from paperdesk.roles import ANALYST, APPROVER, STAFF
from results.review_models import ReviewCase
from tests.web.browsing import Desk, browsed
from tests.web.cases import CRITICAL, HIGH, LOW, case, proposed

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

QUEUE = "/admin/results/reviewcase/"
WIDTHS = {"phone": 390, "desktop": 1440}
# How far the page's content reaches beyond the window, in pixels.
BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def cases(user_of: Callable[[str], User]) -> list[ReviewCase]:
    """Three of them in the queue's order; the second has a proposal of staff."""
    for role in (ANALYST, APPROVER):
        user_of(role)
    grave = case(CRITICAL, 73, kind="missing_result", rejection_reason="Result missing")
    return [grave, proposed(user_of(STAFF), HIGH, hours=5), case(LOW)]


@pytest.fixture
def desk(cases: list[ReviewCase], redis_client: redis.Redis) -> Iterator[Desk]:
    with browsed() as desk:
        yield desk


def at(page: Page) -> str:
    """The case that has the focus, by its trade."""
    return str(page.evaluate("document.activeElement.title"))


def test_the_front_page_leads_to_the_oldest_severe_case_in_one_click(desk: Desk, cases: list[ReviewCase]) -> None:
    page = desk.logged_in("/admin/", APPROVER)
    page.get_by_role("link", name="BTCUSDT on binance, result missing, open for 3 days").click()
    page.wait_for_url(f"**{QUEUE}{cases[0].pk}/change/")
    expect(page.locator("#content")).to_contain_text("Result missing")


def test_j_and_k_walk_along_the_queue_and_enter_opens(desk: Desk, cases: list[ReviewCase]) -> None:
    page = desk.logged_in(QUEUE, APPROVER)
    walked = []
    for key in "jjjjkk":
        page.keyboard.press(key)
        walked.append(at(page))
    first, second, third = (str(each.pk) for each in cases)
    assert walked == [first, second, third, third, second, first]
    focused = page.locator("#result_list tbody tr").first
    assert focused.evaluate("row => getComputedStyle(row).boxShadow") != "none"
    assert focused.locator("a.row-id").evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{QUEUE}{first}/change/")


def test_a_leads_to_the_proposals_to_approve_and_decides_nothing(desk: Desk, cases: list[ReviewCase]) -> None:
    page = desk.logged_in(QUEUE, APPROVER)
    page.keyboard.press("a")
    expect(page.get_by_role("status")).to_have_text("Choose a case first: j goes to the next one.")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator("h1", has_text="Approve proposals")).to_be_visible()
    expect(page.locator("#content-main tbody tr")).to_have_count(1)
    expect(page.locator("#content-main tbody tr")).to_contain_text("accept, market moved")
    page.keyboard.press("a")
    expect(page.locator('[data-key="approve"]')).to_be_focused()
    expect(page.get_by_text("Nothing is decided yet.")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 approved, 0 refused.")
    page.get_by_role("link", name="Back to the queue").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(2)


def test_a_takes_the_chosen_cases_before_the_one_at_hand(desk: Desk, cases: list[ReviewCase]) -> None:
    page = desk.logged_in(QUEUE, APPROVER)
    for box in page.locator("#result_list tbody input[type=checkbox]").all()[:2]:
        box.check()
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator("#content-main tbody tr")).to_have_count(2)
    expect(page.get_by_role("button", name="Approve 1 proposal")).to_be_visible()


def test_r_leads_to_the_return_of_the_case_at_hand(desk: Desk, cases: list[ReviewCase]) -> None:
    page = desk.logged_in(QUEUE, APPROVER)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.wait_for_url(f"**{QUEUE}{cases[1].pk}/change/#return")


def test_who_may_not_approve_is_told_so(desk: Desk) -> None:
    page = desk.logged_in(QUEUE, ANALYST)
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.get_by_role("status")).to_have_text("Your role approves no proposals.")
    assert page.url.endswith(QUEUE)


def test_keys_rest_while_somebody_types_or_holds_another_key(desk: Desk) -> None:
    page = desk.logged_in(QUEUE, APPROVER)
    search = page.locator("#searchbar")
    search.click()
    page.keyboard.type("jkar?")
    expect(search).to_have_value("jkar?")
    expect(search).to_be_focused()
    page.locator('select[name="action"]').focus()
    page.keyboard.press("j")
    expect(page.locator('select[name="action"]')).to_be_focused()
    expect(page.locator("dialog")).to_have_count(0)
    search.fill("")
    search.blur()
    for held in ("Control+j", "Alt+j", "Meta+j", "Shift+J"):
        page.keyboard.press(held)
    assert at(page) == ""
    page.keyboard.press("j")
    assert at(page) != ""


def test_the_help_tells_the_keys_and_switches_them_off(desk: Desk) -> None:
    page = desk.logged_in(QUEUE, APPROVER)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard keys")
    expect(dialog).to_be_visible()
    assert dialog.locator("dt").all_inner_texts() == ["j", "k", "Enter", "a", "r", "?"]
    page.keyboard.press("j")
    assert at(page) == ""  # behind the dialog nothing moves
    dialog.get_by_label("Use these keys").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    page.keyboard.press("j")
    assert at(page) == ""
    page.get_by_role("button", name="Keyboard keys").click()
    dialog.get_by_label("Use these keys").check()
    dialog.get_by_role("button", name="Close").click()
    page.keyboard.press("j")
    assert at(page) != ""


@pytest.mark.parametrize("width", WIDTHS)
def test_queue_front_page_and_approval_fit_the_window(width: str, desk: Desk) -> None:
    size = {"width": WIDTHS[width], "height": 900}
    page = desk.logged_in("/admin/", APPROVER, viewport=size)
    expect(page.get_by_text("1 waits for your decision")).to_be_visible()
    assert page.evaluate(BEYOND) <= 0
    page.goto(desk.address + QUEUE)
    expect(page.locator("#result_list tbody tr")).to_have_count(3)
    assert page.evaluate(BEYOND) <= 0
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator('[data-key="approve"]')).to_be_visible()
    assert page.evaluate(BEYOND) <= 0


def test_on_the_page_of_a_case_keys_lead_to_its_buttons_and_to_the_next_case(
    desk: Desk, cases: list[ReviewCase]
) -> None:
    first, second, third = (f"{QUEUE}{each.pk}/change/" for each in cases)
    page = desk.logged_in(second, APPROVER)
    page.keyboard.press("a")
    expect(page.locator('[data-key="approve"]')).to_be_focused()
    page.keyboard.press("r")
    expect(page.locator('[data-key="return"]')).to_be_focused()
    words = page.locator("textarea").first
    words.focus()
    page.keyboard.type("jkar")
    expect(words).to_have_value("jkar")
    words.blur()
    page.keyboard.press("j")
    page.wait_for_url(f"**{third}")
    page.keyboard.press("a")
    expect(page.get_by_role("status")).to_have_text("There is nothing here that you could approve.")
    page.keyboard.press("k")
    page.wait_for_url(f"**{second}")
    page.keyboard.press("k")
    page.wait_for_url(f"**{first}")
    page.goto(f"{desk.address}{second}#return")
    expect(page.locator('[data-key="return"]')).to_be_focused()
