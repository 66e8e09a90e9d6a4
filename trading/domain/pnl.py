"""Profit and loss of a trade. Source: ruling 15.

The net is the signed cash of all fills, plus funding, minus fees. Its terms are computed separately from the stored
(rounded) averages; `residual` is the net minus their sum and is zero up to the declared rounding of the averages.
All amounts are in quote asset (USD); fees are a cost when positive.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from trading.domain.orders import Leg, Order, Role
from trading.domain.trades import Trade
from trading.domain.units import ZERO, round12

HALF_QUANTUM = Decimal("5E-13")


class PnlTerms(msgspec.Struct, frozen=True):
    """A closed trade's P&L and its terms."""

    price_long: Decimal
    price_short: Decimal
    funding_long: Decimal
    funding_short: Decimal
    fees: Decimal
    hedge_fees: Decimal
    net: Decimal
    residual: Decimal

    @property
    def sum_of_terms(self) -> Decimal:
        """What the net should be."""
        return self.price_long + self.price_short + self.funding_long + self.funding_short - self.fees


def orders_of(trade: Trade, leg: Leg) -> list[Order]:
    """The orders of a leg that were filled at least in part."""
    return [order for order in trade.all_orders if order.leg is leg and order.filled_quantity]


def cash_of(orders: Iterable[Order]) -> Decimal:
    """The exact signed cash of the orders' fills; positive is received."""
    return sum((order.cash for order in orders), ZERO)


def price_pnl(trade: Trade, leg: Leg) -> Decimal:
    """A flat leg's P&L from its stored average prices, before fees and funding, rounded to 12 decimals."""
    return round12(
        sum((-o.side.sign * (o.fill_price or ZERO) * o.filled_quantity for o in orders_of(trade, leg)), ZERO)
    )


def fees_of(trade: Trade) -> Decimal:
    """The sum of the trade's order fees so far."""
    return sum((order.fee for order in trade.all_orders), ZERO)


def hedge_fees_of(trade: Trade) -> Decimal:
    """The part of the fees that hedge orders paid."""
    return sum((order.fee for order in trade.all_orders if order.role is Role.HEDGE), ZERO)


def terms_of(trade: Trade) -> PnlTerms:
    """The P&L terms of a trade whose legs are flat."""
    fees = fees_of(trade)
    funding = trade.funding_long_usd + trade.funding_short_usd
    net = round12(cash_of(trade.all_orders) + funding - fees)
    terms = PnlTerms(
        price_long=price_pnl(trade, Leg.LONG),
        price_short=price_pnl(trade, Leg.SHORT),
        funding_long=trade.funding_long_usd,
        funding_short=trade.funding_short_usd,
        fees=fees,
        hedge_fees=hedge_fees_of(trade),
        net=net,
        residual=ZERO,
    )
    return msgspec.structs.replace(terms, residual=round12(net - terms.sum_of_terms))


def residual_tolerance(trade: Trade) -> Decimal:
    """The largest residual that rounding can explain in a trade, USD."""
    return residual_rounding(sum((order.filled_quantity for order in trade.all_orders), ZERO))


def residual_rounding(quantities: Decimal) -> Decimal:
    """The same of what all orders filled together: half a quantum per unit of each average, and per rounding."""
    return HALF_QUANTUM * (quantities + 4)


def exit_price(trade: Trade, leg: Leg) -> Decimal | None:
    """The average price at which a leg was closed, or None if it was not."""
    entry_side = trade.entry_order(leg).side
    closing = [order for order in orders_of(trade, leg) if order.side is not entry_side]
    quantity = sum((order.filled_quantity for order in closing), ZERO)
    return round12(abs(cash_of(closing)) / quantity) if quantity else None


def order_pnl(trade: Trade, order: Order) -> Decimal:
    """The price P&L that an order realised on its leg, before fees; 0 for one that opened it. Source: ruling 23."""
    entry_side = trade.entry_order(order.leg).side
    if order.side is entry_side or not order.filled_quantity:
        return ZERO
    opening = [other for other in orders_of(trade, order.leg) if other.side is entry_side]
    quantity = sum((other.filled_quantity for other in opening), ZERO)
    if not quantity:
        return ZERO
    opened_at = abs(cash_of(opening)) / quantity
    closed_at = abs(order.cash) / order.filled_quantity
    return round12(entry_side.sign * (closed_at - opened_at) * order.filled_quantity)


def unrealised_net(
    trade: Trade, long_bid: Decimal, short_ask: Decimal, long_taker_rate: Decimal, short_taker_rate: Decimal
) -> Decimal:
    """What closing now would leave: fills so far, the open legs at bid and ask, funding booked, minus the fees
    paid and the estimated fees of the exit. Source: ruling 12."""
    long_held, short_held = trade.position(Leg.LONG), trade.position(Leg.SHORT)
    value = long_held * long_bid + short_held * short_ask
    exit_fees = abs(long_held) * long_bid * long_taker_rate + abs(short_held) * short_ask * short_taker_rate
    funding = trade.funding_long_usd + trade.funding_short_usd
    return round12(cash_of(trade.all_orders) + value + funding - fees_of(trade) - exit_fees)
