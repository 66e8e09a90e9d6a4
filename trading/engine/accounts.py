"""What a portfolio's state must be: that of its trades, of its settings, and of what was known of it before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Set

from trading.domain.errors import ConservationBroken
from trading.domain.orders import Order, OrderStatus
from trading.domain.pnl import fees_of
from trading.domain.portfolio import PortfolioState
from trading.domain.strategy import Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import ZERO

BEGINNING = ("starting_capital", "capital_mode", "started_us")


def unaccounted(state: PortfolioState, trades: Iterable[Trade]) -> str | None:
    """Why the open trades do not add up to what the state has reserved for them, or None. Source: ruling 22."""
    reserved = sum((trade.position_size_usd for trade in trades if trade.is_open), ZERO)
    if reserved == state.total_open_positions:
        return None
    return f"open trades hold {reserved} USD, the portfolio's state says {state.total_open_positions} USD"


def other_capital(state: PortfolioState, strategy: Strategy) -> str | None:
    """Why a portfolio that has begun does not suit the capital settings of its strategy, or None."""
    for name in ("capital_mode", "starting_capital"):
        begun, wanted = getattr(state, name), getattr(strategy, name)
        if begun != wanted:
            return f"strategy {strategy.prefix}: {name} is {wanted}, but the portfolio has begun with {begun}"
    return None


def departure(before: PortfolioState, now: PortfolioState, own: Set[str]) -> str | None:
    """Why the state cannot have come from `before` by steps of other shards, or None. `own` are our open trades."""
    for name in BEGINNING:
        was, is_now = getattr(before, name), getattr(now, name)
        if was != is_now:
            return f"{name} was {was}, is {is_now}"
    if now.version <= before.version:
        return f"version was {before.version}, is {now.version}"
    missing = sorted(own - set(now.active_trades))
    if missing:
        return f"trade {missing[0]} is open and the state does not have it"
    try:
        now.require_conserved()
    except ConservationBroken as error:
        return str(error)
    return None


def state_after(state: PortfolioState, before: Trade | None, trade: Trade, closed_kept: int) -> PortfolioState:
    """The portfolio's state after a trade went from `before` to `trade`; the same object where nothing changes.

    `closed_kept` is how many of the latest closed trades it lists (ruling 18).
    """
    if before is None:
        state = state.opened(trade)
    if trade.leg_out is not None and (before is None or before.leg_out is None):
        state = state.legged_out(trade.leg_out.occurred_us, trade.leg_out.hedge_loss or ZERO)
    if trade.status is TradeStatus.CLOSED:
        funding = trade.funding_long_usd + trade.funding_short_usd
        state = state.closed(trade, fees_of(trade), funding, closed_kept)
    return state


def changed_orders(before: Trade | None, trade: Trade) -> list[Order]:
    """The orders that ended in this transition, and those that it filled in part: each has a new result."""
    known = {order.id: (order.filled_quantity, order.status) for order in before.all_orders} if before else {}
    untouched = (ZERO, OrderStatus.PENDING)
    return [
        order for order in trade.all_orders if (order.filled_quantity, order.status) != known.get(order.id, untouched)
    ]
