"""Funding settlements: at each announced instant, one ledger row per leg that holds something. Source: ruling 13."""

from __future__ import annotations

from collections.abc import Collection

from trading.domain.events import FundingRate
from trading.domain.funding import booked, payment
from trading.domain.orders import Leg
from trading.domain.trades import Trade
from trading.engine import timers
from trading.engine.markets import Funding, Market
from trading.engine.portfolio import Portfolio
from trading.engine.timers import Timers


class Settlements:
    """Books funding for every portfolio at the instants that the venues announced."""

    def __init__(self, clockwork: Timers, portfolios: Collection[Portfolio]) -> None:
        self._timers = clockwork
        self._portfolios = portfolios  # grows when a portfolio joins

    def announce(self, market: Market, event: FundingRate) -> None:
        """Takes in a rate; the last one announced for an instant is what is paid then. A past instant is ignored."""
        if event.next_settlement_us > event.event_us and market.announce(event):
            self._timers.at(
                event.next_settlement_us,
                timers.FUNDING,
                market.instrument.id,
                lambda at_us: self._settle(market, at_us),
            )

    def _settle(self, market: Market, settled_us: int) -> None:
        funding = market.settlements.pop(settled_us)
        for portfolio in self._portfolios:
            for trade_id in () if portfolio.halted else tuple(portfolio.trades):
                for leg in Leg:
                    trade = portfolio.current(trade_id)
                    if trade is not None and trade.entry_order(leg).instrument == market.instrument.id:
                        book_payment(portfolio, trade, leg, funding, settled_us)


def book_payment(portfolio: Portfolio, trade: Trade, leg: Leg, funding: Funding, settled_us: int) -> None:
    """Writes one leg's payment and the trade with it, in one step; nothing for a leg that holds nothing."""
    term = funding.term
    paid = payment(trade, leg, term.rate, term.interval_hours, funding.mark_price, settled_us)
    if paid is not None:
        portfolio.put(booked(trade, paid), settled_us, (paid,))
