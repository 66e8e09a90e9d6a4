"""The ccxt feed, against made-up exchanges with ccxt's methods and structures."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from trading.config import load_desk
from trading.domain.events import BookSnapshot, FeedGap, FundingRate, MarketEvent, Print, TopOfBook
from trading.market.errors import MarketError
from trading.market.live import LiveFeed
from trading.market.live_messages import book_events, funding_of, print_id_of, print_of, symbol_of

DESK = load_desk(defaults="live")
BTC = DESK.instruments[0]
NOW_US = 1_800_000_000_000_000
BOOK = {"timestamp": 1_799_999_999_000, "bids": [[61800.2, 25.0], [61800.0, 3]], "asks": [[61800.3, 1.5]]}
FUNDING = {"fundingRate": 1e-05, "fundingTimestamp": 1_800_000_100_000, "interval": "4h", "markPrice": 61800.25}


class Clock:
    def now_us(self) -> int:
        return NOW_US


class MadeUpExchange:
    """Answers every 5 ms; `fails` says of each call whether it raises."""

    def __init__(self, fails: Callable[[str, int], bool] = lambda what, call: False) -> None:
        self._fails = fails
        self.calls: Counter[str] = Counter()
        self.is_closed = False

    async def _answer(self, what: str, symbol: str) -> int:
        self.calls[what, symbol] += 1  # type: ignore[index]
        await asyncio.sleep(0.005)
        call = self.calls[what, symbol]  # type: ignore[index]
        if self._fails(what, call):
            raise ConnectionError(f"{what} {call} is cut")
        return call

    async def load_markets(self) -> Any:
        await self._answer("markets", "")

    def market(self, symbol: str) -> dict[str, Any]:
        return {"contractSize": 0.01}

    async def watch_order_book(self, symbol: str) -> dict[str, Any]:
        await self._answer("book", symbol)
        return BOOK

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
        feed = LiveFeed(DESK, tuple(exchanges), Clock(), exchanges.__getitem__, backoff_seconds=0.01, **settings)
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
    wanted = {"BookSnapshot", "TopOfBook", "Print", "FundingRate"}
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
    assert down.calls["markets", ""] == 4  # type: ignore[index]
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


def test_what_does_not_fit_is_dropped_and_reported_as_a_gap(open_live: Open) -> None:
    exchange = MadeUpExchange()
    feed = open_live({"okx": exchange}, queue_events_max=20)
    deadline = time.monotonic() + 10
    while exchange.calls["book", "BTC/USDT:USDT"] < 20:  # type: ignore[index]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    events = feed.poll(0.1)
    assert len(events) <= 40  # the queue, and what arrived while it was emptied
    events += collected(feed, lambda events: any(isinstance(event, FeedGap) for event in events))
    assert any("fell behind" in event.reason for event in events if isinstance(event, FeedGap))


def test_a_venue_that_the_settings_do_not_declare_is_refused() -> None:
    with pytest.raises(MarketError, match="feed ccxt:kraken: the settings declare no instrument of venue 'kraken'"):
        LiveFeed(DESK, ("kraken",), Clock(), lambda name: MadeUpExchange())


def test_symbols_are_ccxts() -> None:
    assert symbol_of(BTC) == "BTC/USDT:USDT"
    spot = load_desk(defaults="replay").instruments[0]
    assert symbol_of(spot) == "BTC/USDT"


def test_a_book_has_one_number_of_decimals_and_base_quantities() -> None:
    assert book_events("a:B", BOOK, Decimal("0.01"), 7, NOW_US) == [
        BookSnapshot(
            "a:B",
            1_799_999_999_000_000,
            [("61800.2", "0.250"), ("61800.0", "0.03")],
            [("61800.3", "0.015")],
            7,
        ),
        TopOfBook("a:B", 1_799_999_999_000_000, "61800.2", "0.250", "61800.3", "0.015"),
    ]
    assert book_events("a:B", BOOK | {"asks": []}, Decimal(1), 7, NOW_US) == []


def test_floats_give_back_the_digits_of_the_exchange() -> None:
    trade = {"id": "1", "price": 0.1, "amount": 1e-05, "side": "buy", "timestamp": None}
    assert print_of("a:B", trade, Decimal(1), NOW_US) == Print("a:B", NOW_US, 1, "0.1", "0.00001", "buy")
    assert print_of("a:B", trade | {"side": None}, Decimal(1), NOW_US) is None


def test_a_time_ahead_of_ours_is_now() -> None:
    trade = {"id": "1", "price": 1, "amount": 1, "side": "buy", "timestamp": NOW_US // 1_000 + 5_000}
    event = print_of("a:B", trade, Decimal(1), NOW_US)
    assert event is not None
    assert event.event_us == NOW_US


def test_funding_has_the_exchanges_interval_and_mark() -> None:
    expected = FundingRate(BTC.id, NOW_US, "0.00001", 4, "61800.25", 1_800_000_100_000_000)
    assert funding_of(BTC, FUNDING, None, NOW_US) == expected
    without_mark = FUNDING | {"markPrice": None, "interval": None}
    assert funding_of(BTC, without_mark, None, NOW_US) is None
    event = funding_of(BTC, without_mark, "7", NOW_US)
    assert event is not None
    assert (event.mark_price, event.interval_hours) == ("7", 8)


def test_print_ids_that_are_no_numbers_become_stable_numbers() -> None:
    assert print_id_of("5266583935") == 5_266_583_935
    text = "0a1b2c3d-uuid"
    assert print_id_of(text) == print_id_of(text) != print_id_of(text + "x")
    assert 0 <= print_id_of(text) < 2**63
