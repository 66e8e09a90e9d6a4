"""What is watched of one instrument on one exchange: its book, prints, mark price and funding.

Each step waits for one message and puts its events. A step raises what ccxt raises, and Silence when nothing came for
too long; whoever runs the steps decides what then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

from trading.domain.events import FeedGap, MarketEvent, TopOfBook
from trading.domain.instruments import Instrument
from trading.market.errors import MarketError
from trading.market.live_book import BookChanges
from trading.market.live_clock import VenueClock
from trading.market.live_exchange import Exchange
from trading.market.live_funding import FundingState
from trading.market.live_messages import print_of, symbol_of
from trading.market.live_metadata import contract_size_of
from trading.market.live_settled import HISTORY_MAX, SettledState, lacks_marks
from trading.market.paced import Clock
from trading.market.print_ids import PrintIds

BOOK_SILENCE_SECONDS_MAX = 30.0  # a liquid book that says nothing for this long has lost its connection
MARK_SILENCE_SECONDS_MAX = 60.0  # venues send mark prices at least every few seconds
RATE_SILENCE_SECONDS_MAX = 300.0  # funding rates come about every minute
TERMS_AGE_US_MAX = 90_000_000  # older terms are asked for, where no stream brings them
POLL_SECONDS = 30.0
FIRST_POLL_SECONDS = 2.0  # streams get the chance to make polling needless

BOOK_WORDS, MARK_WORDS, RATE_WORDS = ("book", "depth"), ("mark", "ticker"), ("funding",)

Step = Callable[[], Awaitable[None]]
Answer = TypeVar("Answer")


class Silence(MarketError):
    """A stream said nothing for longer than it ever should."""

    retryable = True


class InstrumentWatch:
    """One instrument. `put` takes its events, and tells whether there was room for them."""

    def __init__(
        self,
        instrument: Instrument,
        exchange: Exchange,
        put: Callable[[MarketEvent], bool],
        clock: Clock,
        venue_clock: VenueClock,
    ) -> None:
        self.instrument = instrument
        self.symbol = symbol_of(instrument)
        self.funding = FundingState(instrument, waits_for_hours=bool(exchange.has.get("fetchFundingIntervals")))
        self.settled = SettledState(instrument)
        self._exchange = exchange
        self._room_for = put
        self._clock = clock
        self._venue_clock = venue_clock
        self._book = BookChanges(instrument)
        self._print_ids = PrintIds()
        self._top_bid: str | None = None
        self._gap_is_told = False

    def steps(self) -> Iterator[tuple[str, Step, bool]]:
        """(what, step, whether its failure is a gap) of all that this exchange gives for this instrument."""
        has = self._exchange.has
        yield "book", self.next_book, True
        yield "prints", self.next_prints, True
        if self.instrument.contract_type == "spot":
            return
        if has.get("watchMarkPrice"):
            yield "mark price", self.next_mark, False
        elif has.get("watchTicker"):
            yield "ticker", self.next_ticker, False
        if has.get("watchFundingRate"):
            yield "funding", self.next_rate, False
        yield "funding, asked for", self.poll_rate, False
        if has.get("fetchFundingRateHistory"):
            yield "settled funding", self.poll_settled, False

    def report_gap(self, reason: str) -> None:
        """Says that something may be missing, once until the book is whole again."""
        self._book.forget()
        if not self._gap_is_told:
            self._gap_is_told = True
            self._put(FeedGap(self.instrument.id, self._clock.now_us(), f"{self.instrument.id}: {reason}"))

    async def next_book(self) -> None:
        """One change of the book."""
        order_book = await self._within(
            BOOK_SILENCE_SECONDS_MAX, BOOK_WORDS, self._exchange.watch_order_book(self.symbol)
        )
        event_us = self._venue_clock.event_us(order_book.get("timestamp"), self._clock.now_us())
        for event in self._book.events(order_book, self._contract_size(), event_us):
            if isinstance(event, TopOfBook):
                self._top_bid = event.bid
            self._gap_is_told = False
            self._put(event)

    async def next_prints(self) -> None:
        """The prints since the last call. Silence is no fault here: nobody has to trade."""
        contract_size = self._contract_size()
        for trade in await self._exchange.watch_trades(self.symbol):
            event_us = self._venue_clock.event_us(trade.get("timestamp"), self._clock.now_us())
            number = self._print_ids.number(str(trade.get("id") or ""), event_us)
            if number is None:
                continue
            event = print_of(self.instrument.id, trade, contract_size, number, event_us)
            if event is not None:
                self._put(event)

    async def next_mark(self) -> None:
        """One mark price."""
        self._take_ticker(
            await self._within(MARK_SILENCE_SECONDS_MAX, MARK_WORDS, self._exchange.watch_mark_price(self.symbol))
        )

    async def next_ticker(self) -> None:
        """One ticker, for exchanges that tell their mark price in it."""
        self._take_ticker(
            await self._within(MARK_SILENCE_SECONDS_MAX, MARK_WORDS, self._exchange.watch_ticker(self.symbol))
        )

    async def next_rate(self) -> None:
        """One funding rate of the exchange's stream."""
        rate = await self._within(RATE_SILENCE_SECONDS_MAX, RATE_WORDS, self._exchange.watch_funding_rate(self.symbol))
        self.funding.take_rate(rate, self._clock.now_us())
        self._put_funding(rate)

    async def poll_rate(self) -> None:
        """Asks for the funding rate, unless a stream told it a while ago; the interval too, where that is apart."""
        if self.funding.waits_for_hours:
            await self._ask_interval()
        if not self.funding.terms_us:
            await asyncio.sleep(FIRST_POLL_SECONDS)
        now_us = self._clock.now_us()
        if now_us - self.funding.terms_us > TERMS_AGE_US_MAX:
            rate = await self._exchange.fetch_funding_rate(self.symbol)
            self.funding.take_rate(rate, now_us)
            self._put_funding(rate)
        await asyncio.sleep(POLL_SECONDS)

    async def poll_settled(self) -> None:
        """Asks for the settlements that have passed, once one should have."""
        if self._clock.now_us() // 1_000 >= self.settled.next_ask_ms:
            history = await self._exchange.fetch_funding_rate_history(self.symbol, None, HISTORY_MAX)
            news = self.settled.news(history, self._clock.now_us() // 1_000)
            opens = await self._mark_opens() if lacks_marks(news) else {}
            mark = self.funding.mark or self._top_bid
            for event in self.settled.events(news, opens, mark, self._clock.now_us()):
                self._put(event)
        await asyncio.sleep(POLL_SECONDS if self.settled.next_ask_ms else FIRST_POLL_SECONDS)

    async def _mark_opens(self) -> dict[int, float]:
        """Where the mark price stood at the beginning of each of the last hours, by the hour in ms."""
        if not self._exchange.has.get("fetchMarkOHLCV"):
            return {}
        candles = await self._exchange.fetch_mark_ohlcv(self.symbol, "1h", None, HISTORY_MAX)
        return {int(candle[0]): candle[1] for candle in candles}

    async def _ask_interval(self) -> None:
        """Asks once; where there is no answer, or none for this symbol, the settings' interval counts."""
        try:
            intervals = await self._exchange.fetch_funding_intervals([self.symbol])
            self.funding.take_interval(intervals.get(self.symbol) or {})
        finally:
            self.funding.waits_for_hours = False

    def _put(self, event: MarketEvent) -> None:
        """An event that is dropped leaves the receiver with a gap, so the next book has to be a whole one."""
        if not self._room_for(event):
            self._book.forget()

    def _take_ticker(self, ticker: dict[str, Any]) -> None:
        self.funding.take_ticker(ticker, self._clock.now_us())
        self._put_funding(ticker)

    def _put_funding(self, structure: dict[str, Any]) -> None:
        stamp_ms = structure.get("timestamp") or (structure.get("info") or {}).get("ts")
        event_us = self._venue_clock.event_us(float(stamp_ms) if stamp_ms else None, self._clock.now_us())
        event = self.funding.event(event_us, self._top_bid)
        if event is not None:
            self._put(event)

    async def _within(self, seconds: float, words: tuple[str, ...], answer: Awaitable[Answer]) -> Answer:
        """The answer; after too long a silence the connection is dropped, because ccxt would wait for ever."""
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            reason = f"nothing came for {seconds:.0f} s"
            self._exchange.drop(self.symbol, words, reason)
            raise Silence(reason) from None

    def _contract_size(self) -> Decimal:
        return contract_size_of(self._exchange.market(self.symbol))
