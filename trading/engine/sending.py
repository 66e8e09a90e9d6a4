"""Orders as they are sent: the entry's limit orders, and the market orders of exits and hedges."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trading.domain.instruments import Instrument
from trading.domain.orders import Leg, Order, OrderType, Role, Side
from trading.domain.trades import Trade
from trading.engine import identity
from trading.engine.markets import Market

ENTRY_SIDE = {Leg.LONG: Side.BUY, Leg.SHORT: Side.SELL}


def opposite(side: Side) -> Side:
    """The other side; also the side of the book that an order takes from."""
    return Side.SELL if side is Side.BUY else Side.BUY


def entry_order(
    trade_id: str, leg: Leg, instrument: Instrument, price: Decimal, quantity: Decimal, now_us: int
) -> Order:
    """A limit order that opens a leg."""
    return Order(
        id=identity.entry_order_id(trade_id, leg),
        exchange=instrument.venue,
        symbol=instrument.symbol,
        leg=leg,
        role=Role.ENTRY,
        side=ENTRY_SIDE[leg],
        order_type=OrderType.LIMIT,
        price=price,
        quantity=quantity,
        created_us=now_us,
    )


def market_order(
    trade: Trade, leg: Leg, role: Role, side: Side, quantity: Decimal, market: Market, now_us: int, offset: int = 0
) -> Order:
    """A market order on a leg; its price is the touch when it is sent, what the strategy asks for."""
    entry = trade.entry_order(leg)
    touch = market.book.best_ask if side is Side.BUY else market.book.best_bid
    return Order(
        id=identity.next_order_id(trade, leg, role, offset),
        exchange=entry.exchange,
        symbol=entry.symbol,
        leg=leg,
        role=role,
        side=side,
        order_type=OrderType.MARKET,
        price=entry.price if touch is None else touch,
        quantity=quantity,
        created_us=now_us,
    )


def flattening_orders(trade: Trade, role: Role, markets: Mapping[str, Market], now_us: int) -> list[Order]:
    """Market orders that close every leg that holds something, the larger position first."""
    legs = sorted((leg for leg in Leg if trade.position(leg)), key=lambda leg: -abs(trade.position(leg)))
    return [
        market_order(
            trade,
            leg,
            role,
            Side.SELL if trade.position(leg) > 0 else Side.BUY,
            abs(trade.position(leg)),
            markets[trade.entry_order(leg).instrument],
            now_us,
            offset,
        )
        for offset, leg in enumerate(legs)
    ]
