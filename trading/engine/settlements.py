"""Funding settlements: when one has passed, each leg that held something is paid, in the trade's next step.

One whose rate was announced is paid at its instant. One that nobody heard of (the engine was down, the feed had a gap,
the portfolio stood still) waits SETTLED_WAIT_US for the venue to name it, then it is paid by estimate; earlier, if the
trade moves on. A trade remembers how far each leg was paid, so that nothing is paid twice. Source: ruling 13.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

import msgspec

from trading.domain.events import FundingRate
from trading.domain.funding import Basis
from trading.domain.spread import FundingTerm
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS
from trading.engine import timers
from trading.engine.funding_due import funding_due
from trading.engine.funding_terms import Funding
from trading.engine.markets import Market
from trading.engine.portfolio import Portfolio, pair_of
from trading.engine.timers import Timers
from trading.stores.market_store import LastFunding

SETTLED_WAIT_US = 90 * MICROSECONDS  # a live feed asks the venue at its start and each 30 s
GATHER_US = 1 * MICROSECONDS  # a venue tells many past settlements at once


class Settlements:
    """Books funding for every portfolio."""

    def __init__(self, clockwork: Timers, portfolios: Collection[Portfolio]) -> None:
        self._timers = clockwork
        self._portfolios = portfolios  # grows when a portfolio joins
        self._watched: set[tuple[str, int]] = set()
        self._gathering: set[str] = set()

    def remember(self, markets: Mapping[str, Market], told: Mapping[str, LastFunding], now_us: int) -> None:
        """Takes in what an earlier run published last, by instrument: the only word there is until the feed speaks."""
        for instrument, last in told.items():
            if instrument in markets:
                market = markets[instrument]
                term = FundingTerm(last.rate, last.interval_hours, last.next_settlement_us)
                market.terms.learn(Funding(term, last.mark_price), Basis.ESTIMATED, last.told_us)
                self._watch(market, market.terms.next_us(now_us))

    def announce(self, market: Market, event: FundingRate) -> None:
        """Takes in a rate: of the next settlement, then the last word before it counts; or of one that has passed,
        then it is final, unless the settlement is paid already."""
        if event.next_settlement_us > event.event_us:
            if market.announce(event):
                self._watch(market, event.next_settlement_us)
                self._book_later(market, event.event_us + SETTLED_WAIT_US)
            return
        term = FundingTerm(Decimal(event.rate), event.interval_hours, event.next_settlement_us)
        market.terms.learn(Funding(term, Decimal(event.mark_price)), Basis.SETTLED, event.next_settlement_us)
        if market.instrument.id not in self._gathering:
            self._gathering.add(market.instrument.id)
            self._timers.at(
                event.event_us + GATHER_US,
                timers.FUNDING,
                market.instrument.id,
                lambda at_us: self._gathered(market, at_us),
            )

    def take_up(self, portfolio: Portfolio, now_us: int) -> None:
        """Pays what passed while the portfolio stood still, as far as it is known; the rest a while later.

        A trade of an earlier version of the desk, which did not write down how far it was paid, is paid from now on.
        """
        for trade in tuple(portfolio.trades.values()):
            portfolio.trades[trade.id] = counted = _counted_from(trade, now_us)
            _pay(portfolio, counted, now_us, patient=True)
        if portfolio.trades:
            self._timers.at(
                now_us + SETTLED_WAIT_US, timers.FUNDING, portfolio.prefix, lambda at_us: _pay_all(portfolio, at_us)
            )

    def _watch(self, market: Market, instant_us: int) -> None:
        if (market.instrument.id, instant_us) not in self._watched:
            self._watched.add((market.instrument.id, instant_us))
            self._timers.at(instant_us, timers.FUNDING, market.instrument.id, lambda at_us: self._passed(market, at_us))

    def _passed(self, market: Market, at_us: int) -> None:
        self._watched.discard((market.instrument.id, at_us))
        self._watch(market, market.terms.next_us(at_us))
        self._book(market, at_us, patient=True)
        if market.terms.at(at_us)[1] is Basis.ESTIMATED:
            self._book_later(market, at_us + SETTLED_WAIT_US)

    def _gathered(self, market: Market, at_us: int) -> None:
        self._gathering.discard(market.instrument.id)
        self._book(market, at_us, patient=True)

    def _book_later(self, market: Market, at_us: int) -> None:
        self._timers.at(at_us, timers.FUNDING, market.instrument.id, lambda late_us: self._book(market, late_us))

    def _book(self, market: Market, at_us: int, patient: bool = False) -> None:
        for portfolio in self._portfolios:
            _pay_all(portfolio, at_us, market.instrument.id, patient)


def _counted_from(trade: Trade, now_us: int) -> Trade:
    """The trade; one that does not say how far it was paid is paid from now on."""
    if trade.funding_long_until_us is not None and trade.funding_short_until_us is not None:
        return trade
    return msgspec.structs.replace(trade, funding_long_until_us=now_us, funding_short_until_us=now_us)


def _pay_all(portfolio: Portfolio, at_us: int, instrument: str | None = None, patient: bool = False) -> None:
    """Pays what the trades of a portfolio are due, those with a leg in the instrument if one is named."""
    for trade in () if portfolio.halted else tuple(portfolio.trades.values()):
        if instrument is None or instrument in pair_of(trade):
            _pay(portfolio, trade, at_us, patient)


def _pay(portfolio: Portfolio, trade: Trade, at_us: int, patient: bool) -> None:
    due = funding_due(trade, portfolio.markets, at_us, patient)
    standing = portfolio.current(trade.id) if due else None
    if standing is not None:
        portfolio.put(standing, at_us, due)
