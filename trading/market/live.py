"""Live markets through ccxt.pro: books, prints and funding of the desk's instruments on the named exchanges.

One thread runs an event loop; each instrument has a task of its own for its book, its prints and its funding, so
that nothing that fails stops anything else. What fails is tried again after 1, 2, 4 ... 60 s, and a FeedGap says
that something may be missing. Events go through a bounded queue to `poll`; what does not fit is dropped, and a
FeedGap says so. Order is that of arrival, and event time never goes back.

Tested here with a made-up exchange that has ccxt's methods and structures: conversion, back-off, one exchange down
beside another, overflow, close. Never run against a real exchange from here: there was no network.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import queue
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from trading.domain.events import FeedGap, MarketEvent, TopOfBook
from trading.domain.instruments import Instrument
from trading.domain.strategy import Desk
from trading.market.errors import MarketError
from trading.market.live_messages import book_events, exact, funding_of, print_of, symbol_of
from trading.market.paced import Clock

logger = logging.getLogger(__name__)

QUEUE_EVENTS_MAX = 50_000  # some tens of seconds of 15 busy instruments
EVENTS_PER_POLL_MAX = 5_000
BACKOFF_SECONDS_MAX = 60.0
BOOK_SILENCE_SECONDS_MAX = 30.0  # a liquid book that says nothing for this long has lost its connection
FUNDING_POLL_SECONDS = 30.0
CLOSE_SECONDS_MAX = 10.0
PRINT_IDS_KEPT = 1_000  # venues repeat prints after a reconnect


class Exchange(Protocol):
    """The part of ccxt.pro's exchange that is used."""

    async def load_markets(self) -> Any: ...
    def market(self, symbol: str) -> dict[str, Any]: ...
    async def watch_order_book(self, symbol: str) -> dict[str, Any]: ...
    async def watch_trades(self, symbol: str) -> list[dict[str, Any]]: ...
    async def fetch_funding_rate(self, symbol: str) -> dict[str, Any]: ...
    async def close(self) -> Any: ...


def ccxt_exchange(name: str) -> Exchange:
    """ccxt.pro's exchange of that id. Raises MarketError for an id that ccxt does not have."""
    pro = importlib.import_module("ccxt.pro")
    if name not in pro.exchanges:
        raise MarketError(f"feed ccxt:{name}: ccxt has no streaming exchange {name!r}")
    exchange: Exchange = getattr(pro, name)({"enableRateLimit": True, "newUpdates": True})
    return exchange


class LiveFeed:
    """Events of `venues` (ccxt ids, which are the desk's venue names), watched from the start on."""

    def __init__(
        self,
        desk: Desk,
        venues: tuple[str, ...],
        clock: Clock,
        new_exchange: Callable[[str], Exchange] = ccxt_exchange,
        backoff_seconds: float = 1.0,
        queue_events_max: int = QUEUE_EVENTS_MAX,
    ) -> None:
        self.name = "ccxt:" + ",".join(venues)
        self.troubles: dict[str, str] = {}
        self._clock = clock
        self._backoff_seconds = backoff_seconds
        self._queue: queue.Queue[MarketEvent] = queue.Queue(queue_events_max)
        self._overflowed: set[str] = set()
        self._last_us = 0
        self._exchanges: dict[str, Exchange] = {}
        self._instruments: dict[str, list[Instrument]] = {}
        for venue in venues:
            self._instruments[venue] = [known for known in desk.instruments if known.venue == venue]
            if not self._instruments[venue]:
                raise MarketError(f"feed {self.name}: the settings declare no instrument of venue {venue!r}")
            self._exchanges[venue] = new_exchange(venue)
        self._loop = asyncio.new_event_loop()
        self._watching = self._loop.create_task(self._watch())
        self._thread = threading.Thread(target=self._run, name="live-feed", daemon=True)
        self._thread.start()

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        """What has arrived, at most EVENTS_PER_POLL_MAX; waits up to the timeout for the first event."""
        events: list[MarketEvent] = []
        try:
            events.append(self._in_order(self._queue.get(timeout=timeout_seconds)))
            while len(events) < EVENTS_PER_POLL_MAX:
                events.append(self._in_order(self._queue.get_nowait()))
        except queue.Empty:
            return events
        return events

    def close(self) -> None:
        """Ends all watching and closes the connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._watching.cancel)
            self._thread.join(CLOSE_SECONDS_MAX)

    def _in_order(self, event: MarketEvent) -> MarketEvent:
        if event.event_us < self._last_us:
            return msgspec.structs.replace(event, event_us=self._last_us)
        self._last_us = event.event_us
        return event

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._watching)
        except asyncio.CancelledError:
            logger.info("feed %s is closed", self.name)
        finally:
            self._loop.close()

    async def _watch(self) -> None:
        try:
            await asyncio.gather(*(self._watch_venue(venue) for venue in self._exchanges))
        finally:
            closing = (exchange.close() for exchange in self._exchanges.values())
            await asyncio.gather(*closing, return_exceptions=True)

    async def _watch_venue(self, venue: str) -> None:
        exchange, instruments = self._exchanges[venue], self._instruments[venue]
        watches = [_Watch(instrument, exchange, self._put, self._clock) for instrument in instruments]
        await self._until_done(f"{venue}: markets", exchange.load_markets, watches)
        steps: list[Awaitable[None]] = []
        for watch in watches:
            what = watch.instrument.id
            steps.append(self._for_ever(f"{what}: book", watch.next_book, [watch]))
            steps.append(self._for_ever(f"{what}: prints", watch.next_prints, [watch]))
            if watch.instrument.contract_type != "spot":
                steps.append(self._for_ever(f"{what}: funding", watch.next_funding, []))
        await asyncio.gather(*steps)

    async def _for_ever(self, what: str, step: Callable[[], Awaitable[Any]], watches: list[_Watch]) -> None:
        while True:
            await self._until_done(what, step, watches)

    async def _until_done(self, what: str, step: Callable[[], Awaitable[Any]], watches: list[_Watch]) -> None:
        """One step, tried again with growing pauses; a FeedGap for what is watched at the first failure."""
        failures = 0
        while True:
            try:
                await step()
                return
            except Exception as error:
                pause_seconds = min(self._backoff_seconds * 2**failures, BACKOFF_SECONDS_MAX)
                logger.warning("%s: tried again in %.1f s", what, pause_seconds, exc_info=failures == 0)
                for watch in watches if failures == 0 else []:
                    watch.report_gap(f"{what}: {type(error).__name__}: {error}")
                failures += 1
                await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))

    def _put(self, event: MarketEvent) -> None:
        instrument = event.instrument
        try:
            if instrument in self._overflowed:
                self._queue.put_nowait(FeedGap(instrument, event.event_us, "the desk fell behind, events were dropped"))
                self._overflowed.discard(instrument)
            self._queue.put_nowait(event)
        except queue.Full:
            self._overflowed.add(instrument)


class _Watch:
    """What is watched of one instrument; each step waits for the next message and puts its events."""

    def __init__(
        self, instrument: Instrument, exchange: Exchange, put: Callable[[MarketEvent], None], clock: Clock
    ) -> None:
        self.instrument = instrument
        self._symbol = symbol_of(instrument)
        self._exchange = exchange
        self._put = put
        self._clock = clock
        self._books = 0
        self._top: TopOfBook | None = None
        self._print_ids: deque[int] = deque(maxlen=PRINT_IDS_KEPT)

    def report_gap(self, reason: str) -> None:
        self._put(FeedGap(self.instrument.id, self._clock.now_us(), reason))

    async def next_book(self) -> None:
        async with asyncio.timeout(BOOK_SILENCE_SECONDS_MAX):
            order_book = await self._exchange.watch_order_book(self._symbol)
        self._books += 1
        for event in book_events(
            self.instrument.id, order_book, self._contract_size(), self._books, self._clock.now_us()
        ):
            if isinstance(event, TopOfBook):
                self._top = event
            self._put(event)

    async def next_prints(self) -> None:
        for trade in await self._exchange.watch_trades(self._symbol):
            event = print_of(self.instrument.id, trade, self._contract_size(), self._clock.now_us())
            if event is not None and event.print_id not in self._print_ids:
                self._print_ids.append(event.print_id)
                self._put(event)

    async def next_funding(self) -> None:
        rate = await self._exchange.fetch_funding_rate(self._symbol)
        mark_price = self._top.bid if self._top else None
        event = funding_of(self.instrument, rate, mark_price, self._clock.now_us())
        if event is not None:
            self._put(event)
        await asyncio.sleep(FUNDING_POLL_SECONDS if event is not None else 1.0)

    def _contract_size(self) -> Decimal:
        return exact(self._exchange.market(self._symbol).get("contractSize") or 1)
