"""Entries that do not come to two filled legs: leg-outs, entry timeouts, and entries found after a restart.

Legs that hold unequal quantities for `leg_out_ms` are a leg-out (`balance`); an entry whose legs are equal, mostly at
nothing, is called off at its timeout. The open orders are cancelled. When the last cancel is answered and the legs are
unequal, a hedge makes them flat (`unwind`) or equal (`complete`): the missing leg is taken up to what the other one
holds, and what `complete` has not got after another `leg_out_ms` is given up again on the other leg. Equal means in
multiples of the coarser lot step of the two legs; what is less is closed. Market orders retry what remains at each
book update. Legs that are equal after the cancels make a trade of that size, without a leg-out. Source: ruling 11.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trading.domain import fills
from trading.domain.orders import Leg, Order, Role
from trading.domain.trades import ExitReason, Hedge, Trade, TradeStatus
from trading.domain.units import MICROSECONDS, MICROSECONDS_PER_MS, floor_to_step
from trading.engine import timers
from trading.engine.balance import Balance
from trading.engine.latency import Latency
from trading.engine.lifecycle import Cause, has_pending, hedge_kind, hedges_of, is_unequal
from trading.engine.markets import Market
from trading.engine.paper_exchange import PaperExchange
from trading.engine.portfolio import Portfolio
from trading.engine.sending import flattening_orders, levelling_orders
from trading.engine.timers import Timers


class LegOuts:
    """Watches entries by timers of event time, calls them off, and hedges what was filled."""

    def __init__(
        self,
        clockwork: Timers,
        exchange: PaperExchange,
        latency: Latency,
        balance: Balance,
        markets: Mapping[str, Market],
    ) -> None:
        self._timers = clockwork
        self._exchange = exchange
        self._latency = latency
        self._balance = balance
        self._markets = markets

    def watch_entry(self, portfolio: Portfolio, trade: Trade) -> None:
        """Sets the entry timeout of a new trade."""
        self._time_out_at(entry_deadline_us(portfolio, trade), portfolio, trade)

    def watch_fill(self, portfolio: Portfolio, trade: Trade, filled: Order) -> None:
        """After a fill of an entry: unequal legs must not last, and equal ones end an entry that has timed out."""
        if trade.status is not TradeStatus.PENDING or filled.role is not Role.ENTRY or filled.filled_us is None:
            return
        self._balance.filled(portfolio, trade, filled, self._leg_out)
        if filled.filled_us >= entry_deadline_us(portfolio, trade) and not is_unequal(trade):
            response_us = self._latency.response_us(self._markets[filled.instrument].venue, filled.id)
            self._time_out_at(filled.filled_us + response_us, portfolio, trade)

    def call_off(self, portfolio: Portfolio, trade: Trade, cause: Cause) -> None:
        """Cancels the entry orders that are open; `resolve` follows when the venues have answered. An order that
        still waited for the other leg was never sent, and ends at once."""
        portfolio.causes[trade.id] = cause
        for order in trade.all_orders:
            if not order.is_pending or order.role is not Role.ENTRY:
                continue
            if order.leg is portfolio.followers.get(trade.id) and order.id not in portfolio.working:
                standing = portfolio.current(trade.id)
                if standing is not None:
                    portfolio.put(standing.with_order(fills.cancelled(order, cause.at_us)), cause.at_us)
            else:
                self._exchange.cancel(portfolio, trade.id, order, cause.at_us)
        self.resolve(portfolio, trade.id, cause.at_us)

    def resolve(self, portfolio: Portfolio, trade_id: str, now_us: int) -> None:
        """Sends the hedge of a trade whose orders have all ended, as the strategy knows, and whose legs are unequal."""
        trade = portfolio.current(trade_id)
        if trade is None or trade.status is not TradeStatus.PENDING or has_pending(trade) or not is_unequal(trade):
            return
        if any(order.id in portfolio.cancelling for order in trade.all_orders):
            return
        orders = self._hedge_orders(portfolio, trade, now_us)
        stored = portfolio.put(msgspec.structs.replace(trade, orders=(*trade.orders, *orders)), now_us)
        for order in orders if stored else ():
            self._exchange.send(portfolio, trade_id, order, now_us)
            self.watch_completion(portfolio, trade, order, now_us)

    def watch_completion(self, portfolio: Portfolio, trade: Trade, order: Order, sent_us: int) -> None:
        """Gives a completing hedge `leg_out_ms` from its arrival, then cancels what remains of it. `sent_us` is when it
        was sent, the last time."""
        if order.side is not trade.entry_order(order.leg).side:
            return
        arrival_us = sent_us + self._latency.order_us(self._markets[order.instrument].venue, order.id)
        deadline_us = arrival_us + portfolio.strategy.leg_out_ms * MICROSECONDS_PER_MS

        def expire(at_us: int) -> None:
            if order.id in portfolio.working:
                self._exchange.cancel(portfolio, trade.id, order, at_us)

        self._timers.at(deadline_us, timers.DECISION, f"{order.id} completion", expire)

    def _time_out_at(self, deadline_us: int, portfolio: Portfolio, trade: Trade) -> None:
        """Calls the entry off at the deadline if its legs are equal then; unequal ones have a clock of their own."""

        def expire(at_us: int) -> None:
            standing = portfolio.current(trade.id)
            if standing is not None and not is_unequal(standing):
                cause = Cause(ExitReason.ENTRY_TIMEOUT, ExitReason.ENTRY_TIMEOUT.value, at_us)
                self._end_entry(portfolio, standing, cause)

        self._timers.at(deadline_us, timers.DECISION, f"{trade.id} entry", expire)

    def _leg_out(self, portfolio: Portfolio, trade: Trade, at_us: int) -> None:
        text = f"timeout_{portfolio.strategy.leg_out_ms}ms"
        self._end_entry(portfolio, trade, Cause(ExitReason.LEG_OUT, text, at_us))

    def _end_entry(self, portfolio: Portfolio, trade: Trade, cause: Cause) -> None:
        if trade.status is TradeStatus.PENDING and trade.id not in portfolio.causes:
            self.call_off(portfolio, trade, cause)

    def _hedge_orders(self, portfolio: Portfolio, trade: Trade, now_us: int) -> list[Order]:
        """The next orders on the way to equal or flat legs; a completing one comes first, since it names the kind."""
        held = {leg: abs(trade.position(leg)) for leg in Leg}
        hedged_before = bool(hedges_of(trade))
        kind = hedge_kind(trade) if hedged_before else Hedge(portfolio.strategy.hedge)
        if kind is Hedge.UNWIND:
            return flattening_orders(trade, Role.HEDGE, self._markets, now_us)
        reached = min(held.values()) if hedged_before else max(held.values())
        target = floor_to_step(reached, portfolio.lot_step(trade.id))
        legs = sorted(Leg, key=lambda leg: held[leg])
        return levelling_orders(trade, legs, target, Role.HEDGE, self._markets, now_us)


def entry_deadline_us(portfolio: Portfolio, trade: Trade) -> int:
    """When an entry times out."""
    return trade.entry_us + int(portfolio.strategy.entry_timeout_seconds * MICROSECONDS)
