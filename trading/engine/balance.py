"""How long the legs of a trade have held unequal quantities.

The clock of a trade starts with the fill that makes its legs unequal and stops with the one that makes them equal; a
leg that is filled in parts beside its twin does not start it anew. Whole fills give ruling 11: one leg is filled, and
the other is not within the time. It is event time, kept by timers.
"""

from __future__ import annotations

from collections.abc import Callable

from trading.domain.orders import Order
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS_PER_MS
from trading.engine import timers
from trading.engine.latency import Latency
from trading.engine.lifecycle import is_unequal
from trading.engine.portfolio import Portfolio
from trading.engine.timers import Timers

Lasting = Callable[[Portfolio, Trade, int], None]  # what is done about it


class Balance:
    """Watches the trades whose legs are unequal."""

    def __init__(self, clockwork: Timers, latency: Latency) -> None:
        self._timers = clockwork
        self._latency = latency

    def filled(self, portfolio: Portfolio, trade: Trade, order: Order, lasting: Lasting) -> None:
        """Takes in a fill. `lasting` is called when the legs stay unequal for `leg_out_ms` of event time, but not
        before the strategy knows of the fill."""
        if not is_unequal(trade):
            portfolio.unequal_since_us.pop(trade.id, None)
        elif trade.id not in portfolio.unequal_since_us and order.filled_us is not None:
            since_us = portfolio.unequal_since_us[trade.id] = order.filled_us
            response_us = self._latency.response_us(portfolio.markets[order.instrument].venue, order.id)
            deadline_us = since_us + max(portfolio.strategy.leg_out_ms * MICROSECONDS_PER_MS, response_us)
            self._timers.at(
                deadline_us,
                timers.DECISION,
                f"{trade.id} leg",
                lambda at_us: _expire(portfolio, trade.id, since_us, at_us, lasting),
            )


def _expire(portfolio: Portfolio, trade_id: str, since_us: int, at_us: int, lasting: Lasting) -> None:
    standing = portfolio.current(trade_id)
    if standing is not None and portfolio.unequal_since_us.get(trade_id) == since_us:
        lasting(portfolio, standing, at_us)
