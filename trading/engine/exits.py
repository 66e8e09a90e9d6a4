"""Closing an active trade, on command: by market orders, or by limit orders first. Source: rulings 12 and 17.

`limit_then_market`: each leg's limit order joins the best price of its own side. After `exit_timeout_seconds`, or once
the legs were unequal for `leg_out_ms` because one of them filled first, what is left is cancelled, and each leg whose
cancel is answered is closed at market. A fill that comes before the cancel arrives counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trading.domain.orders import Leg, Order, OrderType, Role
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import MICROSECONDS, ZERO
from trading.engine import timers
from trading.engine.balance import Balance
from trading.engine.markets import Market
from trading.engine.paper_exchange import PaperExchange
from trading.engine.portfolio import Portfolio
from trading.engine.sending import flattening_orders, joining_orders, levelling_orders
from trading.engine.timers import Timers


class Exits:
    """Sends the exits of trades that a command wants closed, and sees them through."""

    def __init__(
        self, clockwork: Timers, exchange: PaperExchange, balance: Balance, markets: Mapping[str, Market]
    ) -> None:
        self._timers = clockwork
        self._exchange = exchange
        self._balance = balance
        self._markets = markets

    def close(self, portfolio: Portfolio, trade_id: str, reason: str, now_us: int) -> bool:
        """Begins to close a trade; False, and nothing has changed, unless it is open and Active."""
        trade = portfolio.current(trade_id)
        if trade is None or trade.status is not TradeStatus.ACTIVE:
            return False
        joins = portfolio.strategy.exit_order == "limit_then_market"
        orders = (
            joining_orders(trade, self._markets, now_us)
            if joins
            else flattening_orders(trade, Role.EXIT, self._markets, now_us)
        )
        leaving = msgspec.structs.replace(trade.moved_to(TradeStatus.EXITING), exit_reason=reason)
        if not self._send(portfolio, leaving, orders, now_us):
            return False
        if any(order.order_type is OrderType.LIMIT for order in orders):
            self._watch(portfolio, trade_id, now_us)
        return True

    def watch_fill(self, portfolio: Portfolio, trade: Trade, filled: Order) -> None:
        """After a fill of an exit: one leg must not wait long for the other."""
        if trade.status is TradeStatus.EXITING and waiting_orders(trade):
            self._balance.filled(portfolio, trade, filled, self._give_up)

    def resolve(self, portfolio: Portfolio, trade_id: str, now_us: int) -> None:
        """Closes at market what an Exiting trade still holds on legs without an order or a cancel under way."""
        trade = portfolio.current(trade_id)
        if trade is None or trade.status is not TradeStatus.EXITING:
            return
        busy = {order.leg for order in trade.all_orders if order.is_pending or order.id in portfolio.cancelling}
        legs = [leg for leg in Leg if leg not in busy]
        self._send(portfolio, trade, levelling_orders(trade, legs, ZERO, Role.EXIT, self._markets, now_us), now_us)

    def take_up(self, portfolio: Portfolio, trade: Trade, now_us: int) -> None:
        """Goes on with an Exiting trade after a restart; its open orders were sent again."""
        orders = waiting_orders(trade)
        if orders:
            self._watch(portfolio, trade.id, min(order.created_us for order in orders))
        self.resolve(portfolio, trade.id, now_us)

    def _send(self, portfolio: Portfolio, trade: Trade, orders: list[Order], now_us: int) -> bool:
        if not orders or portfolio.put(msgspec.structs.replace(trade, orders=(*trade.orders, *orders)), now_us) is None:
            return False
        for order in orders:
            self._exchange.send(portfolio, trade.id, order, now_us)
        return True

    def _watch(self, portfolio: Portfolio, trade_id: str, sent_us: int) -> None:
        deadline_us = sent_us + int(portfolio.strategy.exit_timeout_seconds * MICROSECONDS)

        def expire(at_us: int) -> None:
            standing = portfolio.current(trade_id)
            if standing is not None:
                self._give_up(portfolio, standing, at_us)

        self._timers.at(deadline_us, timers.DECISION, f"{trade_id} exit", expire)

    def _give_up(self, portfolio: Portfolio, trade: Trade, at_us: int) -> None:
        """Cancels the limit orders of an exit; `resolve` follows when the venues have answered."""
        for order in waiting_orders(trade) if trade.status is TradeStatus.EXITING else ():
            self._exchange.cancel(portfolio, trade.id, order, at_us)


def waiting_orders(trade: Trade) -> list[Order]:
    """The limit orders of an exit that are still open."""
    return [o for o in trade.orders if o.is_pending and o.role is Role.EXIT and o.order_type is OrderType.LIMIT]
