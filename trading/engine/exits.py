"""Closing an active trade: two market orders, on command. Source: rulings 12 and 17."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trading.domain.orders import Role
from trading.domain.trades import TradeStatus
from trading.engine.markets import Market
from trading.engine.paper_exchange import PaperExchange
from trading.engine.portfolio import Portfolio
from trading.engine.sending import flattening_orders


class Exits:
    """Sends the exits of trades that a command wants closed."""

    def __init__(self, exchange: PaperExchange, markets: Mapping[str, Market]) -> None:
        self._exchange = exchange
        self._markets = markets

    def close(self, portfolio: Portfolio, trade_id: str, reason: str, now_us: int) -> bool:
        """Closes a trade at market; False, and nothing has changed, unless it is open and Active."""
        trade = portfolio.current(trade_id)
        if trade is None or trade.status is not TradeStatus.ACTIVE:
            return False
        orders = flattening_orders(trade, Role.EXIT, self._markets, now_us)
        leaving = msgspec.structs.replace(
            trade.moved_to(TradeStatus.EXITING), exit_reason=reason, orders=(*trade.orders, *orders)
        )
        if portfolio.put(leaving, now_us) is None:
            return False
        for order in orders:
            self._exchange.send(portfolio, trade_id, order, now_us)
        return True
