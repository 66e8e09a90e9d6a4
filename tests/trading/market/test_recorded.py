"""The recorded exchange traffic itself: nothing is lost, books join and agree with the top of book."""

import gzip
from collections import Counter
from decimal import Decimal
from pathlib import Path

import orjson

from trading.domain.events import BookDiff, BookSnapshot, MarketEvent, TopOfBook
from trading.domain.orders import Side
from trading.market.book import Book
from trading.market.replay import ReplayFeed

KINDS = {"depthUpdate": "BookDiff", "bookTicker": "TopOfBook", "trade": "Print"}
VENUES = ("binanceusdm", "binance")


def counted_without_us(files: list[Path]) -> Counter[tuple[str, str]]:
    """(instrument, kind) by the fields of each line, parsed in the plainest way."""
    counts: Counter[tuple[str, str]] = Counter()
    for venue, file in zip(VENUES, files, strict=True):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            message = orjson.loads(line.split(b" ", 1)[1])
            data = message.get("data", message)
            kind = "BookSnapshot" if "lastUpdateId" in data else KINDS[data.get("e", "bookTicker")]
            counts[f"{venue}:BTCUSDT", kind] += 1
    return counts


def test_every_message_becomes_one_event_in_order(recorded: list[Path]) -> None:
    feed = ReplayFeed(recorded)
    counts: Counter[tuple[str, str]] = Counter()
    before_us = 0
    for event in feed:
        assert event.event_us >= before_us
        before_us = event.event_us
        counts[event.instrument, type(event).__name__] += 1
    assert counts == counted_without_us(recorded)
    assert feed.messages == counts.total() == 135_203
    assert (feed.late, feed.unknown, feed.prints_ignored) == (0, Counter(), 0)
    assert feed.bytes_read == feed.bytes_total == sum(file.stat().st_size for file in recorded)


def best_of_depth(depth: Book) -> tuple[Decimal, Decimal] | None:
    bid, ask = next(depth.levels(Side.BUY), None), next(depth.levels(Side.SELL), None)
    return (bid[0], ask[0]) if bid and ask else None


def test_depth_never_crosses_and_agrees_with_the_top_of_book(recorded: list[Path]) -> None:
    """Two books per instrument, one of depth alone and one of tops alone, compared after every 10th diff.

    They are streams of their own that lag each other by milliseconds: 99.8% agree on both prices.
    """
    depths: dict[str, Book] = {}
    tops: dict[str, Book] = {}
    compared = agreed = 0
    for event in ReplayFeed(recorded):
        depth = depths.setdefault(event.instrument, Book(event.instrument))
        top = tops.setdefault(event.instrument, Book(event.instrument))
        if isinstance(event, TopOfBook):
            top.apply(event)
        elif isinstance(event, BookSnapshot | BookDiff):
            depth.apply(event)
            if isinstance(event, BookDiff) and event.first_id % 10 == 0 and (best := best_of_depth(depth)):
                assert depth.state(event.event_us) == "ok"
                compared += 1
                agreed += best == (top.best_bid, top.best_ask)
    assert compared > 800
    assert agreed / compared > 0.99


def test_books_are_ok_from_the_snapshot_on(recorded: list[Path]) -> None:
    books: dict[str, Book] = {}
    states: Counter[str] = Counter()
    seen: set[str] = set()
    events: list[MarketEvent] = []
    for event in ReplayFeed(recorded):
        book = books.setdefault(event.instrument, Book(event.instrument))
        book.apply(event)
        if isinstance(event, BookSnapshot):
            seen.add(event.instrument)
            events.append(event)
        if event.instrument in seen:
            states[book.state(event.event_us)] += 1
    assert len(events) == 2
    assert set(states) == {"ok"}
    assert sorted(len(list(book.levels(Side.BUY))) for book in books.values()) == [1209, 5018]
