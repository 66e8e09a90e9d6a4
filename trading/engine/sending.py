"""Orders as they are sent: those of entries, exits and hedges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from trading.domain.instruments import Instrument
from trading.domain.orders import Leg, Order, OrderType, Role, Side
from trading.domain.trades import Trade
from trading.domain.units import ZERO
from trading.engine import identity
from trading.engine.markets import Market

ENTRY_SIDE = {Leg.LONG: Side.BUY, Leg.SHORT: Side.SELL}


def opposite(side: Side) -> Side:
    """The other side; also the side of the book that an order takes from."""
    return Side.SELL if side is Side.BUY else Side.BUY


def entry_order(
    trade_id: str,
    leg: Leg,
    instrument: Instrument,
    order_type: OrderType,
    price: Decimal,
    quantity: Decimal,
    now_us: int,
) -> Order:
    """The order that opens a leg."""
    return Order(
        id=identity.entry_order_id(trade_id, leg),
        exchange=instrument.venue,
        symbol=instrument.symbol,
        leg=leg,
        role=Role.ENTRY,
        side=ENTRY_SIDE[leg],
        order_type=order_type,
        price=price,
        quantity=quantity,
        created_us=now_us,
    )


def market_order(
    trade: Trade, leg: Leg, role: Role, side: Side, quantity: Decimal, market: Market, now_us: int, offset: int = 0
) -> Order:
    """A market order on a leg; its price is the touch when it is sent, what the strategy asks for."""
    entry = trade.entry_order(leg)
    return Order(
        id=identity.next_order_id(trade, leg, role, offset),
        exchange=entry.exchange,
        symbol=entry.symbol,
        leg=leg,
        role=role,
        side=side,
        order_type=OrderType.MARKET,
        price=touch(market, side) or entry.price,
        quantity=quantity,
        created_us=now_us,
    )


def touch(market: Market, side: Side) -> Decimal | None:
    """The price at which a taker would begin: the ask for a buy; None if that side of the book is empty."""
    return market.book.best_ask if side is Side.BUY else market.book.best_bid


def flattening_orders(trade: Trade, role: Role, markets: Mapping[str, Market], now_us: int) -> list[Order]:
    """Market orders that close every leg that holds something, the larger position first."""
    legs = sorted((leg for leg in Leg if trade.position(leg)), key=lambda leg: -abs(trade.position(leg)))
    return levelling_orders(trade, legs, ZERO, role, markets, now_us)


def levelling_orders(
    trade: Trade, legs: Sequence[Leg], target: Decimal, role: Role, markets: Mapping[str, Market], now_us: int
) -> list[Order]:
    """Market orders after which each of the legs holds `target` base units, in the order of the legs."""
    orders: list[Order] = []
    for leg in legs:
        entry, missing = trade.entry_order(leg), target - abs(trade.position(leg))
        if missing:
            side = entry.side if missing > 0 else opposite(entry.side)
            market = markets[entry.instrument]
            orders.append(market_order(trade, leg, role, side, abs(missing), market, now_us, len(orders)))
    return orders


def joining_orders(trade: Trade, markets: Mapping[str, Market], now_us: int) -> list[Order]:
    """Exit orders that join the best price of their own side; a market order where the book cannot be trusted."""
    orders = []
    for order in flattening_orders(trade, Role.EXIT, markets, now_us):
        market = markets[order.instrument]
        price = touch(market, opposite(order.side))
        if price is not None and market.book.state(now_us) == "ok":
            order = msgspec.structs.replace(order, order_type=OrderType.LIMIT, price=price)
        orders.append(order)
    return orders
