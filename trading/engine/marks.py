"""Marks of many open trades at once: what each would leave if it were closed now.

float64 throughout: marks are displayed, ranked and summed (ruling 1); an exit is decided again in exact decimals.
A trade whose long bid or short ask is unknown has the mark NaN. Amounts are USD, spreads basis points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from trading.domain.instruments import Venue
from trading.domain.orders import Leg
from trading.domain.pnl import cash_of, fees_of
from trading.domain.trades import Trade

Floats = NDArray[np.float64]


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
    """The numbers of each open trade that a mark needs, as columns; built anew only for trades that changed."""

    def __init__(self, venues: Mapping[str, Venue]) -> None:
        self._taker_rates = {name: float(venue.taker_fee_rate) for name, venue in venues.items()}
        self._rows: dict[str, tuple[Trade, tuple[float, float, float, float, float]]] = {}

    def mark(self, trades: Sequence[Trade], quotes: Mapping[str, Quote]) -> Marks:
        """Marks the trades, in their order, at the long venue's bid and the short venue's ask."""
        self._rows = {trade.id: self._row(trade) for trade in trades}
        if not trades:
            return Marks(np.empty(0), np.empty(0))
        columns = np.array([numbers for _, numbers in self._rows.values()], dtype=np.float64).T
        held_long, held_short, settled, long_rate, short_rate = columns
        bid = self._prices(trades, quotes, Leg.LONG)
        ask = self._prices(trades, quotes, Leg.SHORT)
        value_long, value_short = _value(held_long, bid), _value(held_short, ask)
        fees = np.abs(value_long) * long_rate + np.abs(value_short) * short_rate
        unrealised = settled + value_long + value_short - fees
        return Marks(unrealised, (ask - bid) / ((ask + bid) / 2) * 10_000)

    def _row(self, trade: Trade) -> tuple[Trade, tuple[float, float, float, float, float]]:
        known = self._rows.get(trade.id)
        if known is not None and known[0] is trade:
            return known
        settled = cash_of(trade.all_orders) + trade.funding_long_usd + trade.funding_short_usd - fees_of(trade)
        return trade, (
            float(trade.position(Leg.LONG)),
            float(trade.position(Leg.SHORT)),
            float(settled),
            self._taker_rates.get(trade.long_exchange, 0.0),
            self._taker_rates.get(trade.short_exchange, 0.0),
        )

    @staticmethod
    def _prices(trades: Sequence[Trade], quotes: Mapping[str, Quote], leg: Leg) -> Floats:
        prices = {
            name: np.nan if (price := quote.bid if leg is Leg.LONG else quote.ask) is None else float(price)
            for name, quote in quotes.items()
        }
        return np.array([prices.get(trade.entry_order(leg).instrument, np.nan) for trade in trades])


def _value(held: Floats, price: Floats) -> Floats:
    """Quantity times price; nothing held is worth nothing, whatever the price."""
    return np.where(held == 0, 0.0, held * price)
