"""Marks of many open trades at once: what each would leave if it were closed now.

float64 throughout: marks are displayed, ranked and summed (ruling 1); an exit is decided again in exact decimals.
A trade whose long bid or short ask is unknown has the mark NaN. Amounts are USD, spreads basis points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from trading.domain.funding import DELTA_HOURS
from trading.domain.instruments import Venue
from trading.domain.orders import Leg
from trading.domain.pnl import cash_of, fees_of
from trading.domain.strategy import Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import ZERO

Floats = NDArray[np.float64]

ENGINE = "engine"
BPS = 10_000
# float64 of any position or rate here is closer to the exact number than this
NEAR_USD = 1e-6
NEAR_RATE = 1e-9
COLUMNS = (
    "long",  # which instrument
    "short",
    "held_long",  # base quantity, signed
    "held_short",
    "settled",  # cash and funding so far, minus fees paid, USD
    "long_rate",  # taker fee
    "short_rate",
    "size_usd",
    "funding_delta_entry",
    "may_exit",  # 1 for an active trade of our engine
)


class Quote(msgspec.Struct, frozen=True):
    """What the engine published of an instrument: None where unknown or too old to mark with.

    `funding_rate` is per `funding_interval_hours`, a ratio.
    """

    bid: Decimal | None
    ask: Decimal | None
    funding_rate: Decimal | None = None
    funding_interval_hours: int = 8
    is_spot: bool = False


UNKNOWN = Quote(None, None)
TAKEN_AT_ONCE = 5_000  # some 0.1 s


class Marks(msgspec.Struct, frozen=True):
    """Parallel arrays, one element for each trade that was marked."""

    unrealised_usd: Floats
    spread_bps: Floats

    @property
    def total_usd(self) -> float | None:
        """The sum over all trades; None while one of them is unknown."""
        total = float(self.unrealised_usd.sum())
        return None if np.isnan(total) else total


class MarkTable:
    """The numbers of each open trade that a look needs, as columns; made anew only for trades that changed."""

    def __init__(self, venues: Mapping[str, Venue], pulse: Callable[[], None] = lambda: None) -> None:
        """`pulse` is called after each TAKEN_AT_ONCE new trades: very many take longer than a lease lives."""
        self._pulse = pulse
        self._taker_rates = {name: float(venue.taker_fee_rate) for name, venue in venues.items()}
        self._instruments: dict[str, int] = {}
        self._trades: Sequence[Trade] = ()
        self._identities = np.empty(0, np.int64)  # id() of each of them
        self._columns = np.empty((len(COLUMNS), 0))

    def mark(self, trades: Sequence[Trade], quotes: Mapping[str, Quote]) -> Marks:
        """Marks the trades, in their order, at the long venue's bid and the short venue's ask."""
        self._take_in(trades)
        bid = self._prices([quotes.get(name, UNKNOWN).bid for name in self._instruments], Leg.LONG)
        ask = self._prices([quotes.get(name, UNKNOWN).ask for name in self._instruments], Leg.SHORT)
        value_long, value_short = _value(self._column("held_long"), bid), _value(self._column("held_short"), ask)
        fees = np.abs(value_long) * self._column("long_rate") + np.abs(value_short) * self._column("short_rate")
        unrealised = self._column("settled") + value_long + value_short - fees
        return Marks(unrealised, (ask - bid) / ((ask + bid) / 2) * 10_000)

    def near_exit(self, strategy: Strategy, marks: Marks, quotes: Mapping[str, Quote]) -> list[int]:
        """Which of the trades marked last have reached a limit of the strategy, or are too close to tell in float64:
        their positions. Only active ones of our engine are looked at; what is unknown (NaN) has reached nothing."""
        size = self._column("size_usd")
        profit, loss = size * float(strategy.profit_target_bps) / BPS, size * float(strategy.loss_limit_bps) / BPS
        reached = (marks.unrealised_usd >= profit - NEAR_USD) | (marks.unrealised_usd <= NEAR_USD - loss)
        threshold = float(strategy.funding_convergence_threshold)
        armed = (self._column("funding_delta_entry") > threshold - NEAR_RATE) & (threshold > 0)
        rates = [rate_8h(quotes.get(name, UNKNOWN)) for name in self._instruments]
        delta = self._prices(rates, Leg.SHORT) - self._prices(rates, Leg.LONG)
        converged = armed & (delta <= threshold + NEAR_RATE)
        return np.flatnonzero((self._column("may_exit") > 0) & (reached | converged)).tolist()

    def _take_in(self, trades: Sequence[Trade]) -> None:
        """Moves the columns of trades that are known to their new places, and makes those of the others."""
        if trades is self._trades:
            return
        identities = np.fromiter(map(id, trades), np.int64, len(trades))
        if self._trades:
            sorter = np.argsort(self._identities)
            nearest = np.searchsorted(self._identities, identities, sorter=sorter).clip(max=len(sorter) - 1)
            sources = sorter[nearest]
            columns, is_new = self._columns[:, sources], self._identities[sources] != identities
        else:
            columns, is_new = np.empty((len(COLUMNS), len(trades))), np.ones(len(trades), bool)
        for count, place in enumerate(np.flatnonzero(is_new).tolist(), 1):
            columns[:, place] = self._numbers(trades[place])
            if count % TAKEN_AT_ONCE == 0:
                self._pulse()
        self._trades, self._identities, self._columns = trades, identities, columns

    def _numbers(self, trade: Trade) -> tuple[float, ...]:
        settled = cash_of(trade.all_orders) + trade.funding_long_usd + trade.funding_short_usd - fees_of(trade)
        return (
            self._place_of(trade.long_order.instrument),
            self._place_of(trade.short_order.instrument),
            float(trade.position(Leg.LONG)),
            float(trade.position(Leg.SHORT)),
            float(settled),
            self._taker_rates.get(trade.long_exchange, 0.0),
            self._taker_rates.get(trade.short_exchange, 0.0),
            float(trade.position_size_usd),
            float(trade.funding_delta_entry),
            trade.status is TradeStatus.ACTIVE and trade.origin == ENGINE,
        )

    def _place_of(self, instrument: str) -> int:
        return self._instruments.setdefault(instrument, len(self._instruments))

    def _prices(self, by_instrument: Sequence[Decimal | None], leg: Leg) -> Floats:
        """What is given per instrument (None: unknown), for that leg of each trade."""
        given = np.array([np.nan if value is None else float(value) for value in by_instrument])
        return given[self._column("long" if leg is Leg.LONG else "short").astype(np.intp)]

    def _column(self, name: str) -> Floats:
        return self._columns[COLUMNS.index(name)]


def rate_8h(quote: Quote) -> Decimal | None:
    """A funding rate per 8 hours; a spot leg has none and counts as zero; None where it is unknown."""
    if quote.is_spot or quote.funding_rate is None:
        return ZERO if quote.is_spot else None
    return quote.funding_rate * DELTA_HOURS / quote.funding_interval_hours


def _value(held: Floats, price: Floats) -> Floats:
    """Quantity times price; nothing held is worth nothing, whatever the price."""
    return np.where(held == 0, 0.0, held * price)
