"""Feeds in real time: pacing, the loop of a recording, and what a feed may be called."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from trading.config import load_desk
from trading.domain.events import FeedGap, FundingRate, MarketEvent, Print
from trading.market.errors import CaptureError, MarketError
from trading.market.feed import open_feed
from trading.market.paced import LAG_US_MAX, PAUSE_US, PacedFeed

NOW_US = 1_800_000_000_000_000
SECOND_US = 1_000_000


class HandClock:
    """A clock that waiting moves."""

    def __init__(self) -> None:
        self.us = NOW_US

    def now_us(self) -> int:
        return self.us

    def wait(self, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)


def paced(passes: Iterable[MarketEvent], clock: HandClock) -> PacedFeed:
    feed = PacedFeed("test", passes, clock)
    feed._wait = clock.wait
    return feed


def prints(*times_us: int) -> list[MarketEvent]:
    return [Print("a:B", at, number, "1", "1", "buy") for number, at in enumerate(times_us)]


def test_a_recording_is_moved_to_now_and_keeps_its_pace() -> None:
    clock = HandClock()
    feed = paced(prints(5_000, 5_000, 5_000 + 2 * SECOND_US), clock)
    assert [event.event_us for event in feed.poll(1.0)] == [NOW_US, NOW_US]
    assert feed.poll(0.5) == []
    assert clock.us == NOW_US + SECOND_US // 2
    last, end = feed.poll(60.0)
    assert (last.event_us, type(end)) == (NOW_US + 2 * SECOND_US, FeedGap)
    assert clock.us == NOW_US + 2 * SECOND_US  # it waited no longer than necessary


def test_a_recording_starts_anew_after_a_gap() -> None:
    clock = HandClock()
    feed = paced(prints(5_000, 6_000), clock)
    clock.us += 1_000
    events = [event for _ in range(8) for event in feed.poll(2.0)]
    kinds = [type(event) for event in events[:7]]
    assert kinds == [Print, Print, FeedGap, Print, Print, FeedGap, Print]
    times = [event.event_us for event in events]
    assert times == sorted(times)
    assert times[3] - times[2] == PAUSE_US


def test_events_of_about_now_keep_their_time() -> None:
    clock = HandClock()
    feed = paced(prints(NOW_US - 50, NOW_US + 50), clock)
    assert [event.event_us for event in feed.poll(1.0)] == [NOW_US - 50]
    assert {event.event_us for event in feed.poll(1.0)} == {NOW_US + 50}


def test_a_machine_that_slept_goes_on_where_it_was() -> None:
    clock = HandClock()
    funding = FundingRate("a:B", NOW_US + SECOND_US, "0.1", 1, "1", NOW_US + 3 * SECOND_US)
    feed = paced([*prints(NOW_US), funding, *prints(NOW_US + 2 * SECOND_US)], clock)
    feed.poll(0)
    clock.us += LAG_US_MAX + 5 * SECOND_US
    moved_us = clock.us - funding.event_us
    (event,) = feed.poll(0)
    assert event == FundingRate(
        "a:B", funding.event_us + moved_us, "0.1", 1, "1", funding.next_settlement_us + moved_us
    )
    assert feed.poll(0) == []  # the next one is due a second later, not at once


def test_a_feed_without_events_says_so() -> None:
    with pytest.raises(MarketError, match="feed test: there is no event in it"):
        paced([], HandClock()).poll(0)


def test_a_closed_feed_gives_nothing_and_does_not_wait() -> None:
    feed = PacedFeed("test", prints(NOW_US + 3_600 * SECOND_US), HandClock())
    feed.close()
    assert feed.poll(3_600) == []


def test_the_synthetic_feed_begins_now() -> None:
    clock = HandClock()
    feed = open_feed("synthetic", load_desk(), clock)
    assert isinstance(feed, PacedFeed)
    first = feed.poll(0)
    assert {event.event_us for event in first} == {NOW_US}
    assert {event.instrument for event in first} == {instrument.id for instrument in load_desk().instruments}
    clock.us += SECOND_US
    assert 50 < len(feed.poll(0)) < 500


@pytest.mark.parametrize(
    "spec", ["", "synthetics", "synthetic:x", "replay", "replay:", "replay:,", "ccxt:", "kraken:x"]
)
def test_an_unknown_feed_is_named_with_the_allowed_forms(spec: str) -> None:
    with pytest.raises(MarketError) as caught:
        open_feed(spec, load_desk(), HandClock())
    assert str(caught.value) == (
        f"feed {spec!r} is unknown; it must be synthetic, replay:FILE[,FILE...] or ccxt:EXCHANGE[,EXCHANGE...]"
    )


def test_a_replay_of_files(capture_file: Callable[..., Path]) -> None:
    line = '{"stream":"btcusdt@trade","data":{"E":1,"s":"BTCUSDT","t":7,"p":"1.0","q":"2.0","m":true}}'
    first = capture_file(line)
    second = capture_file(line, name="binance-spot-btcusdt-test")
    desk = load_desk(defaults="replay")
    feed = open_feed(f"replay:{first},{second}", desk, HandClock())
    assert [event.instrument for event in feed.poll(0)][:2] == ["binanceusdm:BTCUSDT", "binance:BTCUSDT"]
    with pytest.raises(CaptureError, match="nowhere"):
        open_feed("replay:nowhere", desk, HandClock())
    with pytest.raises(MarketError, match="holds venue 'binanceusdm', the settings declare binance, bybit, okx"):
        open_feed(f"replay:{first}", load_desk(), HandClock())
