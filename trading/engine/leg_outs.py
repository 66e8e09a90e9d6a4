"""Entries that do not come to two filled legs: leg-outs, entry timeouts, and entries found after a restart.

The unfilled orders are cancelled. When the last cancel is answered and the legs are unequal, a hedge makes them flat
(`unwind`) or equal (`complete`); what `complete` has not got after another `leg_out_ms` is unwound on the other leg.
Market orders retry what remains at each book update. Source: ruling 11.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trading.domain.orders import Leg, Order, Role
from trading.domain.trades import ExitReason, Hedge, Trade, TradeStatus
from trading.domain.units import MICROSECONDS
from trading.engine import timers
from trading.engine.latency import Latency
from trading.engine.lifecycle import Cause, has_pending, hedge_kind, hedges_of
from trading.engine.markets import Market
from trading.engine.paper_exchange import PaperExchange
from trading.engine.portfolio import Portfolio
from trading.engine.sending import flattening_orders, market_order, opposite
from trading.engine.timers import Timers

MICROSECONDS_PER_MS = 1_000


class LegOuts:
    """Watches entries by timers of event time, calls them off, and hedges what was filled."""

    def __init__(
        self, clockwork: Timers, exchange: PaperExchange, latency: Latency, markets: Mapping[str, Market]
    ) -> None:
        self._timers = clockwork
        self._exchange = exchange
        self._latency = latency
        self._markets = markets

    def watch_entry(self, portfolio: Portfolio, trade: Trade) -> None:
        """Sets the entry timeout of a new trade."""
        deadline_us = trade.entry_us + int(portfolio.strategy.entry_timeout_seconds * MICROSECONDS)

        def expire(at_us: int) -> None:
            standing = _undecided(portfolio, trade.id)
            if standing is not None and not any(order.filled_quantity for order in standing.all_orders):
                cause = Cause(ExitReason.ENTRY_TIMEOUT, ExitReason.ENTRY_TIMEOUT.value, at_us)
                self.call_off(portfolio, standing, cause)

        self._timers.at(deadline_us, timers.DECISION, f"{trade.id} entry", expire)

    def watch_leg(self, portfolio: Portfolio, trade: Trade, filled: Order) -> None:
        """Sets the leg-out timer after an entry order's fill: `leg_out_ms` of event time after it, but not before
        the strategy knows of it."""
        if trade.status is not TradeStatus.PENDING or filled.role is not Role.ENTRY or filled.filled_us is None:
            return
        response_us = self._latency.response_us(self._markets[filled.instrument].venue, filled.id)
        patience_us = portfolio.strategy.leg_out_ms * MICROSECONDS_PER_MS

        def expire(at_us: int) -> None:
            standing = _undecided(portfolio, trade.id)
            if standing is not None:
                text = f"timeout_{portfolio.strategy.leg_out_ms}ms"
                self.call_off(portfolio, standing, Cause(ExitReason.LEG_OUT, text, at_us))

        deadline_us = filled.filled_us + max(patience_us, response_us)
        self._timers.at(deadline_us, timers.DECISION, f"{trade.id} leg", expire)

    def call_off(self, portfolio: Portfolio, trade: Trade, cause: Cause) -> None:
        """Cancels the entry orders that are not filled; `resolve` follows when the venues have answered."""
        portfolio.causes[trade.id] = cause
        for order in (trade.long_order, trade.short_order):
            if order.is_pending:
                self._exchange.cancel(portfolio, trade.id, order, cause.at_us)

    def resolve(self, portfolio: Portfolio, trade_id: str, now_us: int) -> None:
        """Sends the hedge of a trade whose orders have all ended and whose legs are unequal."""
        trade = portfolio.current(trade_id)
        if trade is None or trade.status is not TradeStatus.PENDING or has_pending(trade):
            return
        orders = self._hedge_orders(portfolio, trade, now_us)
        if not orders:
            return
        stored = portfolio.put(msgspec.structs.replace(trade, orders=(*trade.orders, *orders)), now_us)
        for order in orders if stored else ():
            self._exchange.send(portfolio, trade_id, order, now_us)
            self.watch_completion(portfolio, trade, order)

    def watch_completion(self, portfolio: Portfolio, trade: Trade, order: Order) -> None:
        """Gives a completing hedge `leg_out_ms` from its arrival, then cancels what remains of it."""
        if order.side is not trade.entry_order(order.leg).side:
            return
        arrival_us = order.created_us + self._latency.order_us(self._markets[order.instrument].venue, order.id)
        deadline_us = arrival_us + portfolio.strategy.leg_out_ms * MICROSECONDS_PER_MS

        def expire(at_us: int) -> None:
            if order.id in portfolio.working:
                self._exchange.cancel(portfolio, trade.id, order, at_us)

        self._timers.at(deadline_us, timers.DECISION, f"{order.id} completion", expire)

    def _hedge_orders(self, portfolio: Portfolio, trade: Trade, now_us: int) -> list[Order]:
        bought, sold = trade.position(Leg.LONG), -trade.position(Leg.SHORT)
        if bought == sold:
            return []
        larger = Leg.LONG if bought > sold else Leg.SHORT
        hedged_before = bool(hedges_of(trade))
        if hedged_before and hedge_kind(trade) is Hedge.COMPLETE:
            leg, side = larger, opposite(trade.entry_order(larger).side)
        elif not hedged_before and Hedge(portfolio.strategy.hedge) is Hedge.COMPLETE:
            leg, side = larger.other, trade.entry_order(larger.other).side
        else:
            return flattening_orders(trade, Role.HEDGE, self._markets, now_us)
        market = self._markets[trade.entry_order(leg).instrument]
        return [market_order(trade, leg, Role.HEDGE, side, abs(bought - sold), market, now_us)]


def _undecided(portfolio: Portfolio, trade_id: str) -> Trade | None:
    """The trade while its entry is still open and nobody has called it off."""
    trade = portfolio.current(trade_id)
    if trade is None or trade.status is not TradeStatus.PENDING or trade_id in portfolio.causes:
        return None
    return trade
