"""One exchange of a live feed: its markets are loaded and checked, then each stream of each instrument runs by itself.

Whatever fails is tried again after a pause that doubles up to BACKOFF_SECONDS_MAX, with jitter, so that many streams
do not come back at the same instant; a stream that went well for HEALTHY_SECONDS begins with a short pause again. After
a break each instrument gets one FeedGap, then a whole book. An instrument whose settings differ from what the exchange
says is not watched, and `troubles` says why: fills on a wrong tick size would be worth nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence

from trading.domain.errors import TradingError
from trading.domain.events import MarketEvent
from trading.domain.instruments import Instrument
from trading.market.live_clock import VenueClock
from trading.market.live_exchange import Exchange, narrow
from trading.market.live_metadata import differences
from trading.market.live_watch import InstrumentWatch, Step
from trading.market.paced import Clock

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = 1.0
BACKOFF_SECONDS_MAX = 60.0
HEALTHY_SECONDS = 60.0
CLOCK_SECONDS = 300.0
CLOCK_ASKED_TIMES = 3  # the quickest answer counts, because ccxt's rate limit may hold a request up
FAILURES_MAX = 30  # enough doublings for any pause
REASON_CHARACTERS_MAX = 300  # ccxt's errors quote whole answers


class Backoff:
    """How long to wait after a failure, in seconds."""

    def __init__(self, first_seconds: float) -> None:
        self._first = first_seconds
        self._failures = 0
        self._failed_at = float("-inf")

    def next_seconds(self, now_seconds: float) -> float:
        """The pause after a failure at `now_seconds` of a clock that never steps."""
        if now_seconds - self._failed_at >= HEALTHY_SECONDS + BACKOFF_SECONDS_MAX:
            self._failures = 0
        self._failed_at = now_seconds
        pause = min(self._first * 2**self._failures, BACKOFF_SECONDS_MAX)
        self._failures = min(self._failures + 1, FAILURES_MAX)
        return pause * random.uniform(0.5, 1.0)


class VenueFeed:
    """Watches `instruments` of one exchange for ever; `troubles` says what is wrong now, by venue and instrument."""

    def __init__(
        self,
        name: str,
        exchange: Exchange,
        instruments: Sequence[Instrument],
        put: Callable[[MarketEvent], bool],
        clock: Clock,
        backoff_seconds: float = BACKOFF_SECONDS,
    ) -> None:
        self.name = name
        self.exchange = exchange
        self.troubles: dict[str, str] = {}
        self._clock = clock
        self._backoff_seconds = backoff_seconds
        self._venue_clock = VenueClock()
        self._watches = [InstrumentWatch(each, exchange, put, clock, self._venue_clock) for each in instruments]
        narrow(name, exchange, instruments)
        exchange.on_break = self._broken

    async def run(self) -> None:
        """Loads, checks and watches until it is cancelled."""
        await self._until_done(self.name, "markets", self._load, self._watches)
        await self._for_ever(self.name, "watching", self._watch_all, self._watches)

    async def _load(self) -> None:
        await self.exchange.load_markets()

    async def _watch_all(self) -> None:
        watched = [watch for watch in self._watches if self._is_as_declared(watch)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._for_ever(self.name, "clock", self._ask_time, []))
            for watch in watched:
                for what, step, is_gap in watch.steps():
                    tasks.create_task(self._for_ever(watch.instrument.id, what, step, [watch] if is_gap else []))

    def _is_as_declared(self, watch: InstrumentWatch) -> bool:
        """Whether the exchange says the same of the instrument as the settings do."""
        name = watch.instrument.id
        try:
            market = self.exchange.market(watch.symbol)
        except Exception as error:  # noqa: BLE001 - ccxt's errors have no root that can be named without loading it
            found = [f"the exchange has no market {watch.symbol} ({_reason(error)})"]
        else:
            found = differences(watch.instrument, market, self.exchange.precisionMode)
        if not found:
            return True
        self.troubles[name] = f"{name} is not watched: {'; '.join(found)}"
        logger.error("%s", self.troubles[name])
        watch.report_gap(self.troubles[name])
        return False

    async def _ask_time(self) -> None:
        if not self.exchange.has.get("fetchTime"):
            await asyncio.sleep(CLOCK_SECONDS)
            return
        answers = [await self._time() for _ in range(CLOCK_ASKED_TIMES)]
        self._venue_clock.learn(*min(answers, key=lambda answer: answer[2] - answer[1]))
        await asyncio.sleep(CLOCK_SECONDS)

    async def _time(self) -> tuple[int, int, int]:
        """The exchange's time, and ours before and after it was asked, in microseconds."""
        asked_us = self._clock.now_us()
        told_us = int(await self.exchange.fetch_time()) * 1_000
        return told_us, asked_us, self._clock.now_us()

    async def _for_ever(self, name: str, what: str, step: Step, gaps: Sequence[InstrumentWatch]) -> None:
        backoff = Backoff(self._backoff_seconds)
        while True:
            await self._until_done(name, what, step, gaps, backoff)

    async def _until_done(
        self, name: str, what: str, step: Step, gaps: Sequence[InstrumentWatch], backoff: Backoff | None = None
    ) -> None:
        """One step, tried again until it succeeds. What is wrong meanwhile stands in `troubles`."""
        backoff = backoff or Backoff(self._backoff_seconds)
        key = f"{name}: {what}"
        while True:
            try:
                await step()
            except Exception as error:  # noqa: BLE001 - whatever one stream raises, the others go on
                reason = f"{what}: {_reason(error)}"
            else:
                self.troubles.pop(key, None)
                return
            pause_seconds = backoff.next_seconds(time.monotonic())
            level = logging.INFO if key in self.troubles else logging.WARNING
            logger.log(level, "%s: %s; tried again in %.1f s", name, reason, pause_seconds)
            self.troubles[key] = f"{name}: {reason}"
            for watch in gaps:
                watch.report_gap(reason)
            await asyncio.sleep(pause_seconds)

    def _broken(self, reason: str) -> None:
        """A connection broke; which streams it carried is not known, so all instruments have a gap."""
        logger.warning("%s: %s", self.name, reason)
        for watch in self._watches:
            watch.report_gap(f"the connection broke: {reason[:REASON_CHARACTERS_MAX]}")

    def all_troubles(self) -> dict[str, str]:
        """What is wrong now, with what is merely odd: the clock, funding intervals."""
        odd = {}
        if (clock := self._venue_clock.sentence()) is not None:
            odd[f"{self.name}: clock"] = f"{self.name}: {clock}"
        for watch in self._watches:
            if (funding := watch.funding.sentence()) is not None:
                odd[f"{watch.instrument.id}: interval"] = f"{watch.instrument.id}: {funding}"
        return {**dict(self.troubles), **odd}


def _reason(error: Exception) -> str:
    words = str(error) if isinstance(error, TradingError) else f"{type(error).__name__}: {error}"
    return words[:REASON_CHARACTERS_MAX]
