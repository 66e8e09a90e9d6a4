"""Settlements that passed while nobody listened are named by the exchange's history, through real ccxt."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.trading.market.exchange_server import ExchangeServer
from tests.trading.market.test_live_exchanges import DESK, VENUES, Desk
from trading.domain.events import FundingRate
from trading.market import live_watch
from trading.market.live_settled import NO_HISTORY_MS, SettledState, lacks_marks

HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000


@pytest.fixture
def server() -> Iterator[ExchangeServer]:
    running = ExchangeServer()
    yield running
    running.stop()


def past(desk: Desk, venue: str) -> list[FundingRate]:
    return [each for each in desk.of(venue, FundingRate) if each.next_settlement_us <= each.event_us]


def test_each_exchange_names_what_has_passed_and_then_what_passes(
    server: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_watch, "POLL_SECONDS", 0.2)
    last_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS - 8 * HOUR_MS
    settled = [(last_ms - 8 * HOUR_MS, "0.0001", "61000.5"), (last_ms, "-0.0002", "61500.25")]
    for venue in VENUES:
        server.speaker(venue).settled = settled
    desk = Desk(server, VENUES)
    try:
        desk.until(lambda: all(len(past(desk, venue)) >= 2 for venue in VENUES))
        for venue in VENUES:
            server.speaker(venue).settled = [*settled, (last_ms + 8 * HOUR_MS, "0.0003", "61700")]
        desk.until(lambda: all(len(past(desk, venue)) >= 3 for venue in VENUES))
    finally:
        desk.feed.close()
    for venue in VENUES:
        told = [(e.next_settlement_us // 1000, e.rate, e.mark_price, e.interval_hours) for e in past(desk, venue)]
        assert told == [
            (last_ms - 8 * HOUR_MS, "0.0001", "61000.5", 8),
            (last_ms, "-0.0002", "61500.25", 8),
            (last_ms + 8 * HOUR_MS, "0.0003", "61700", 8),
        ]


def row(hours: float, rate: float = 0.0001, mark: str = "") -> dict[str, Any]:
    return {
        "timestamp": int(NOW_MS // HOUR_MS * HOUR_MS + hours * HOUR_MS),
        "fundingRate": rate,
        "info": {"markPrice": mark},
    }


def state() -> SettledState:
    return SettledState(next(known for known in DESK.instruments if known.venue == "binanceusdm"))


def test_nothing_is_told_twice_and_the_next_question_is_after_the_next_settlement() -> None:
    asked = state()
    history = [row(-12, mark="100"), row(-8, mark="101"), row(-4, mark="102")]
    news = asked.news(history, NOW_MS)
    assert asked.next_ask_ms == row(0)["timestamp"]
    assert [(e.interval_hours, e.mark_price, e.event_us) for e in asked.events(news, {}, None, 5)] == [
        (4, "100", 5), (4, "101", 5), (4, "102", 5),
    ]  # fmt: skip
    assert asked.news(history, NOW_MS) == []
    assert asked.next_ask_ms == row(0)["timestamp"]


def test_a_mark_price_that_is_unknown_is_the_nearest_known() -> None:
    news = [row(-8), row(-4), row(0)]
    assert lacks_marks(news)
    opens = {row(-3)["timestamp"]: 103.5, row(0)["timestamp"]: 104.0}
    assert [each.mark_price for each in state().events(news, opens, "99", 5)] == ["103.5", "103.5", "104"]
    assert [each.mark_price for each in state().events(news, {}, "99", 5)] == ["99"] * 3


def test_without_any_mark_price_it_is_asked_again_soon() -> None:
    asked = state()
    assert asked.events(asked.news([row(-4)], NOW_MS), {}, None, 5) == []
    assert asked.next_ask_ms == 0
    assert len(asked.events(asked.news([row(-4)], NOW_MS), {}, "99", 5)) == 1


def test_an_instrument_without_history_is_asked_about_seldom() -> None:
    asked = state()
    assert asked.news([], NOW_MS) == []
    assert asked.next_ask_ms == NOW_MS + NO_HISTORY_MS
