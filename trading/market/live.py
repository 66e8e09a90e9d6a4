"""Live markets through ccxt.pro: books, prints, mark prices and funding of the desk's instruments on some exchanges.

One thread runs an event loop with one VenueFeed per exchange, each in tasks of its own: nothing that fails on one
exchange reaches another. Events go through a bounded queue to `poll`; what does not fit is dropped, and a FeedGap says
so. Order is that of arrival; event times are the exchanges', but never go back: an event that is older than one that
was given out before, of whichever venue, is moved up to that one's time.

Tested against a local server that speaks the exchanges' messages, and against made-up exchanges with ccxt's methods.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable

import msgspec

from trading.domain.events import FeedGap, MarketEvent
from trading.domain.instruments import Instrument
from trading.domain.strategy import Desk
from trading.market.errors import MarketError
from trading.market.live_exchange import Exchange, ccxt_exchange
from trading.market.live_venue import BACKOFF_SECONDS, VenueFeed
from trading.market.paced import Clock

logger = logging.getLogger(__name__)

QUEUE_EVENTS_MAX = 50_000  # some tens of seconds of 15 busy instruments
EVENTS_PER_POLL_MAX = 5_000
CLOSE_SECONDS_MAX = 10.0


class LiveFeed:
    """Events of `venues` (ccxt ids, which are the desk's venue names), watched from the start on.

    Raises MarketError for a venue without instruments in the settings, and for one that ccxt does not have.
    """

    def __init__(
        self,
        desk: Desk,
        venues: tuple[str, ...],
        clock: Clock,
        new_exchange: Callable[[str], Exchange] = ccxt_exchange,
        backoff_seconds: float = BACKOFF_SECONDS,
        queue_events_max: int = QUEUE_EVENTS_MAX,
    ) -> None:
        self.name = "ccxt:" + ",".join(venues)
        self._queue: queue.Queue[MarketEvent] = queue.Queue(queue_events_max)
        self._overflowed: set[str] = set()
        self._last_us = 0
        self._closing = False
        instruments = {venue: self._instruments_of(desk, venue) for venue in venues}
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_say)
        self._venues = [
            VenueFeed(venue, new_exchange(venue), instruments[venue], self._put, clock, backoff_seconds)
            for venue in venues
        ]
        self._watching = self._loop.create_task(self._watch())
        self._thread = threading.Thread(target=self._run, name="live-feed", daemon=True)
        self._thread.start()

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong now, in sentences by venue or instrument and what of it."""
        return {key: words for venue in self._venues for key, words in venue.all_troubles().items()}

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        """What has arrived, at most EVENTS_PER_POLL_MAX; waits up to the timeout for the first event.

        Raises MarketError if the watching has ended by a fault of ours: the engine must not trade on silence.
        """
        events: list[MarketEvent] = []
        try:
            events.append(self._in_order(self._queue.get(timeout=timeout_seconds)))
            while len(events) < EVENTS_PER_POLL_MAX:
                events.append(self._in_order(self._queue.get_nowait()))
        except queue.Empty:
            if not events and not self._closing and not self._thread.is_alive():
                raise MarketError(f"feed {self.name}: it has ended, the log says why") from None
        return events

    def close(self) -> None:
        """Ends all watching and closes the connections."""
        self._closing = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._watching.cancel)
            self._thread.join(CLOSE_SECONDS_MAX)

    def _instruments_of(self, desk: Desk, venue: str) -> list[Instrument]:
        found = [known for known in desk.instruments if known.venue == venue]
        if not found:
            raise MarketError(f"feed {self.name}: the settings declare no instrument of venue {venue!r}")
        return found

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
        except Exception:
            logger.exception("feed %s has ended", self.name)
        finally:
            self._loop.run_until_complete(_end_tasks())
            self._loop.close()

    async def _watch(self) -> None:
        try:
            await asyncio.gather(*(venue.run() for venue in self._venues))
        finally:
            await asyncio.gather(*(venue.exchange.close() for venue in self._venues), return_exceptions=True)

    def _put(self, event: MarketEvent) -> bool:
        """Whether there was room for it; the next one of its instrument that finds room is preceded by a FeedGap."""
        instrument = event.instrument
        try:
            if instrument in self._overflowed:
                self._queue.put_nowait(FeedGap(instrument, event.event_us, "the desk fell behind, events were dropped"))
                self._overflowed.discard(instrument)
            self._queue.put_nowait(event)
        except queue.Full:
            self._overflowed.add(instrument)
            return False
        return True


async def _end_tasks() -> None:
    """Ends what ccxt left running: pings, connections that were coming up."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _say(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What goes wrong in a callback of ccxt: said, and left to the watching of silence."""
    logger.warning("live feed: %s: %r", context.get("message"), context.get("exception"))
