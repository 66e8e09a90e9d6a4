"""The synthetic market: the same every time, and alive enough to trade on."""

import hashlib
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import takewhile

import msgspec
import pytest

from trading.config import load_desk
from trading.domain.events import BookSnapshot, FeedGap, FundingRate, MarketEvent, Print, TopOfBook
from trading.domain.orders import Side
from trading.market.book import Book
from trading.market.synthetic import HOUR_US, SyntheticFeed
from trading.market.synthetic_book import Steps

START_US = 1_700_000_000_000_000
MINUTE_US = 60_000_000
DESK = load_desk()


def minutes(count: int, seed: int = 1, **settings: float) -> list[MarketEvent]:
    feed = SyntheticFeed(DESK, seed, START_US, **settings)  # type: ignore[arg-type]
    return list(feed.events_until(START_US + count * MINUTE_US))


@pytest.fixture(scope="module")
def five_minutes() -> list[MarketEvent]:
    return minutes(5)


def digest(events: list[MarketEvent]) -> str:
    return hashlib.sha256(msgspec.json.encode(events)).hexdigest()


def test_the_same_seed_gives_the_same_events_and_another_one_others() -> None:
    assert digest(minutes(1)) == digest(minutes(1))
    assert digest(minutes(1)) != digest(minutes(1, seed=2))


def test_asking_in_small_steps_gives_what_iterating_gives() -> None:
    feed = SyntheticFeed(DESK, 1, START_US)
    in_steps = [event for step in range(601) for event in feed.events_until(START_US + step * 100_000)]
    whole = takewhile(lambda event: event.event_us <= START_US + MINUTE_US, SyntheticFeed(DESK, 1, START_US))
    assert in_steps == list(whole)


def test_event_time_never_goes_back_and_every_instrument_has_all_kinds(five_minutes: list[MarketEvent]) -> None:
    kinds = defaultdict(set)
    before_us = START_US
    for event in five_minutes:
        assert event.event_us >= before_us
        before_us = event.event_us
        kinds[event.instrument].add(type(event).__name__)
    assert kinds.keys() == {instrument.id for instrument in DESK.instruments}
    for seen in kinds.values():
        assert seen >= {"TopOfBook", "BookSnapshot", "BookDiff", "Print", "FundingRate"}


def test_the_desk_has_three_venues_and_five_symbols() -> None:
    assert {venue.name for venue in DESK.venues} == {"binance", "bybit", "okx"}
    assert len({instrument.symbol for instrument in DESK.instruments}) == 5


@pytest.mark.parametrize("rate", [150.0, 1_000.0])
def test_the_rate_of_messages_is_about_the_one_asked_for(rate: float) -> None:
    events = minutes(3, messages_per_second=rate)
    assert len(events) / 180 == pytest.approx(rate, rel=0.25)


def test_speed_lets_the_market_live_faster_at_the_same_rate_of_messages() -> None:
    slow, fast = minutes(3, messages_per_second=400), minutes(3, messages_per_second=400, speed=3)
    assert len(fast) == pytest.approx(len(slow), rel=0.25)
    prints = [sum(isinstance(event, Print) for event in events) for events in (slow, fast)]
    assert prints[1] > 2 * prints[0]


def test_books_follow_their_diffs_and_never_cross(five_minutes: list[MarketEvent]) -> None:
    """Every diff chains (a book out of sequence would be gapped), with the gaps of silent venues as only breaks."""
    books: dict[str, Book] = {}
    silent: set[str] = set()
    states: Counter[str] = Counter()
    for event in five_minutes:
        book = books.setdefault(event.instrument, Book(event.instrument))
        book.apply(event)
        if isinstance(event, FeedGap):
            silent.add(event.instrument)
        elif isinstance(event, BookSnapshot):
            silent.discard(event.instrument)
        assert book.state(event.event_us) == ("gapped" if event.instrument in silent else "ok")
        states[book.state(event.event_us)] += 1
    assert states["gapped"] >= 5
    for book in books.values():
        for side in Side:
            assert 9 <= len(list(book.levels(side))) <= 11


def test_a_silent_venue_says_nothing_for_seconds_and_comes_back_with_snapshots(
    five_minutes: list[MarketEvent],
) -> None:
    gap_us: dict[str, int] = {}
    silences = []
    for event in five_minutes:
        if isinstance(event, FeedGap):
            gap_us[event.instrument] = event.event_us
        elif event.instrument in gap_us:
            assert isinstance(event, BookSnapshot)
            silences.append((event.event_us - gap_us.pop(event.instrument)) / 1_000_000)
    assert len(silences) >= 5
    assert 2 <= min(silences) <= max(silences) <= 6


def test_prints_are_at_the_best_price_and_thin_it_out(five_minutes: list[MarketEvent]) -> None:
    tops: dict[str, TopOfBook] = {}
    printed: Print | None = None
    prints = 0
    for event in five_minutes:
        if isinstance(event, Print):
            printed = event
            continue
        if not isinstance(event, TopOfBook):
            continue
        before = tops.get(event.instrument)
        if printed is not None:
            assert before is not None
            assert printed.instrument == event.instrument
            sold = printed.aggressor == "sell"
            assert printed.price == (event.bid if sold else event.ask)
            prints += before.bid == event.bid
            printed = None
        tops[event.instrument] = event
    assert prints > 1_000


def test_spreads_open_beyond_the_fees_and_close_again(five_minutes: list[MarketEvent]) -> None:
    """The spread of each pair, in bps: more than a round trip's 14 at some instants, back under 2 later."""
    quotes: dict[str, tuple[float, float]] = {}
    opened: set[str] = set()
    first_us, closed = 0, 0
    for event in five_minutes:
        if not isinstance(event, TopOfBook):
            continue
        quotes[event.instrument] = (float(event.bid), float(event.ask))
        for pair in DESK.strategies[0].pairs:
            if event.instrument in (pair.long, pair.short) and pair.long in quotes and pair.short in quotes:
                ask, bid = quotes[pair.long][1], quotes[pair.short][0]
                spread_bps = (bid - ask) / ((bid + ask) / 2) * 10_000
                if spread_bps > 16:
                    first_us = first_us or event.event_us
                    opened.add(pair.id)
                elif spread_bps < 2 and pair.id in opened:
                    opened.discard(pair.id)
                    closed += 1
    assert first_us - START_US < MINUTE_US / 2
    assert closed > 20


def test_funding_settles_at_whole_intervals(five_minutes: list[MarketEvent]) -> None:
    rates = [event for event in five_minutes if isinstance(event, FundingRate)]
    assert len({event.rate for event in rates}) > 100
    for event in rates:
        assert event.interval_hours == 1
        assert event.next_settlement_us % HOUR_US == 0
        assert 0 < event.next_settlement_us - event.event_us <= HOUR_US
        assert Decimal(event.mark_price) > 0


def test_a_test_can_have_settlements_every_few_seconds() -> None:
    feed = SyntheticFeed(DESK, 1, START_US, funding_interval_us=10_000_000)
    events = feed.events_until(START_US + MINUTE_US)
    instants = {event.next_settlement_us for event in events if isinstance(event, FundingRate)}
    assert len(instants) in (6, 7)


@pytest.mark.parametrize(
    ("step", "count", "text"),
    [("0.1", 618_002, "61800.2"), ("0.0001", 6_100, "0.6100"), ("1", 7, "7"), ("10", 7, "70"), ("0.25", 3, "0.75")],
)
def test_steps_are_written_exactly(step: str, count: int, text: str) -> None:
    assert Steps(Decimal(step)).text(count) == text
    assert Decimal(text) == Decimal(step) * count
