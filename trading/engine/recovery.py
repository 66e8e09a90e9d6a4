"""After a restart on a live market: what happened in the gap is unknown and counts as nothing.

Entry orders of Pending trades are cancelled and a filled leg is hedged, with reason `restart`; exits and hedges that
were under way are sent again, and limit orders among them join the queue anew; Active trades go on. None of the orders
rests anywhere in the meantime, so that no print fills it.
"""

from __future__ import annotations

import msgspec

from trading.domain.orders import Role
from trading.domain.trades import ExitReason, Trade, TradeStatus
from trading.engine.exits import Exits
from trading.engine.leg_outs import LegOuts
from trading.engine.lifecycle import Cause
from trading.engine.paper_exchange import PaperExchange
from trading.engine.portfolio import Portfolio


class Recovery:
    """Takes up the open trades that a portfolio was loaded with."""

    def __init__(self, exchange: PaperExchange, leg_outs: LegOuts, exits: Exits) -> None:
        self._exchange = exchange
        self._leg_outs = leg_outs
        self._exits = exits

    def take_up(self, portfolio: Portfolio, now_us: int) -> None:
        """Goes on with every trade that is not simply Active."""
        for trade in tuple(portfolio.trades.values()):
            self._send_again(portfolio, trade, now_us)
            if trade.status is TradeStatus.PENDING:
                cause = Cause(ExitReason.RESTART, ExitReason.RESTART.value, now_us)
                self._leg_outs.call_off(portfolio, trade, cause)
            if trade.status is TradeStatus.EXITING:
                self._exits.take_up(portfolio, trade, now_us)

    def _send_again(self, portfolio: Portfolio, trade: Trade, now_us: int) -> None:
        for order in trade.orders:
            if order.is_pending and order.role is not Role.ENTRY:
                again = msgspec.structs.replace(order, accepted_us=None, queue=None)
                self._exchange.send(portfolio, trade.id, again, now_us)
                self._leg_outs.watch_completion(portfolio, trade, order, now_us)
