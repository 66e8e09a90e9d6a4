"""A portfolio whose trades are opened and closed by the real store, step by step."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import msgspec
import redis

from results.stores.schema import TABLES
from trading.domain.evidence import fill_between
from trading.domain.instruments import Venue
from trading.domain.orders import Leg, Liquidity, Order, OrderStatus, OrderType, Role, Side
from trading.domain.outcome import metrics_of, result_of
from trading.domain.pnl import fees_of, terms_of
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Hedge, LegOut, Trade, TradeStatus
from trading.domain.units import MICROSECONDS
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Transition

START_US = 1_723_161_240_000_000  # 2024-08-08 23:54 UTC
VENUE = Venue("binance", Decimal("0.0002"), Decimal("0.0005"))
PREFIX = "strategy"
SIZE = Decimal("0.1")


class Portfolio:
    """One portfolio in Redis. Every method is one transition, at its own second."""

    def __init__(self, client: redis.Redis) -> None:
        self.store = PortfolioStore(client, PREFIX, Outbox(TABLES))
        self.state = PortfolioState.new(Decimal(100_000), START_US)
        self.store.create(self.state, "Both passive")
        self.at_us = START_US

    def opened(self, number: int, **changes: Any) -> Trade:
        """A trade, both legs filled: long at 40000, short at 40010."""
        trade = msgspec.structs.replace(_pending(number, self.at_us), **changes)
        self.state = self.state.opened(trade)
        self._commit(trade)
        for order in (trade.long_order, trade.short_order):
            trade = trade.with_order(filled(order, order.price, self.at_us))
        trade = msgspec.structs.replace(trade.moved_to(TradeStatus.ACTIVE), version=2)
        self._commit(trade, (trade.long_order, trade.short_order))
        return trade

    def closed(self, trade: Trade, long_exit: str = "40020", short_exit: str = "40005") -> Trade:
        """The trade, both legs closed at market at these prices."""
        trade = msgspec.structs.replace(trade.moved_to(TradeStatus.EXITING), version=trade.version + 1)
        orders = []
        for leg, price in ((Leg.LONG, long_exit), (Leg.SHORT, short_exit)):
            order = exit_of(trade, leg, self.at_us)
            orders.append(filled(order, Decimal(price), self.at_us, Liquidity.TAKER))
            trade = trade.with_order(orders[-1])
        trade = msgspec.structs.replace(
            trade.moved_to(TradeStatus.CLOSED),
            version=trade.version + 1,
            exit_us=self.at_us,
            exit_reason="profit_target",
        )
        trade = msgspec.structs.replace(trade, actual_profit_usd=terms_of(trade).net)
        self.state = self.state.closed(trade, fees_of(trade), Decimal(0))
        self._commit(trade, tuple(orders))
        return trade

    def legged_out(self, number: int) -> Trade:
        """A trade of which only the long leg was filled, unwound 10 below its price, closed."""
        trade = _pending(number, self.at_us)
        self.state = self.state.opened(trade)
        self._commit(trade)
        trade = trade.with_order(filled(trade.long_order, trade.long_order.price, self.at_us))
        cancelled = msgspec.structs.replace(
            trade.short_order, status=OrderStatus.CANCELLED, ended_us=self.at_us + MICROSECONDS
        )
        hedge = msgspec.structs.replace(exit_of(trade, Leg.LONG, self.at_us), role=Role.HEDGE)
        hedge = filled(hedge, Decimal(39_990), self.at_us, Liquidity.TAKER)
        loss = Decimal(10) * SIZE + hedge.fee
        out = LegOut(
            self.at_us, Leg.LONG, self.at_us, Decimal(40_000), Leg.SHORT, Hedge.UNWIND, "timeout_500ms",
            True, Decimal(39_990), loss,
        )  # fmt: skip
        trade = trade.with_order(cancelled).with_order(hedge)
        trade = msgspec.structs.replace(
            trade.moved_to(TradeStatus.CLOSED), version=2, exit_us=self.at_us, exit_reason="leg_out", leg_out=out
        )
        trade = msgspec.structs.replace(trade, actual_profit_usd=terms_of(trade).net)
        self.state = self.state.legged_out(self.at_us, loss).closed(trade, fees_of(trade), Decimal(0))
        self._commit(trade, (trade.long_order, cancelled, hedge))
        return trade

    def _commit(self, trade: Trade, orders: tuple[Order, ...] = ()) -> None:
        fills = (fill_between(trade.id, trade.version, None, order, None) for order in orders)
        self.store.commit(
            Transition(
                operation_id=f"{trade.id}:{trade.version}:{uuid.uuid4()}",
                at_us=self.at_us,
                state=self.state,
                trades=(trade,),
                results=tuple(result_of(trade, order) for order in orders),
                metrics=tuple(metrics_of(trade, order, 40_000) for order in orders),
                fills=tuple(fill for fill in fills if fill is not None),
            )
        )
        self.at_us += MICROSECONDS


def filled(order: Order, price: Decimal, at_us: int, liquidity: Liquidity = Liquidity.MAKER) -> Order:
    """The order, filled whole at a price; the fee is 2 bps for a maker and 5 for a taker."""
    rate = VENUE.maker_fee_rate if liquidity is Liquidity.MAKER else VENUE.taker_fee_rate
    return msgspec.structs.replace(
        order,
        status=OrderStatus.FILLED,
        accepted_us=order.created_us + 20_000,
        filled_us=at_us + 50_000,
        ended_us=at_us + 50_000,
        fill_price=price,
        filled_quantity=order.quantity,
        cash=-order.side.sign * price * order.quantity,
        fee=price * order.quantity * rate,
        liquidity=liquidity,
    )


def exit_of(trade: Trade, leg: Leg, at_us: int) -> Order:
    """A market order that closes a leg; the price asked for is that of the entry, moved by 20 and 5."""
    side, price = (Side.SELL, Decimal(40_020)) if leg is Leg.LONG else (Side.BUY, Decimal(40_005))
    entry = trade.entry_order(leg)
    return msgspec.structs.replace(
        entry,
        id=f"{entry.id}-out",
        role=Role.EXIT,
        side=side,
        order_type=OrderType.MARKET,
        price=price,
        created_us=at_us,
        status=OrderStatus.PENDING,
        filled_quantity=Decimal(0),
        cash=Decimal(0),
        fee=Decimal(0),
        fill_price=None,
        filled_us=None,
        ended_us=None,
        accepted_us=None,
        liquidity=None,
    )


def _pending(number: int, at_us: int) -> Trade:
    return pending_named(str(uuid.uuid5(uuid.NAMESPACE_URL, f"trade {number}")), at_us)


def pending_named(trade_id: str, at_us: int, symbol: str = "BTCUSDT") -> Trade:
    """A trade of this id that waits for both fills."""
    legs = {Leg.LONG: ("binance", Side.BUY, "40000"), Leg.SHORT: ("bybit", Side.SELL, "40010")}
    long, short = (
        Order(
            f"{trade_id}-{leg.value}", venue, symbol, leg, Role.ENTRY, side, OrderType.LIMIT, Decimal(price), SIZE,
            at_us,
        )
        for leg, (venue, side, price) in legs.items()
    )  # fmt: skip
    return Trade(
        id=trade_id,
        portfolio=PREFIX,
        symbol=symbol,
        long_exchange="binance",
        short_exchange="bybit",
        entry_us=at_us,
        entry_long_price=Decimal(40_000),
        entry_short_price=Decimal(40_010),
        entry_spread_bps=Decimal("2.499687539058"),
        position_size_usd=Decimal(5_000),
        quantity=SIZE,
        funding_delta_entry=Decimal("0.0001"),
        projected_profit_usd=Decimal(1),
        long_order=long,
        short_order=short,
    )
