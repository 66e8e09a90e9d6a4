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
import numpy as np

from trading.domain import metrics
from trading.domain.exits import exit_reason
from trading.domain.funding import delta_8h
from trading.domain.metrics import DailyMetrics, EquityTrack, PortfolioMetrics
from trading.domain.orders import Leg
from trading.domain.pnl import unrealised_net
from trading.domain.portfolio import DayTally, PortfolioState
from trading.domain.strategy import Desk, Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import MICROSECONDS, ZERO, day_of, round12
from trading.engine.clock import Clock
from trading.engine.marks import UNKNOWN, Floats, Marks, MarkTable, Quote

COMMAND_LIFETIME_US = 3 * MICROSECONDS  # ruling 17
RECORD_INTERVAL_US = 60 * MICROSECONDS  # ruling 19
NEAR_LIMIT_USD = 1e-6  # float64 of any position here is closer to the exact amount than this


class Track(msgspec.Struct, frozen=True):
    """What the monitor remembers of a portfolio: its equity, and when its durable rows were last written."""

    equity: EquityTrack
    recorded_us: int = 0
    recorded_version: int = -1


class PortfolioView(msgspec.Struct, frozen=True):
    """One portfolio as it stands in Redis. `trades` are the open ones, oldest first."""

    state: PortfolioState
    trades: Sequence[Trade]
    track: Track | None = None
    leg_outs: Sequence[Any] = ()


class DayRecord(msgspec.Struct, frozen=True):
    """The durable rows of one day: its metrics, and the portfolio as it was at `taken_us`."""

    metrics: DailyMetrics
    state: PortfolioState
    unrealised_usd: Decimal | None
    taken_us: int


class Findings(msgspec.Struct, frozen=True):
    """What a tick found out about a portfolio. `records` are the rows that are due, a finished day's first."""

    at_us: int
    metrics: PortfolioMetrics
    daily: DailyMetrics
    track: Track
    marks: Marks
    unrealised_usd: Decimal | None
    finished: DailyMetrics | None
    records: tuple[DayRecord, ...]


class MonitorStore(Protocol):
    """What the monitor needs of a portfolio's store."""

    def read(self) -> PortfolioView | None:
        """The portfolio, or None before its first engine has started."""

    def write(self, view: PortfolioView, findings: Findings) -> bool:
        """Writes what was found in one step; False, and nothing written, if the state has moved on."""


class Market(Protocol):
    """Where the engine publishes prices."""

    def quotes(self, now_us: int) -> Mapping[str, Quote]:
        """The quote of each instrument that can be marked with."""


class Commands(Protocol):
    """How the monitor asks for something."""

    def send_exit(self, prefix: str, trade_id: str, reason: str, expires_us: int) -> object:
        """Asks the engine to close a trade."""


class PortfolioTick(msgspec.Struct, frozen=True):
    """One portfolio after a tick: what was read, what was found, and the exits that were asked for."""

    strategy: Strategy
    view: PortfolioView
    findings: Findings
    exits: tuple[tuple[str, str], ...]
    written: bool


class Tick(msgspec.Struct, frozen=True):
    """One tick over all portfolios."""

    at_us: int
    duration_ms: float
    quotes: Mapping[str, Quote]
    portfolios: tuple[PortfolioTick, ...]


class Monitor:
    """Watches all portfolios of a desk."""

    def __init__(
        self,
        desk: Desk,
        stores: Mapping[str, MonitorStore],
        market: Market,
        commands: Commands,
        clock: Clock,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._desk = desk
        self._stores = stores
        self._market = market
        self._commands = commands
        self._clock = clock
        self._timer = timer
        self._venues = {venue.name: venue for venue in desk.venues}
        self._tables = {strategy.prefix: MarkTable(self._venues) for strategy in desk.strategies}

    def tick(self, record: bool = False) -> Tick:
        """One look at everything; `record` writes the durable rows of the day whether they are due or not."""
        started = self._timer()
        now_us = self._clock.now_us()
        quotes = self._market.quotes(now_us)
        ticks = [self._watch(strategy, quotes, now_us, record) for strategy in self._desk.strategies]
        duration_ms = (self._timer() - started) * 1_000
        return Tick(now_us, duration_ms, quotes, tuple(tick for tick in ticks if tick is not None))

    def _watch(
        self, strategy: Strategy, quotes: Mapping[str, Quote], now_us: int, record: bool
    ) -> PortfolioTick | None:
        store = self._stores[strategy.prefix]
        view = store.read()
        if view is None:
            return None
        marks = self._tables[strategy.prefix].mark(view.trades, quotes)
        exits = tuple(self._exits(strategy, view.trades, marks.unrealised_usd, quotes))
        for trade_id, reason in exits:
            self._commands.send_exit(strategy.prefix, trade_id, reason, now_us + COMMAND_LIFETIME_US)
        findings = find(view, marks, now_us, record)
        return PortfolioTick(strategy, view, findings, exits, store.write(view, findings))

    def _exits(
        self, strategy: Strategy, trades: Sequence[Trade], unrealised: Floats, quotes: Mapping[str, Quote]
    ) -> list[tuple[str, str]]:
        """The active trades to be closed, and why. Floats only choose whom to look at."""
        suspects = near_limits(strategy, trades, unrealised)
        found = []
        for trade, suspect in zip(trades, suspects, strict=True):
            armed = trade.funding_delta_entry > strategy.funding_convergence_threshold
            if trade.status is TradeStatus.ACTIVE and (suspect or armed) and trade.origin == "engine":
                exact = self.unrealised(trade, quotes)
                reason = exit_reason(trade, strategy, exact, funding_delta(trade, quotes))
                if reason is not None:
                    found.append((trade.id, reason.value))
        return found

    def unrealised(self, trade: Trade, quotes: Mapping[str, Quote]) -> Decimal | None:
        """The exact unrealised net in USD; None while a price is unknown."""
        bid = quotes.get(trade.long_order.instrument, UNKNOWN).bid
        ask = quotes.get(trade.short_order.instrument, UNKNOWN).ask
        if bid is None or ask is None:
            return None
        long, short = self._venues[trade.long_exchange], self._venues[trade.short_exchange]
        return unrealised_net(trade, bid, ask, long.taker_fee_rate, short.taker_fee_rate)


def near_limits(strategy: Strategy, trades: Sequence[Trade], unrealised: Floats) -> list[bool]:
    """Which trades have reached a limit, or are too close to tell in float64. NaN never has."""
    sizes = np.array([float(trade.position_size_usd) for trade in trades])
    profit = sizes * float(strategy.profit_target_bps) / 10_000
    loss = sizes * float(strategy.loss_limit_bps) / 10_000
    reached = (unrealised >= profit - NEAR_LIMIT_USD) | (unrealised <= -loss + NEAR_LIMIT_USD)
    return [bool(flag) for flag in reached]


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


def find(view: PortfolioView, marks: Marks, now_us: int, record: bool) -> Findings:
    """What the tick says about a portfolio; pure."""
    state = view.state
    track = view.track or Track(EquityTrack.new(state.starting_capital, now_us))
    total = marks.total_usd
    unrealised = None if total is None else round12(Decimal(repr(total)))
    before, after = track.equity, track.equity.rolled_to(now_us)
    if unrealised is not None:
        after = before.observed(state.starting_capital + state.cumulative_pnl + unrealised, now_us)
    daily = metrics.daily_metrics(state, tally_of(state, day_of(now_us).isoformat()), after)
    finished = metrics.daily_metrics(state, tally_of(state, before.date), before) if after.date != before.date else None
    due = record or (state.version != track.recorded_version and now_us - track.recorded_us >= RECORD_INTERVAL_US)
    rows = (finished,) if finished else ()
    rows = (*rows, daily) if due else rows
    kept = Track(after, now_us, state.version) if due else Track(after, track.recorded_us, track.recorded_version)
    return Findings(
        at_us=now_us,
        metrics=metrics.portfolio_metrics(state, now_us),
        daily=daily,
        track=kept,
        marks=marks,
        unrealised_usd=unrealised,
        finished=finished,
        records=tuple(DayRecord(row, state, unrealised, now_us) for row in rows),
    )


def tally_of(state: PortfolioState, date: str) -> DayTally:
    """What the portfolio closed on a UTC day; an empty tally for one on which it closed nothing."""
    for tally in (state.day, state.previous_day):
        if tally is not None and tally.date == date:
            return tally
    return DayTally(date)
