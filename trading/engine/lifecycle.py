"""How a trade moves on when one of its orders has ended. Pure: a trade in, its next version out.

A Pending trade becomes Active when its legs are equal and Closed when they are flat, and not before all its orders
have ended (ruling 11); an Exiting one closes when it is flat. A hedge makes the leg-out event, once it is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from trading.domain.leg_out import completion_loss, unwind_loss
from trading.domain.orders import Leg, Order, Role
from trading.domain.pnl import cash_of, orders_of, terms_of
from trading.domain.spread import spread_bps
from trading.domain.trades import ExitReason, Hedge, LegOut, Trade, TradeStatus
from trading.domain.units import ZERO, round12

replace = msgspec.structs.replace


class Cause(msgspec.Struct, frozen=True):
    """Why the entry orders of a trade were called off: the exit reason if it ends so, the leg-out's reason text."""

    exit_reason: ExitReason
    text: str
    at_us: int


def settled(trade: Trade, cause: Cause | None, at_us: int) -> Trade:
    """The trade in the state that its orders' fills ask for; the same trade while it has to wait."""
    if trade.status not in (TradeStatus.PENDING, TradeStatus.EXITING) or has_pending(trade):
        return trade
    bought, sold = trade.position(Leg.LONG), -trade.position(Leg.SHORT)
    if bought != sold:
        return trade
    if trade.status is TradeStatus.EXITING:
        return trade if bought else closed(trade, trade.exit_reason, at_us)
    if cause is not None and hedges_of(trade):
        trade = replace(trade, leg_out=leg_out_of(trade, cause))
    if bought:
        return activated(trade, bought)
    return closed(trade, closing_reason(trade, cause), at_us)


def has_pending(trade: Trade) -> bool:
    """Whether any of its orders may still be filled."""
    return any(order.is_pending for order in trade.all_orders)


def is_unequal(trade: Trade) -> bool:
    """Whether its legs hold different quantities: a risk that nothing hedges."""
    return trade.position(Leg.LONG) != -trade.position(Leg.SHORT)


def hedges_of(trade: Trade) -> list[Order]:
    """Its hedge orders, in the order in which they were sent."""
    return [order for order in trade.orders if order.role is Role.HEDGE]


def hedge_kind(trade: Trade) -> Hedge:
    """What its first hedge order set out to do: it completes if it is on the side of its leg's entry."""
    first = hedges_of(trade)[0]
    return Hedge.COMPLETE if first.side is trade.entry_order(first.leg).side else Hedge.UNWIND


def activated(trade: Trade, quantity: Decimal) -> Trade:
    """The trade with equal legs of `quantity`, its entry prices and spread those of the fills (ruling 6)."""
    long_price, short_price = opening_price(trade, Leg.LONG), opening_price(trade, Leg.SHORT)
    return replace(
        trade.moved_to(TradeStatus.ACTIVE),
        quantity=quantity,
        entry_long_price=long_price,
        entry_short_price=short_price,
        entry_spread_bps=spread_bps(long_price, short_price),
    )


def closed(trade: Trade, reason: str | None, at_us: int) -> Trade:
    """The flat trade, closed, with its realised net."""
    net = terms_of(trade).net
    return replace(trade.moved_to(TradeStatus.CLOSED), exit_reason=reason, exit_us=at_us, actual_profit_usd=net)


def closing_reason(trade: Trade, cause: Cause | None) -> str | None:
    """A trade whose fills were unwound was legged out, also when the entry timeout called the orders off."""
    if cause is None:
        return None
    legged_out = cause.exit_reason is ExitReason.ENTRY_TIMEOUT and any(o.filled_quantity for o in trade.all_orders)
    return (ExitReason.LEG_OUT if legged_out else cause.exit_reason).value


def opening_price(trade: Trade, leg: Leg) -> Decimal:
    """The average price at which a leg was opened, entry and completing hedge together."""
    side = trade.entry_order(leg).side
    price = average_price([order for order in orders_of(trade, leg) if order.side is side])
    assert price is not None, f"leg {leg} of trade {trade.id} was never opened"
    return price


def average_price(orders: Sequence[Order]) -> Decimal | None:
    """The average price over the fills of orders of one side, None if nothing was filled."""
    quantity = sum((order.filled_quantity for order in orders), ZERO)
    return round12(abs(cash_of(orders)) / quantity) if quantity else None


def leg_out_of(trade: Trade, cause: Cause) -> LegOut:
    """The event of a hedge that is complete, with what it lost (ruling 11)."""
    kind = hedge_kind(trade)
    first = hedges_of(trade)[0]
    filled_leg = first.leg.other if kind is Hedge.COMPLETE else first.leg
    filled = trade.entry_order(filled_leg)
    return LegOut(
        occurred_us=cause.at_us,
        filled_leg=filled_leg,
        filled_us=filled.filled_us or cause.at_us,
        filled_price=average_price([o for o in orders_of(trade, filled_leg) if o.role is Role.ENTRY]) or filled.price,
        unfilled_leg=filled_leg.other,
        hedge=kind,
        reason=cause.text,
        hedge_executed=True,
        hedge_price=hedge_price(trade),
        hedge_loss=sum((hedge_loss(trade, order) for order in hedges_of(trade) if order.filled_quantity), ZERO),
    )


def hedge_price(trade: Trade) -> Decimal | None:
    """The average price of the hedge: of the first hedge order that found something, and of those that went on with
    its work on the same leg and side."""
    working = [order for order in hedges_of(trade) if order.filled_quantity]
    return average_price([o for o in working if (o.leg, o.side) == (working[0].leg, working[0].side)])


def hedge_loss(trade: Trade, order: Order) -> Decimal:
    """What one hedge order lost: of a completion against the missing leg's limit, of an unwind against the fill."""
    entry = trade.entry_order(order.leg)
    paid = order.fill_price or ZERO
    if order.side is entry.side:
        return completion_loss(order.leg, entry.price, paid, order.filled_quantity, order.fee)
    return unwind_loss(order.leg, opening_price(trade, order.leg), paid, order.filled_quantity, order.fee)
