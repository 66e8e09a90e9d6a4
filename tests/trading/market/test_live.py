"""The ccxt feed, against made-up exchanges with ccxt's methods and structures."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from trading.config import load_desk
from trading.domain.events import BookDiff, BookSnapshot, FeedGap, FundingRate, MarketEvent, Print, TopOfBook
from trading.market.errors import MarketError
from trading.market.live import LiveFeed
from trading.market.live_book import LEVELS_MAX, BookChanges
from trading.market.live_clock import VenueClock
from trading.market.live_funding import FundingState
from trading.market.live_messages import print_of, symbol_of
from trading.market.live_metadata import DECIMAL_PLACES, TICK_SIZE, differences
from trading.market.live_venue import VenueFeed
from trading.market.print_ids import PRINT_IDS_KEPT, PrintIds

DESK = load_desk(defaults="live")
BTC = DESK.instruments[0]
NOW_US = 1_800_000_000_000_000
BOOK = {"bids": [[61800.2, 25.0], [61800.0, 3]], "asks": [[61800.3, 1.5]]}
FUNDING = {"fundingRate": 1e-05, "fundingTimestamp": 1_800_000_100_000, "interval": "4h", "markPrice": 61800.25}


class Clock:
    def now_us(self) -> int:
        return NOW_US


class MadeUpExchange:
    """Answers every 5 ms; `fails` says of each call whether it raises."""

    def __init__(self, fails: Callable[[str, int], bool] = lambda what, call: False) -> None:
        self._fails = fails
        self.calls: Counter[tuple[str, str]] = Counter()
        self.has: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.precisionMode = 0
        self.is_closed = False

    async def _answer(self, what: str, symbol: str) -> int:
        self.calls[what, symbol] += 1
        await asyncio.sleep(0.005)
        call = self.calls[what, symbol]
        if self._fails(what, call):
            raise ConnectionError(f"{what} {call} is cut")
        return call

    async def load_markets(self) -> Any:
        await self._answer("markets", "")

    def market(self, symbol: str) -> dict[str, Any]:
        return {"contract": True, "contractSize": 0.01, "swap": True, "linear": True}

    async def watch_order_book(self, symbol: str) -> dict[str, Any]:
        call = await self._answer("book", symbol)
        return {"timestamp": 1_799_999_999_000, "bids": [[10.0, call], [9.0, 3]], "asks": [[11.0, 1.5]]}

    async def watch_trades(self, symbol: str) -> list[dict[str, Any]]:
        call = await self._answer("prints", symbol)
        return [{"id": str(number), "price": 61800.2, "amount": 2, "side": "sell"} for number in (call, call + 1)]

    async def fetch_funding_rate(self, symbol: str) -> dict[str, Any]:
        await self._answer("funding", symbol)
        return FUNDING

    async def close(self) -> None:
        self.is_closed = True


Open = Callable[..., LiveFeed]


@pytest.fixture
def open_live() -> Iterator[Open]:
    feeds: list[LiveFeed] = []

    def open_with(exchanges: dict[str, MadeUpExchange], **settings: int) -> LiveFeed:
        exchange: Any = exchanges.__getitem__
        feed = LiveFeed(DESK, tuple(exchanges), Clock(), exchange, backoff_seconds=0.01, **settings)
        feeds.append(feed)
        return feed

    yield open_with
    for feed in feeds:
        feed.close()


def collected(feed: LiveFeed, enough: Callable[[list[MarketEvent]], bool]) -> list[MarketEvent]:
    events: list[MarketEvent] = []
    deadline = time.monotonic() + 10
    while not enough(events):
        assert time.monotonic() < deadline, f"only {Counter(type(event).__name__ for event in events)} came"
        events += feed.poll(0.1)
    return events


def kinds_of(events: list[MarketEvent], venue: str) -> set[str]:
    return {type(event).__name__ for event in events if event.instrument.startswith(f"{venue}:")}


def test_books_prints_and_funding_of_all_instruments_arrive(open_live: Open) -> None:
    exchanges = {"binanceusdm": MadeUpExchange(), "okx": MadeUpExchange()}
    feed = open_live(exchanges)
    wanted = {"BookSnapshot", "BookDiff", "TopOfBook", "Print", "FundingRate"}
    events = collected(feed, lambda events: all(kinds_of(events, venue) == wanted for venue in exchanges))
    assert feed.name == "ccxt:binanceusdm,okx"
    assert len({event.instrument for event in events}) == 10
    times = [event.event_us for event in events]
    assert times == sorted(times)
    feed.close()
    assert all(exchange.is_closed for exchange in exchanges.values())


def test_a_repeated_print_comes_once(open_live: Open) -> None:
    """The exchange sends prints n and n + 1 at its n-th answer."""
    feed = open_live({"okx": MadeUpExchange()})
    events = collected(feed, lambda events: sum(isinstance(event, Print) for event in events) > 50)
    ids = [event.print_id for event in events if isinstance(event, Print) and event.instrument == "okx:BTCUSDT"]
    assert ids == list(range(1, len(ids) + 1))


def test_one_exchange_down_does_not_stop_the_other_and_comes_back(open_live: Open) -> None:
    down = MadeUpExchange(fails=lambda what, call: what == "markets" and call < 4)
    up = MadeUpExchange()
    feed = open_live({"bybit": down, "okx": up})
    events = collected(feed, lambda events: "TopOfBook" in kinds_of(events, "bybit"))
    assert down.calls["markets", ""] == 4
    gaps = [event for event in events if isinstance(event, FeedGap)]
    assert {gap.instrument.partition(":")[0] for gap in gaps} == {"bybit"}
    assert len(gaps) == 5  # one per instrument, though three attempts failed
    before_return = events[
        : next(i for i, e in enumerate(events) if e.instrument.startswith("bybit") and e not in gaps)
    ]
    assert "TopOfBook" in kinds_of(before_return, "okx")


def test_a_cut_stream_is_a_gap_and_then_goes_on(open_live: Open) -> None:
    feed = open_live({"okx": MadeUpExchange(fails=lambda what, call: what == "book" and call == 3)})

    def tops_after_gap(events: list[MarketEvent]) -> bool:
        of_btc = [type(event) for event in events if event.instrument == "okx:BTCUSDT"]
        return FeedGap in of_btc and TopOfBook in of_btc[of_btc.index(FeedGap) :]

    events = collected(feed, tops_after_gap)
    reasons = {event.reason for event in events if isinstance(event, FeedGap) and event.instrument == "okx:BTCUSDT"}
    assert reasons == {"okx:BTCUSDT: book: ConnectionError: book 3 is cut"}
    kinds = [type(event) for event in events if event.instrument == "okx:BTCUSDT"]
    assert kinds[kinds.index(FeedGap) :].index(BookSnapshot) < kinds[kinds.index(FeedGap) :].index(TopOfBook)


def test_what_does_not_fit_is_dropped_and_reported_as_a_gap(open_live: Open) -> None:
    exchange = MadeUpExchange()
    feed = open_live({"okx": exchange}, queue_events_max=20)
    deadline = time.monotonic() + 10
    while exchange.calls["book", "BTC/USDT:USDT"] < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    events = feed.poll(0.1)
    assert len(events) <= 40  # the queue, and what arrived while it was emptied

    def whole_again(more: list[MarketEvent]) -> bool:
        """What was dropped may have been a diff, so the book comes whole after the gap."""
        kinds = [type(event) for event in events + more if event.instrument == "okx:BTCUSDT"]
        return FeedGap in kinds and BookSnapshot in kinds[kinds.index(FeedGap) :]

    events += collected(feed, whole_again)
    assert any("fell behind" in event.reason for event in events if isinstance(event, FeedGap))


def test_a_venue_that_the_settings_do_not_declare_is_refused() -> None:
    with pytest.raises(MarketError, match="feed ccxt:kraken: the settings declare no instrument of venue 'kraken'"):
        LiveFeed(DESK, ("kraken",), Clock())


def test_symbols_are_ccxts() -> None:
    assert symbol_of(BTC) == "BTC/USDT:USDT"
    spot = load_desk(defaults="replay").instruments[0]
    assert symbol_of(spot) == "BTC/USDT"


def test_a_thread_that_ended_by_a_fault_of_ours_is_told(open_live: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(self: VenueFeed) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(VenueFeed, "run", ends)
    feed = open_live({"okx": MadeUpExchange()})
    feed._thread.join(10)
    with pytest.raises(MarketError, match="feed ccxt:okx: it has ended, the log says why"):
        feed.poll(0.01)


def book(*parts: Any) -> dict[str, Any]:
    bids, asks = parts
    return {"bids": bids, "asks": asks}


def test_a_book_is_sent_whole_once_and_then_by_its_changes() -> None:
    changes = BookChanges(BTC)
    hundredth = Decimal("0.01")
    assert changes.events(book([], [[61800.3, 1]]), hundredth, 5) == []
    assert changes.events(BOOK, hundredth, 6) == [
        BookSnapshot(BTC.id, 6, [("61800.2", "0.25"), ("61800.0", "0.03")], [("61800.3", "0.015")], 1),
        TopOfBook(BTC.id, 6, "61800.2", "0.25", "61800.3", "0.015"),
    ]
    assert changes.events(BOOK, hundredth, 7) == [BookDiff(BTC.id, 7, [], [], 2, 2)]
    assert changes.events(book([[61800.2, 25.0], [61799.9, 1]], [[61800.3, 1.5]]), hundredth, 8) == [
        BookDiff(BTC.id, 8, [("61799.9", "0.01"), ("61800.0", "0")], [], 3, 3)
    ]
    assert changes.events(book([], [[61800.3, 2]]), hundredth, 9) == [
        BookDiff(BTC.id, 9, [("61800.2", "0"), ("61799.9", "0")], [("61800.3", "0.02")], 4, 4),
        TopOfBook(BTC.id, 9, "0", "0", "61800.3", "0.02"),
    ]
    changes.forget()
    assert [type(event) for event in changes.events(BOOK, hundredth, 10)] == [BookSnapshot, TopOfBook]


def test_only_the_best_levels_are_sent() -> None:
    changes = BookChanges(BTC)
    deep = [[61800 - number, 1] for number in range(LEVELS_MAX + 10)]
    (snapshot, _) = changes.events(book(deep, [[61801, 1]]), Decimal(1), 1)
    assert isinstance(snapshot, BookSnapshot)
    assert len(snapshot.bids) == LEVELS_MAX
    (diff, _) = changes.events(book(deep[1:], [[61801, 1]]), Decimal(1), 2)
    assert isinstance(diff, BookDiff)
    assert diff.bids == [(f"{61800 - LEVELS_MAX}.0", "1"), ("61800.0", "0")]


def test_a_price_that_is_finer_than_the_tick_is_named() -> None:
    with pytest.raises(MarketError, match=r"price 61800\.25 is no multiple of the tick_size 0\.1 of the settings"):
        BookChanges(BTC).events(book([[61800.25, 1]], [[61801, 1]]), Decimal(1), 1)


def test_floats_give_back_the_digits_of_the_exchange() -> None:
    trade = {"id": "1", "price": 0.1, "amount": 1e-05, "side": "buy"}
    assert print_of("a:B", trade, Decimal(1), 1, NOW_US) == Print("a:B", NOW_US, 1, "0.1", "0.00001", "buy")
    assert print_of("a:B", trade | {"side": None}, Decimal(1), 1, NOW_US) is None
    assert print_of("a:B", trade | {"info": {"X": "ADL"}}, Decimal(1), 1, NOW_US) is None


def test_times_are_the_exchanges_and_at_most_now() -> None:
    clock = VenueClock()
    assert clock.event_us(NOW_US / 1_000 - 5, NOW_US) == NOW_US - 5_000
    assert clock.event_us(NOW_US / 1_000 + 5, NOW_US) == NOW_US
    assert clock.event_us(None, NOW_US) == NOW_US


def test_a_clock_is_corrected_only_beyond_what_the_round_trip_explains() -> None:
    """Asked at 0, answered at 200 ms: the exchange's clock stood at what it told when ours stood at 100 ms, give or
    take 100 ms."""
    clock = VenueClock()
    clock.learn(NOW_US + 449_000, NOW_US, NOW_US + 200_000)
    assert (clock.offset_us, clock.sentence()) == (0, None)
    clock.learn(NOW_US + 2_100_000, NOW_US, NOW_US + 200_000)
    assert clock.offset_us == -2_000_000
    assert clock.event_us((NOW_US + 2_000_000) / 1_000, NOW_US + 50) == NOW_US
    assert clock.sentence() == "its clock is 2.0 s ahead of ours; event times are corrected by that"
    clock.learn(NOW_US + 100_000, NOW_US, NOW_US + 200_000)
    assert clock.offset_us == 0


def funding(**changes: Any) -> FundingState:
    state = FundingState(BTC)
    state.take_rate(FUNDING | changes, NOW_US)
    return state


def test_funding_has_the_exchanges_interval_and_mark() -> None:
    expected = FundingRate(BTC.id, NOW_US, "0.00001", 4, "61800.25", 1_800_000_100_000_000)
    assert funding().event(NOW_US, "7") == expected
    assert funding(markPrice=None).event(NOW_US, None) is None
    assert funding(fundingTimestamp=None).event(NOW_US, "7") is None
    event = funding(markPrice=None, interval=None).event(NOW_US, "7")
    assert event is not None
    assert (event.mark_price, event.interval_hours) == ("7", 8)


def test_a_mark_price_is_told_once_a_second_and_new_terms_at_once() -> None:
    state = funding()
    assert state.event(NOW_US, None) is not None
    state.take_ticker({"markPrice": 61800.5}, NOW_US)
    assert state.event(NOW_US + 999_999, None) is None
    event = state.event(NOW_US + 1_000_000, None)
    assert event is not None and event.mark_price == "61800.5"
    assert state.event(NOW_US + 9_000_000, None) is None
    state.take_ticker({"info": {"r": "0.00020000", "T": 1_800_000_200_000}}, NOW_US)
    event = state.event(NOW_US + 1_000_001, None)
    assert event is not None
    assert (event.rate, event.next_settlement_us) == ("0.0002", 1_800_000_200_000_000)


MARKET = {
    "active": True, "swap": True, "linear": True, "contract": True, "contractSize": 0.01, "base": "BTC",
    "quote": "USDT", "precision": {"price": 0.1, "amount": 0.1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, []),
        ({"precision": {"price": 0.1, "amount": 0.01}}, []),  # a finer lot: our orders are possible ones
        ({"precision": {"price": 0.01, "amount": 1.0}},
         ["tick_size is 0.1 in the settings, 0.01 at the exchange",
          "lot_step is 0.001 in the settings, 0.01 at the exchange"]),
        ({"active": False}, ["it is not traded at the moment"]),
        ({"linear": False}, ["contract_type is linear_perpetual in the settings, inverse_perpetual at the exchange"]),
        ({"swap": False, "spot": True}, ["contract_type is linear_perpetual in the settings, spot at the exchange"]),
        ({"quote": "USDC"}, ["quote_asset is USDT in the settings, USDC at the exchange"]),
    ],
)  # fmt: skip
def test_what_the_exchange_says_of_an_instrument_is_compared(changes: dict[str, Any], sentences: list[str]) -> None:
    assert differences(BTC, MARKET | changes, TICK_SIZE) == sentences


def test_decimal_places_are_a_step_and_significant_digits_are_none() -> None:
    places = MARKET | {"precision": {"price": 1, "amount": 1}}
    assert differences(BTC, places, DECIMAL_PLACES) == []
    assert differences(BTC, MARKET | {"precision": {"price": 7, "amount": 7}}, 3) == []


def test_print_ids_that_are_numbers_stay_and_others_grow_with_time() -> None:
    ids = PrintIds()
    assert ids.number("5266583935", 9) == 5_266_583_935
    assert ids.number("5266583935", 9) is None
    named = [ids.number(text, at) for text, at in [("f-uuid", 100), ("a-uuid", 100), ("f-uuid", 100), ("b-uuid", 99)]]
    assert named == [100, 101, None, 102]


def test_print_ids_are_forgotten_only_after_many() -> None:
    ids = PrintIds()
    for number in range(PRINT_IDS_KEPT):
        ids.number(str(number), 0)
    assert ids.number("0", 0) is None
    ids.number("new", 0)
    assert ids.number("0", 0) == 0
