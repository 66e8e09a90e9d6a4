"""The pages in a real browser: Chromium, uvicorn with the whole ASGI application, real Redis, the test database."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from paperdesk.embedded.ports import free_port
from paperdesk.environment import BASE_DIR
from tests.web import snapshots
from tests.web.browsing import Desk, browsed, browsing, serving
from tests.web.rows import row
from trading.models import PaperTrade

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ACTIVE_TRADE = BASE_DIR / "tests/vectors/documents/trade_active.json"  # the documents' example of TRADE_ID
WIDTHS = {"phone": 390, "tablet": 820, "desktop": 1440}
BEYOND = """cells => cells.map((cell) => {
  const ends = [...cell.children, cell].map((part) => part.getBoundingClientRect().right);
  return Math.max(...ends) - cell.closest(".scroll").getBoundingClientRect().right;
})"""


@pytest.fixture
def ann(user_of: Callable[[str], User]) -> User:
    user = user_of("analyst")
    user.username = "ann"
    user.save()
    return user


@pytest.fixture
def desk(ann: User, redis_client: redis.Redis) -> Iterator[Desk]:
    row(PaperTrade, id=snapshots.OTHER_ID, symbol="ETHUSDT").save()
    with browsed() as desk:
        yield desk


def field(page: Page, name: str) -> Any:
    return page.locator(f'#portfolios [data-field="{name}"]').first


def test_visitor_logs_in_and_sees_numbers_change_without_a_reload(desk: Desk) -> None:
    desk.publish(snapshots.portfolio(equity_usd="20253.71"))
    page = desk.open("/")
    assert page.url.endswith("/login/?next=/")
    page = desk.logged_in("/")
    expect(field(page, "equity_usd")).to_have_text("20,253.71")
    page.evaluate("window.loadedOnce = true")
    loss = snapshots.trade(unrealised_usd="-1.5", unrealised_bps="-3")
    desk.publish(snapshots.portfolio(equity_usd="20249.004", trades=[loss], metrics=snapshots.metrics(win_rate=0.5)))
    expect(field(page, "equity_usd")).to_have_text("20,249.00")
    expect(field(page, "metrics.win_rate")).to_have_text("50.0")
    mark = page.locator('.trades [data-field="unrealised_usd"]')
    expect(mark).to_have_text("−1.50")
    expect(mark).to_have_class("loss")
    assert page.evaluate("window.loadedOnce") is True


def test_trades_come_and_go_and_queues_move(desk: Desk) -> None:
    desk.publish()
    page = desk.logged_in("/")
    rows = page.locator(".trades tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.locator("progress").nth(1)).to_have_js_property("value", 0.35)
    expect(rows.locator(".queue").nth(1)).to_have_text("35 %")
    desk.publish(snapshots.portfolio(trades=[snapshots.trade(short_progress=0.8), snapshots.trade(id="b")]))
    expect(rows).to_have_count(2)
    expect(rows.first.locator("progress").nth(1)).to_have_js_property("value", 0.8)
    desk.publish(snapshots.portfolio(trades=[]))
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("No open trades. The desk enters when")


def test_equity_line_is_drawn(desk: Desk) -> None:
    desk.publish()
    page = desk.logged_in("/")
    expect(page.locator(".equity canvas")).to_be_visible()
    desk.publish(snapshots.portfolio(equity_usd="20300"))
    expect(page.get_by_role("img", name="now 20300.00 USD, between 20253.71 and 20300.00 USD")).to_be_visible()


def test_undefined_figure_is_a_dash_that_says_why(desk: Desk) -> None:
    undefined = snapshots.metrics(win_rate=0, leg_out_loss_pct=0, undefined=["win_rate", "leg_out_loss_pct"])
    desk.publish(snapshots.portfolio(metrics=undefined, equity_usd=None))
    page = desk.logged_in("/")
    expect(field(page, "metrics.win_rate")).to_have_text("–")
    expect(field(page, "metrics.win_rate")).to_have_attribute("title", "No trade has closed yet.")
    expect(field(page, "equity_usd")).to_have_attribute("title", re.compile("price is missing or stale"))
    expect(field(page, "metrics.utilization_pct")).to_have_text("57.5")


def test_a_book_that_is_not_in_order_and_what_it_leaves_unknown_say_why(desk: Desk, redis_client: redis.Redis) -> None:
    reason = "the feed has a gap: 3 messages are missing"
    markets = [
        {"instrument": "binance:BTCUSDT", "bid": "1", "ask": "2", "age_ms": 9, "state": "ok", "reason": ""},
        {"instrument": "bybit:BTCUSDT", "bid": "1", "ask": "2", "age_ms": 9, "state": "gapped", "reason": reason},
    ]
    unknown = {"unrealised_usd": None, "unrealised_bps": None, "spread_now_bps": None}
    trades = [snapshots.trade(**unknown), snapshots.trade(id="b", short_exchange="okx", **unknown)]
    desk.publish(snapshots.portfolio(unrealised_usd=None, trades=[*trades, snapshots.trade(id="c")]), markets=markets)
    page = desk.logged_in("/")
    expect(page.locator("#market .why")).to_have_count(2)
    expect(page.locator(".trades tbody tr")).to_have_count(3)
    fine, gapped = page.locator("#market li").all()
    expect(gapped).to_have_attribute("title", f"bybit:BTCUSDT is gapped: {reason}")
    expect(gapped.get_by_text(reason)).to_be_visible()
    expect(fine.locator(".why")).to_be_hidden()
    first, second, third = page.locator(".trades tbody tr").all()
    expect(first.locator('[data-field="unrealised_usd"]')).to_have_text("unknown")
    expect(first.locator('[data-field="unrealised_usd"]')).to_have_attribute("title", f"bybit gapped: {reason}")
    expect(first.locator(".venues").get_by_text(f"bybit gapped: {reason}")).to_be_visible()
    expect(second.locator(".venues")).to_contain_text("okx: no price has come")
    expect(third.locator(".unequal")).to_be_hidden()
    expect(third.locator(".unmarked")).to_be_hidden()
    expect(field(page, "unrealised_usd")).to_have_text("unknown")
    expect(page.get_by_text("The P&L of 2 of 3 open trades is unknown, for instance BTCUSDT: bybit g")).to_be_visible()
    redis_client.set(f"strategy:trades:active:{snapshots.TRADE_ID}", ACTIVE_TRADE.read_bytes())
    page.goto(f"{desk.address}/trades/{snapshots.TRADE_ID}/")
    expect(page.locator('#now [data-field="unrealised_usd"]')).to_have_text("unknown")
    expect(page.locator("#now").get_by_role("status")).to_have_text(f"bybit gapped: {reason}")
    desk.publish()
    expect(page.locator("#now").get_by_role("status")).to_be_hidden()


def test_alarm_and_a_follower_that_is_away_stand_in_words(desk: Desk) -> None:
    away = {"lag": 312, "age_ms": 64_000, "error": "connection refused", "since_us": 1}
    fine = {"lag": 0, "age_ms": 900, "error": None}
    alarm = "ClickHouse is in trouble since 2026-11-21 12:00:01 UTC; 312 rows wait."
    desk.publish(alarms=[alarm], sync={"duckdb": fine, "django": fine, "clickhouse": away})
    page = desk.logged_in("/")
    expect(page.locator("#alarms li")).to_have_text(alarm)
    expect(page.locator('[data-part="clickhouse"]')).to_have_attribute("data-state", "bad")
    expect(page.locator('[data-part="clickhouse"]')).to_contain_text("away, 312 rows wait")
    expect(page.locator('[data-part="duckdb"]')).to_have_attribute("data-state", "ok")
    desk.publish()
    expect(page.locator("#alarms")).to_be_hidden()


def test_when_the_stores_were_verified_and_what_differed_stands_on_the_page(desk: Desk) -> None:
    fine = {"lag": 0, "age_ms": 12_000, "error": None}
    audited = {**fine, "age_ms": 2 * 3_600_000}
    desk.publish(sync={"verify": fine, "audit": audited})
    page = desk.logged_in("/")
    part = page.locator('[data-part="verify"]')
    expect(part).to_have_attribute("data-state", "ok")
    expect(part).to_contain_text(re.compile(r"Verified1\d(\.\d)? s ago, all rows 2 h 00 min ago"))
    found = "3 rows differ, most of them in trade_result (django)"
    for name in ("verify", "audit"):
        desk.publish(sync={"verify": fine, "audit": audited, name: {**fine, "error": found}})
        expect(part).to_have_attribute("data-state", "bad")
        expect(part).to_contain_text(found)
        desk.publish(sync={"verify": fine, "audit": audited})
        expect(part).to_have_attribute("data-state", "ok")


def test_what_is_old_from_before_the_start_is_calm_until_a_period_has_passed(desk: Desk) -> None:
    old = {"lag": 0, "age_ms": 7_200_000, "error": None}
    names = ("duckdb", "django", "clickhouse", "verify")
    desk.publish(up_ms=2_000, sync=dict.fromkeys(names, old))
    page = desk.logged_in("/")
    for name in names:
        expect(page.locator(f'[data-part="{name}"]')).to_have_attribute("data-state", "unknown")
    expect(page.locator('[data-part="duckdb"]')).to_contain_text("starting")
    expect(page.locator('[data-part="verify"]')).to_contain_text("2 h 00 min ago")
    desk.publish(up_ms=200_000, sync=dict.fromkeys(names, old))
    for name in names:
        expect(page.locator(f'[data-part="{name}"]')).to_have_attribute("data-state", "bad")
    desk.publish(up_ms=2_000, sync={"duckdb": {**old, "error": "disk full"}})
    expect(page.locator('[data-part="duckdb"]')).to_have_attribute("data-state", "bad")


def test_records_of_other_programs_are_told_in_words_and_lead_to_the_dead_letters(desk: Desk) -> None:
    swept = {"lag": 0, "age_ms": 900, "error": None, "seen": 5, "accepted": 3, "set_aside": 2, "open": 0}
    desk.publish(sync={"sweep": swept})
    told = (page := desk.logged_in("/")).locator('[data-part="sweep"]')
    expect(told).to_contain_text("5 seen = 3 accepted + 2 set aside")
    expect(told.get_by_role("link")).to_be_hidden()
    desk.publish(sync={"sweep": {**swept, "open": 1}})
    told.get_by_role("link", name="1 dead letter waits").click()
    expect(page).to_have_url(f"{desk.address}/admin/results/deadletter/?state=open")


def test_numbers_that_stand_still_are_dimmed_and_the_banner_says_so(desk: Desk) -> None:
    page = desk.logged_in("/")
    desk.publish()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#banner")).to_contain_text("No tick of the monitor for", timeout=8_000)
    expect(page.locator("body")).to_have_class("is-stale")
    desk.publish()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("body")).not_to_have_class("is-stale")


def test_desk_that_has_not_published_says_so(desk: Desk) -> None:
    page = desk.logged_in("/")
    expect(page.locator("#banner")).to_contain_text("has not published anything yet")
    desk.publish()
    expect(field(page, "equity_usd")).to_have_text("20,253.71")
    expect(page.locator("#banner")).to_be_hidden()


def test_lost_connection_is_shown_and_found_again(ann: User, redis_client: redis.Redis) -> None:
    port = free_port()
    with browsing(port) as desk:
        with serving(port):
            desk.publish()
            page = desk.logged_in("/")
            expect(field(page, "equity_usd")).to_have_text("20,253.71")
        expect(page.locator("#banner")).to_contain_text("Connection to the desk lost")
        expect(page.locator("body")).to_have_class("is-stale")
        with serving(port):
            desk.publish(snapshots.portfolio(equity_usd="20111"))
            page.get_by_role("button", name="Try now").click()
            expect(field(page, "equity_usd")).to_have_text("20,111.00")
            expect(page.locator("#banner")).to_be_hidden()
            page.context.close()


def test_trade_page_of_an_open_trade_is_live_and_links_lead_there(desk: Desk, redis_client: redis.Redis) -> None:
    desk.publish()
    redis_client.set(f"strategy:trades:active:{snapshots.TRADE_ID}", ACTIVE_TRADE.read_bytes())
    page = desk.logged_in("/")
    page.locator(".trades").get_by_role("link", name="BTCUSDT").click()
    expect(page.get_by_role("heading", name="BTCUSDT long binance, short bybit")).to_be_visible()
    expect(page.locator('#now [data-field="unrealised_usd"]')).to_have_text("+3.21")
    desk.publish(snapshots.portfolio(trades=[snapshots.trade(unrealised_usd="4.5")]))
    expect(page.locator('#now [data-field="unrealised_usd"]')).to_have_text("+4.50")
    desk.publish(snapshots.portfolio(trades=[], trades_total=0))
    expect(page.locator("#moved-on")).to_contain_text("no longer open")


def test_analyst_opens_a_trade_in_the_admin(desk: Desk) -> None:
    desk.publish()
    page = desk.logged_in("/")
    page.get_by_role("link", name="Trades").click()
    expect(page).to_have_url(desk.address + "/admin/trading/papertrade/")
    page.locator("#result_list tbody tr a").first.click()
    expect(page.locator("#content")).to_contain_text("ETHUSDT")
    expect(page.locator("#content")).to_contain_text(snapshots.OTHER_ID)
    page.goto(f"{desk.address}/trades/{snapshots.OTHER_ID}/")
    page.get_by_role("link", name="Trade in the admin").click()
    expect(page).to_have_url(re.compile(f"/admin/trading/papertrade/{snapshots.OTHER_ID}/change/"))


def test_theme_is_remembered_and_shared_with_the_admin(desk: Desk) -> None:
    desk.publish()
    page = desk.logged_in("/", color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    toggle = page.get_by_role("button", name="Theme")
    toggle.click()
    toggle.click()
    expect(toggle).to_have_text("Theme: dark")
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    assert page.evaluate(paper) == dark
    page.goto(desk.address + "/admin/")
    assert page.evaluate(paper) == dark
    page.goto(desk.address + "/api/docs/")
    expect(page.locator("html")).to_have_class("dark-mode")


@pytest.mark.parametrize("screen", WIDTHS)
def test_no_page_is_wider_than_the_screen(desk: Desk, screen: str) -> None:
    reason = "the bid 61800.20 is not below the ask 61800.10"
    crossed = {"instrument": "bybit:BTCUSDT", "bid": "1", "ask": "2", "age_ms": 9, "state": "crossed", "reason": reason}
    unknown = snapshots.trade(unrealised_usd=None, unrealised_bps=None, spread_now_bps=None)
    other = snapshots.portfolio(prefix="complete", name="Both passive, completing", trades=[unknown])
    desk.publish(snapshots.portfolio(), other, markets=[crossed])
    page = desk.logged_in("/", viewport={"width": WIDTHS[screen], "height": 900})
    expect(page.locator("#comparison tbody tr")).to_have_count(2)
    if screen != "desktop":  # there a trade is a block of its own, and nothing of it is cut off
        blocks = page.locator(".trades tbody tr > *")
        assert max(blocks.evaluate_all(BEYOND)) <= 1
    for path in ("/", f"/trades/{snapshots.OTHER_ID}/", "/admin/trading/papertrade/"):
        page.goto(desk.address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[screen], path


def test_signing_out_elsewhere_sends_the_page_to_the_login(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading.consumers.USER_CHECK_SECONDS", 0.2)
    desk.publish()
    page = desk.logged_in("/")
    expect(field(page, "equity_usd")).to_have_text("20,253.71")
    other = page.context.new_page()
    other.goto(desk.address + f"/trades/{snapshots.OTHER_ID}/")
    other.get_by_role("button", name="Log out").click()
    page.wait_for_url(desk.address + "/login/?next=%2F")


def test_a_trade_that_is_legged_out_and_waits_for_its_hedge_says_so(desk: Desk, redis_client: redis.Redis) -> None:
    words = "legged out, its hedge waits for the market: long 0.019, short 0"
    desk.publish(snapshots.portfolio(trades=[snapshots.trade(status="Pending", unequal=words)]))
    page = desk.logged_in("/")
    expect(page.locator(".trades tbody tr .venues")).to_contain_text(words)
    redis_client.set(f"strategy:trades:active:{snapshots.TRADE_ID}", ACTIVE_TRADE.read_bytes())
    page.goto(f"{desk.address}/trades/{snapshots.TRADE_ID}/")
    expect(page.locator("#now .unequal")).to_have_text(words)
    desk.publish(snapshots.portfolio(trades=[snapshots.trade(unequal=None)]))
    expect(page.locator("#now .unequal")).to_be_hidden()
