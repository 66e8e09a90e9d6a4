"""The monitor: each second it marks every open trade, decides exits, and writes metrics.

It never writes a trade or a portfolio: an exit is a command to the engine that expires after three seconds and is
sent again by the next tick while its reason holds (ruling 17). A tick may run twice or beside another: metrics are
written only if the state they were computed from still stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from trading.domain.exits import exit_reason
from trading.domain.funding import delta_8h
from trading.domain.orders import Leg
from trading.domain.pnl import unrealised_net
from trading.domain.portfolio import DayTally
from trading.domain.strategy import Desk, Strategy
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS, ZERO
from trading.engine.clock import Clock
from trading.engine.findings import Findings, find, forgotten_days, track_of
from trading.engine.marks import UNKNOWN, Marks, MarkTable, Quote
from trading.stores.command_store import EXIT_LIFETIME_US
from trading.stores.market_store import MarketQuote
from trading.stores.monitor_store import Reading, Watched

READS_MAX = 3  # a portfolio that moves on between read and write is read again this often


class PortfolioWatch(Protocol):
    """A portfolio as `trading.stores.monitor_store.MonitorStore` gives and takes it."""

    def read(self) -> Reading | None:
        """The portfolio, or None before its first engine has started."""

    def tallies(self, dates: Sequence[str]) -> Mapping[str, DayTally]:
        """What was closed on past days."""

    def write(self, reading: Reading, watched: Watched) -> dict[str, msgspec.Raw] | None:
        """Writes in one step; None, and nothing written, if the portfolio has moved on."""


class Quotes(Protocol):
    """Where the engine publishes prices."""

    def quotes(self) -> Mapping[str, MarketQuote]:
        """The last quote of every instrument."""


class Commands(Protocol):
    """How the monitor asks for something."""

    def send_exits(self, prefix: str, exits: Sequence[tuple[str, str]], expires_us: int) -> object:
        """Asks the engine to close trades, each (trade id, reason)."""


class PortfolioTick(msgspec.Struct, frozen=True):
    """One portfolio after a tick. `exits` are (trade id, reason) asked for; `documents` the metrics and the daily
    record as they were written, None if the portfolio kept moving and the next tick must do it."""

    strategy: Strategy
    reading: Reading
    findings: Findings
    exits: tuple[tuple[str, str], ...]
    documents: Mapping[str, Any] | None


class Tick(msgspec.Struct, frozen=True):
    """One tick over all portfolios that exist."""

    at_us: int
    duration_ms: float
    quotes: Mapping[str, MarketQuote]
    portfolios: tuple[PortfolioTick, ...]


class Monitor:
    """Watches all portfolios of a desk."""

    def __init__(
        self,
        desk: Desk,
        stores: Mapping[str, PortfolioWatch],
        market: Quotes,
        commands: Commands,
        clock: Clock,
        timer: Callable[[], float] = time.perf_counter,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        """`pulse` is called now and then while very many trades are marked for the first time."""
        self._desk = desk
        self._stores = stores
        self._market = market
        self._commands = commands
        self._clock = clock
        self._timer = timer
        self._venues = {venue.name: venue for venue in desk.venues}
        self._tables = {strategy.prefix: MarkTable(self._venues, pulse) for strategy in desk.strategies}

    def tick(self, record: bool = False) -> Tick:
        """One look at everything; `record` writes the durable rows of the day whether they are due or not.

        Raises what the stores raise (RedisAway, WireError).
        """
        started = self._timer()
        now_us = self._clock.now_us()
        published = self.aged(self._market.quotes(), now_us)
        quotes = self.usable(published)
        ticks = [self._watch(strategy, quotes, now_us, record) for strategy in self._desk.strategies]
        duration_ms = (self._timer() - started) * 1_000
        return Tick(now_us, duration_ms, published, tuple(tick for tick in ticks if tick is not None))

    def aged(self, published: Mapping[str, MarketQuote], now_us: int) -> dict[str, MarketQuote]:
        """The quotes as they stand now: one that was in order and has become too old is stale (ruling 5)."""
        found = dict(published)
        for instrument in self._desk.instruments:
            quote = published.get(instrument.id)
            if quote is None or quote.state != "ok":
                continue
            age_us = now_us - quote.event_us
            if age_us > self._venues[instrument.venue].book_age_us_max:
                reason = f"its newest quote is {age_us // MICROSECONDS} s old"
                found[instrument.id] = msgspec.structs.replace(quote, state="stale", reason=reason)
        return found

    def usable(self, published: Mapping[str, MarketQuote]) -> dict[str, Quote]:
        """What trades may be marked with: prices of books that are in order (ruling 5)."""
        found = {}
        for instrument in self._desk.instruments:
            quote = published.get(instrument.id)
            if quote is None:
                continue
            good = quote.state == "ok"
            found[instrument.id] = Quote(
                quote.bid if good else None,
                quote.ask if good else None,
                quote.funding_rate,
                quote.funding_interval_h or instrument.funding_interval_hours,
                instrument.contract_type == "spot",
            )
        return found

    def _watch(
        self, strategy: Strategy, quotes: Mapping[str, Quote], now_us: int, record: bool
    ) -> PortfolioTick | None:
        store = self._stores[strategy.prefix]
        sent: tuple[tuple[str, str], ...] | None = None
        for attempt in range(1, READS_MAX + 1):
            reading = store.read()
            if reading is None:
                return None
            marks = self._tables[strategy.prefix].mark(reading.trades, quotes)
            if sent is None:
                sent = self._send_exits(strategy, reading.trades, marks, quotes, now_us)
            track = track_of(reading, now_us)
            forgotten = forgotten_days(reading.state, track, now_us)
            tallies = store.tallies(forgotten) if forgotten else None
            findings = find(reading.state, track, marks, now_us, record, tallies)
            documents = store.write(reading, findings.watched(reading.trades))
            if documents is not None or attempt == READS_MAX:
                return PortfolioTick(strategy, reading, findings, sent, documents)
        raise AssertionError("unreachable: the last attempt returns")

    def _send_exits(
        self, strategy: Strategy, trades: Sequence[Trade], marks: Marks, quotes: Mapping[str, Quote], now_us: int
    ) -> tuple[tuple[str, str], ...]:
        """Asks for the exit of each active trade that has a reason. Floats only choose at whom to look."""
        found = []
        for place in self._tables[strategy.prefix].near_exit(strategy, marks, quotes):
            trade = trades[place]
            reason = exit_reason(trade, strategy, self.unrealised(trade, quotes), funding_delta(trade, quotes))
            if reason is not None:
                found.append((trade.id, reason.value))
        if found:
            self._commands.send_exits(strategy.prefix, found, now_us + EXIT_LIFETIME_US)
        return tuple(found)

    def unrealised(self, trade: Trade, quotes: Mapping[str, Quote]) -> Decimal | None:
        """The exact unrealised net in USD; None while a price is unknown."""
        bid = quotes.get(trade.long_order.instrument, UNKNOWN).bid
        ask = quotes.get(trade.short_order.instrument, UNKNOWN).ask
        if bid is None or ask is None:
            return None
        long, short = self._venues[trade.long_exchange], self._venues[trade.short_exchange]
        return unrealised_net(trade, bid, ask, long.taker_fee_rate, short.taker_fee_rate)


def funding_delta(trade: Trade, quotes: Mapping[str, Quote]) -> Decimal | None:
    """Short minus long funding rate per 8 hours; a spot leg has none and counts as zero; None if one is missing."""
    rates: dict[Leg, tuple[Decimal, int]] = {}
    for leg in Leg:
        quote = quotes.get(trade.entry_order(leg).instrument, UNKNOWN)
        rate = ZERO if quote.is_spot else quote.funding_rate
        if rate is None:
            return None
        rates[leg] = (rate, quote.funding_interval_hours)
    return delta_8h(*rates[Leg.SHORT], *rates[Leg.LONG])
