"""The live feed against a local server that speaks the messages of binanceusdm, bybit and okx, through real ccxt."""

import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.pro
import msgspec
import pytest

from tests.trading.market.exchange_server import ExchangeServer
from trading.config import load_desk
from trading.domain.events import BookDiff, BookSnapshot, FeedGap, FundingRate, MarketEvent, Print, TopOfBook
from trading.domain.orders import Side
from trading.market import live_venue, live_watch
from trading.market.book import Book
from trading.market.live import LiveFeed
from trading.market.live_exchange import ccxt_exchange
from trading.market.recorder import RecordingFeed
from trading.market.replay import ReplayFeed

VENUES = ("binanceusdm", "bybit", "okx")
LIVE = load_desk(defaults="live")
DESK = msgspec.structs.replace(
    LIVE, instruments=tuple(known for known in LIVE.instruments if known.symbol == "BTCUSDT"), strategies=()
)
SECONDS_MAX = 15.0
CONTRACT = {"binanceusdm": 1, "bybit": 1, "okx": 100}  # amounts of one BTC
URLS = {name: getattr(ccxt.pro, name)().urls for name in VENUES}


class Clock:
    def now_us(self) -> int:
        return time.time_ns() // 1_000


@pytest.fixture
def server() -> Iterator[ExchangeServer]:
    running = ExchangeServer()
    yield running
    running.stop()


class Desk:
    """A live feed on the server, all its events, and a book of each instrument."""

    def __init__(self, server: ExchangeServer, venues: tuple[str, ...], feed: LiveFeed | None = None) -> None:
        self.server = server
        self.feed = feed or LiveFeed(
            DESK, venues, Clock(), lambda name: ccxt_exchange(name, server.settings(name, URLS[name])), 0.1
        )
        self.events: list[MarketEvent] = []
        self.books = {venue: Book(f"{venue}:BTCUSDT") for venue in venues}

    def poll(self) -> None:
        for event in self.feed.poll(0.02):
            self.events.append(event)
            self.books[event.instrument.partition(":")[0]].apply(event)

    def until(self, ready: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while not ready():
            assert time.monotonic() < deadline, f"last events: {self.events[-5:]}, troubles: {self.feed.troubles}"
            meanwhile()
            self.poll()

    def of(self, venue: str, kind: type) -> list[Any]:
        return [each for each in self.events if type(each) is kind and each.instrument == f"{venue}:BTCUSDT"]

    def state(self, venue: str) -> str:
        return self.books[venue].state(Clock().now_us())

    def until_whole(self, *venues: str) -> None:
        self.until(lambda: all(self.state(venue) == "ok" for venue in venues))

    def best_bid_quantity(self, venue: str) -> Decimal:
        book = self.books[venue]
        return book.depth_at(Side.BUY, book.best_bid or Decimal(0))

    def set_best_bid(self, venue: str, quantity: int) -> None:
        """Says so until it is seen, because a connection may be coming up."""
        contracts = str(quantity * CONTRACT[venue])
        self.until(
            lambda: self.best_bid_quantity(venue) == quantity,
            lambda: self.server.change(venue, {"61800.20": contracts}, {}),
        )

    def move(self) -> None:
        """Some life on every venue: a level that nobody asks about changes."""
        for venue in self.books:
            self.server.change(venue, {"61799.00": f"{len(self.events) % 7 + 1}"}, {})


@pytest.fixture
def open_desk(server: ExchangeServer) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def opened(*venues: str) -> Desk:
        desks.append(Desk(server, venues or VENUES))
        return desks[-1]

    yield opened
    for desk in desks:
        desk.feed.close()


def test_books_follow_the_exchange_level_by_level(open_desk: Callable[..., Desk], server: ExchangeServer) -> None:
    desk = open_desk()
    desk.until_whole(*VENUES)
    for venue in VENUES:
        size = CONTRACT[venue]
        server.change(venue, {"61800.20": "0", "61800.10": str(size)}, {"61800.40": f"{5 * size}", "61799.90": "0"})
    desk.until(lambda: all(desk.books[venue].best_bid == Decimal("61800.1") for venue in VENUES))
    for venue in VENUES:
        book, size = desk.books[venue], CONTRACT[venue]
        bids = [(str(price), quantity * size) for price, quantity in book.levels(Side.BUY)]
        assert bids == [("61800.1", size), ("61799.0", Decimal("1.5"))]
        assert [str(price) for price, _ in book.levels(Side.SELL)] == ["61800.3", "61800.4", "61801.0"]
        kinds = [type(event) for event in desk.events if event.instrument == f"{venue}:BTCUSDT"]
        assert kinds.count(BookSnapshot) == 1
        assert kinds.index(BookSnapshot) < kinds.index(BookDiff)
        assert FeedGap not in kinds
    assert desk.feed.name == "ccxt:binanceusdm,bybit,okx"
    times = [event.event_us for event in desk.events]
    assert times == sorted(times)


def test_prints_have_price_base_quantity_and_aggressor(open_desk: Callable[..., Desk], server: ExchangeServer) -> None:
    """The aggressor is the taker: binance says so by the maker's side, bybit and okx by name. okx counts contracts."""
    desk = open_desk()
    desk.until_whole(*VENUES)

    def printed() -> None:
        for venue in VENUES:
            server.trade(venue, "61800.30", "2", "buy")
            server.trade(venue, "61800.20", "0.5", "sell")

    desk.until(lambda: all(len(desk.of(venue, Print)) >= 40 for venue in VENUES), printed)
    for venue in VENUES:
        prints = desk.of(venue, Print)
        assert {(each.price, each.quantity, each.aggressor) for each in prints} == {
            ("61800.3", "0.02" if venue == "okx" else "2", "buy"),
            ("61800.2", "0.005" if venue == "okx" else "0.5", "sell"),
        }
        ids = [each.print_id for each in prints]
        assert ids == sorted(set(ids)), "the engine takes a smaller id for an older print"
        assert abs(prints[-1].event_us - Clock().now_us()) < 1_000_000


def test_prints_that_are_no_ordinary_ones_do_not_count(open_desk: Callable[..., Desk], server: ExchangeServer) -> None:
    desk = open_desk("binanceusdm")
    desk.until_whole("binanceusdm")

    def printed() -> None:
        server.trade("binanceusdm", "1", "9", "buy", X="INSURANCE_FUND")
        server.trade("binanceusdm", "61800.30", "1", "buy")

    desk.until(lambda: desk.of("binanceusdm", Print), printed)
    assert {each.price for each in desk.of("binanceusdm", Print)} == {"61800.3"}


def test_mark_prices_and_funding_come_from_streams(open_desk: Callable[..., Desk], server: ExchangeServer) -> None:
    desk = open_desk()

    def ready(venue: str) -> bool:
        told = desk.of(venue, FundingRate)
        return bool(told) and (told[-1].rate, told[-1].mark_price) == ("-0.00025", "61801.75")

    def marked() -> None:
        for venue in VENUES:
            server.mark(venue, "61801.75", "-0.00025")

    desk.until(lambda: all(ready(venue) for venue in VENUES), marked)
    for venue in VENUES:
        last = desk.of(venue, FundingRate)[-1]
        assert last.next_settlement_us == server.speaker(venue).settlement_ms() * 1_000
        assert last.interval_hours == (4 if venue == "binanceusdm" else 8)
        asked = server.venues[venue].requests
        assert not any(path.endswith(("funding-rate", "premiumIndex")) for path in asked)
    assert desk.feed.troubles == {
        "binanceusdm:BTCUSDT: interval": "binanceusdm:BTCUSDT: funding_interval_hours is 8, the exchange settles "
        "every 4 h, which is what counts"
    }


def test_funding_is_asked_for_where_no_stream_tells_it(open_desk: Callable[..., Desk], server: ExchangeServer) -> None:
    """binance's mark price stream stays silent here, so the terms can only come by REST."""
    desk = open_desk("binanceusdm")
    desk.until(lambda: desk.of("binanceusdm", FundingRate), desk.move)
    (told,) = desk.of("binanceusdm", FundingRate)
    assert (told.rate, told.mark_price, told.interval_hours) == ("0.0001", "61800.25", 4)
    assert "/binanceusdm/fapi/v1/premiumIndex" in server.venues["binanceusdm"].requests


def gap_then_whole(desk: Desk, venue: str, breakage: Callable[[], None]) -> list[str]:
    """Breaks something; waits for the gap, and until the book is whole again. The reasons of the gaps."""
    breakage()
    desk.until(lambda: desk.of(venue, FeedGap), desk.move)
    desk.until(lambda: desk.state(venue) == "ok", desk.move)
    desk.server.change(venue, {"61800.20": str(7 * CONTRACT[venue])}, {})
    desk.until(lambda: desk.best_bid_quantity(venue) == 7)
    kinds = [type(event) for event in desk.events if event.instrument == f"{venue}:BTCUSDT"]
    after = kinds[kinds.index(FeedGap) :]
    assert after.index(BookSnapshot) < after.index(TopOfBook), "after a gap the book comes whole"
    return [gap.reason for gap in desk.of(venue, FeedGap)]


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("how", ["reset", "closed"])
def test_a_cut_connection_is_a_gap_and_comes_back_by_itself(
    how: str, venue: str, open_desk: Callable[..., Desk], server: ExchangeServer
) -> None:
    desk = open_desk()
    desk.until_whole(*VENUES)
    opened = server.venues[venue].opened
    gap_then_whole(desk, venue, lambda: (server.cut if how == "reset" else server.close_streams)(venue))
    assert server.venues[venue].opened > opened
    assert all(not desk.of(other, FeedGap) for other in VENUES if other != venue), "the others never noticed"


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    "text", ['{"broken', "[]", '{"e":"depthUpdate","s":7,"topic":"orderbook.50.BTCUSDT","arg":{"channel":"books"}}']
)
def test_garbage_never_ends_the_feed(
    text: str, venue: str, open_desk: Callable[..., Desk], server: ExchangeServer
) -> None:
    """What ccxt cannot read would end its receive loop for good; here the book goes on, after a gap if need be."""
    desk = open_desk(venue)
    desk.until_whole(venue)
    server.garbage(venue, text)
    for quantity in (3, 4):
        desk.set_best_bid(venue, quantity)


@pytest.mark.parametrize("venue", VENUES)
def test_a_gap_in_the_books_numbers_is_a_gap(
    venue: str, open_desk: Callable[..., Desk], server: ExchangeServer
) -> None:
    desk = open_desk(venue)
    desk.until_whole(venue)
    server.change(venue, {"61799.00": "2"}, {})
    desk.until(lambda: desk.of(venue, BookDiff))
    reasons = gap_then_whole(desk, venue, server.speaker(venue).skip)
    words = {"binanceusdm": "ChecksumError", "bybit": "goes from 1001 to 1012", "okx": "InvalidNonce"}
    assert words[venue] in reasons[0]


def test_silence_makes_the_book_stale_and_then_reconnects(
    open_desk: Callable[..., Desk], server: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_watch, "BOOK_SILENCE_SECONDS_MAX", 1.0)
    desk = open_desk("okx", "bybit")
    desk.books["okx"] = Book("okx:BTCUSDT", age_us_max=300_000)
    desk.until_whole("okx", "bybit")
    server.venues["okx"].is_mute = True
    states: list[str] = []

    def watched() -> None:
        desk.move()
        states.append(desk.state("okx"))

    desk.until(lambda: desk.of("okx", FeedGap), watched)
    assert "stale" in states
    assert desk.state("okx") == "gapped"
    assert desk.of("okx", FeedGap)[0].reason == "okx:BTCUSDT: the connection broke: nothing came for 1 s"
    server.venues["okx"].is_mute = False
    desk.until(lambda: desk.state("okx") == "ok", desk.move)
    assert not desk.of("bybit", FeedGap)


def test_an_exchange_that_is_down_at_the_start_stops_no_other_and_joins_later(
    open_desk: Callable[..., Desk], server: ExchangeServer
) -> None:
    server.venues["bybit"].is_down = True
    desk = open_desk()
    desk.until_whole("binanceusdm", "okx")
    desk.until(lambda: "bybit: markets" in desk.feed.troubles)
    assert "maintenance" in desk.feed.troubles["bybit: markets"]
    assert desk.state("bybit") == "gapped"
    server.venues["bybit"].is_down = False
    desk.until(lambda: desk.state("bybit") == "ok", desk.move)
    assert "bybit: markets" not in desk.feed.troubles
    assert not desk.of("okx", FeedGap)


@pytest.mark.parametrize(
    ("venue", "field", "value", "sentence"),
    [
        ("binanceusdm", "tick_size", "0.50", "tick_size is 0.1 in the settings, 0.5 at the exchange"),
        ("bybit", "lot_step", "0.01", "lot_step is 0.001 in the settings, 0.01 at the exchange"),
        ("okx", "lot_step", "1", "lot_step is 0.001 in the settings, 0.01 at the exchange"),
    ],
)
def test_settings_that_differ_from_the_exchange_are_named_and_not_watched(
    venue: str, field: str, value: str, sentence: str, open_desk: Callable[..., Desk], server: ExchangeServer
) -> None:
    setattr(server.speaker(venue), field, value)
    desk = open_desk()
    others = [other for other in VENUES if other != venue]
    desk.until_whole(*others)
    assert desk.feed.troubles[f"{venue}:BTCUSDT"] == f"{venue}:BTCUSDT is not watched: {sentence}"
    assert desk.of(venue, FeedGap)[0].reason == f"{venue}:BTCUSDT: {venue}:BTCUSDT is not watched: {sentence}"
    assert server.venues[venue].opened == 0


@pytest.mark.parametrize("ahead_ms", [-600_000, 600_000])
def test_a_clock_that_is_ten_minutes_off_makes_no_book_stale(
    ahead_ms: int, open_desk: Callable[..., Desk], server: ExchangeServer
) -> None:
    server.speaker("okx").ahead_ms = ahead_ms
    desk = open_desk("okx")
    desk.until(lambda: "okx: clock" in desk.feed.troubles and desk.state("okx") == "ok", desk.move)
    direction = "ahead of" if ahead_ms > 0 else "behind"
    sentence = rf"okx: its clock is (599\.9|600\.[01]) s {direction} ours; event times are corrected by that"
    assert re.fullmatch(sentence, desk.feed.troubles["okx: clock"])
    desk.until(lambda: 0 <= Clock().now_us() - desk.books["okx"].event_us < 1_000_000, desk.move)


def test_a_live_feed_and_its_recording_are_the_same(server: ExchangeServer, tmp_path: Path) -> None:
    def opened(name: str) -> Any:
        return ccxt_exchange(name, server.settings(name, URLS[name]))

    feed = RecordingFeed(LiveFeed(DESK, VENUES, Clock(), opened, 0.1), tmp_path / "live.gz", DESK, Clock())
    desk = Desk(server, VENUES, feed)  # type: ignore[arg-type]
    desk.until_whole(*VENUES)
    server.cut("bybit")
    desk.until(lambda: desk.of("bybit", FeedGap), desk.move)
    desk.until_whole(*VENUES)
    feed.close()
    assert list(ReplayFeed([tmp_path / "live.gz"])) == desk.events


def test_pauses_double_to_a_bound_and_begin_anew_after_a_healthy_time() -> None:
    backoff = live_venue.Backoff(1.0)
    pauses = [backoff.next_seconds(now) for now in range(10)]
    for pause, whole in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert whole / 2 <= pause <= whole
    assert backoff.next_seconds(1_000.0) <= 1.0
