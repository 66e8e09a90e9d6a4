"""What must always be so in Redis: the documents' four guarantees, and ours on top. Pure checks over a view.

A violation names the rule, the key and the values that break it. Sources: redis-schema "Consistency Guarantees",
rulings 11, 12, 15, 16, 18 and 21.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from results.pipeline.invariants.view import PortfolioView
from trading.domain.metrics import PortfolioMetrics, portfolio_metrics
from trading.domain.pnl import residual_tolerance, terms_of
from trading.domain.portfolio import CLOSED_TRADES_KEPT_MAX, PortfolioState
from trading.domain.trades import TradeStatus
from trading.domain.units import ZERO, plain, text_of
from trading.stores.wire.trade import FOREIGN


class Violation(msgspec.Struct, frozen=True):
    """One rule that does not hold, where, and why."""

    rule: str
    key: str
    sentence: str


Violations = Iterator[Violation]


def violations_of(view: PortfolioView) -> list[Violation]:
    """Every rule that the portfolio breaks."""
    found = [Violation("readable", key, sentence) for key, sentence in view.unreadable.items()]
    if not view.is_steady:
        found.append(Violation("steady", view.keys.state, "the portfolio moved during every look at it"))
    if view.state is None:
        if view.keys.state not in view.unreadable and (view.open_trades or view.closed_trades):
            found.append(Violation("state", view.keys.state, "there are trades, but no portfolio state"))
        return found
    for check in CHECKS:
        found += check(view, view.state)
    return found


def capital_is_conserved(view: PortfolioView, state: PortfolioState) -> Violations:
    """Guarantee 1, exactly. Source: ruling 16."""
    sizes = sum((trade.position_size_usd for trade in view.open_trades.values()), ZERO)
    owned = state.starting_capital + (state.cumulative_pnl if state.capital_mode == "compounding" else ZERO)
    if state.available_capital + sizes != owned:
        yield Violation(
            "capital conservation",
            view.keys.state,
            f"available {shown(state.available_capital)} + open trades {shown(sizes)} = "
            f"{shown(state.available_capital + sizes)}, not {shown(owned)} USD",
        )
    if state.total_open_positions != sizes:
        yield Violation(
            "open positions",
            view.keys.state,
            f"total_open_positions is {shown(state.total_open_positions)}, the open trades have {shown(sizes)} USD",
        )


def trades_are_unique(view: PortfolioView, state: PortfolioState) -> Violations:
    """Guarantee 2: a trade is open or closed, never both, and listed once."""
    for trade_id in sorted(view.open_trades.keys() & view.closed_trades.keys()):
        yield Violation(
            "trade uniqueness", view.keys.active_trade(trade_id), f"trade {trade_id} is both open and closed"
        )
    for name, ids in (("active_trades", state.active_trades), ("closed_trades", state.closed_trades)):
        for trade_id in sorted({each for each in ids if ids.count(each) > 1}):
            yield Violation("trade uniqueness", view.keys.state, f"{name} lists {trade_id} more than once")
    for trade_id in sorted(set(state.active_trades) & set(state.closed_trades)):
        yield Violation("trade uniqueness", view.keys.state, f"{trade_id} is in active_trades and in closed_trades")
    for trade_id, trade in {**view.open_trades, **view.closed_trades}.items():
        if trade.id != trade_id:
            key = view.keys.active_trade(trade_id) if trade.is_open else view.keys.closed_trade(trade_id)
            yield Violation("trade uniqueness", key, f"the record's id is {trade.id!r}, the key's {trade_id!r}")


def metrics_are_accurate(view: PortfolioView, state: PortfolioState) -> Violations:
    """Guarantees 3 and 4: the metrics are those of the state."""
    if view.metrics is None:
        yield Violation("metrics accuracy", view.keys.metrics, "there is a state, but no portfolio_metrics")
        return
    expected = portfolio_metrics(state, view.metrics.timestamp_us)
    for name in PortfolioMetrics.__struct_fields__:
        told, should = getattr(view.metrics, name), getattr(expected, name)
        if told != should:
            yield Violation(
                "metrics accuracy", view.keys.metrics, f"{name} is {shown(told)}, by the state it is {shown(should)}"
            )


def lists_agree(view: PortfolioView, state: PortfolioState) -> Violations:
    """The set of active trades, the keys of open trades and the state's list name the same trades."""
    places = {
        view.keys.active_trades: view.listed,
        view.keys.active_pattern: set(view.open_trades),
        view.keys.state: set(state.active_trades),
    }
    everywhere = set[str]().union(*places.values())
    for key, ids in places.items():
        for trade_id in sorted(everywhere - ids):
            yield Violation("active trades", key, f"open trade {trade_id} is not there, but is in another list")


def closed_trades_are_kept(view: PortfolioView, state: PortfolioState) -> Violations:
    """Every closed trade is in the index at its exit time, and the state's list names the latest. Source: ruling 18."""
    ours = {trade_id: trade for trade_id, trade in view.closed_trades.items() if trade.origin != FOREIGN}
    for trade_id in sorted(ours.keys() - view.closed_index.keys()):
        yield Violation("closed trades", view.keys.closed_index, f"closed trade {trade_id} is not in the index")
    for trade_id in sorted(view.closed_index.keys() - view.closed_trades.keys()):
        yield Violation("closed trades", view.keys.closed_trade(trade_id), f"the index has {trade_id}, no record has")
    for trade_id in sorted(set(state.closed_trades) - view.closed_trades.keys()):
        yield Violation("closed trades", view.keys.closed_trade(trade_id), f"the state lists {trade_id}, no record has")
    for trade_id in sorted(view.archived_ids & view.closed_trades.keys()):
        yield Violation("closed trades", view.keys.archived_index, f"archived trade {trade_id} has a record")
    if len(view.archived_ids) != view.archived.trades:
        yield Violation(
            "closed trades",
            view.keys.archived,
            f"it counts {view.archived.trades} archived trades, the index has {len(view.archived_ids)}",
        )
    if len(state.closed_trades) > CLOSED_TRADES_KEPT_MAX:
        yield Violation("closed trades", view.keys.state, f"{len(state.closed_trades)} closed trades are listed")
    for trade_id, times in Counter(state.closed_trades).items():
        if times > 1:
            yield Violation("closed trades", view.keys.state, f"closed trade {trade_id} is listed {times} times")


def states_are_legal(view: PortfolioView, _state: PortfolioState) -> Violations:
    """An open key holds an open trade, a closed key a closed one with its exit and flat legs. Source: ruling 12."""
    for trade_id, trade in view.open_trades.items():
        if not trade.is_open:
            yield Violation("legal states", view.keys.active_trade(trade_id), f"status is {trade.status}")
    for trade_id, trade in view.closed_trades.items():
        key = view.keys.closed_trade(trade_id)
        if trade.status is not TradeStatus.CLOSED:
            yield Violation("legal states", key, f"status is {trade.status}")
        elif trade.exit_us is None or not trade.exit_reason or trade.actual_profit_usd is None:
            yield Violation("legal states", key, "a closed trade lacks exit_time, exit_reason or actual_profit_usd")
        pending = [order.id for order in trade.all_orders if order.is_pending]
        if pending and trade.origin != FOREIGN:
            yield Violation("legal states", key, f"orders of a closed trade are pending: {', '.join(pending)}")


def profits_add_up(view: PortfolioView, state: PortfolioState) -> Violations:
    """Each closed trade's net is its cash, funding and fees; the state's figures are their sums. Source: ruling 15."""
    ours = {trade_id: trade for trade_id, trade in view.closed_trades.items() if trade.origin != FOREIGN}
    for trade_id, trade in ours.items():
        key, terms, allowed = view.keys.closed_trade(trade_id), terms_of(trade), residual_tolerance(trade)
        net = trade.actual_profit_usd
        if net is not None and net != terms.net:
            yield Violation(
                "P&L identity", key, f"actual_profit_usd is {shown(net)}, the fills come to {shown(terms.net)}"
            )
        if abs(terms.residual) > allowed:
            yield Violation(
                "P&L identity", key, f"the residual is {shown(terms.residual)}, rounding explains {shown(allowed)}"
            )
    counted = [trade for trade in ours.values() if any(order.filled_quantity for order in trade.all_orders)]
    nets = [trade.actual_profit_usd or ZERO for trade in counted]
    gone = view.archived
    figures: dict[str, tuple[Decimal | int, Decimal | int]] = {
        "cumulative_pnl": (state.cumulative_pnl, sum(nets, gone.net_usd)),
        "total_trades": (state.total_trades, len(counted) + gone.counted),
        "win_count": (state.win_count, sum(net > 0 for net in nets) + gone.wins),
        "loss_count": (state.loss_count, sum(net < 0 for net in nets) + gone.losses),
    }
    for name, (told, should) in figures.items():
        if told != should:
            yield Violation(
                "P&L identity", view.keys.state, f"{name} is {shown(told)}, the closed trades come to {shown(should)}"
            )


def leg_outs_agree(view: PortfolioView, state: PortfolioState) -> Violations:
    """Each leg-out is one event of the list and one of its trade; count and loss are the state's. Source: ruling 11."""
    trades = {**view.closed_trades, **view.open_trades}
    of_trades = {trade_id: trade.leg_out for trade_id, trade in trades.items() if trade.leg_out}
    listed = [trade_id for trade_id, _ in view.leg_outs]
    key = view.keys.leg_out_events
    for trade_id in sorted(of_trades.keys() - set(listed)):
        yield Violation("leg-out events", key, f"trade {trade_id} has a leg-out that is not in the list")
    for told, event in view.leg_outs:
        known = of_trades.get(told or "")
        if known is None and told in view.archived_ids:
            continue
        if known is None:
            yield Violation("leg-out events", key, f"an event names trade {told}, which has no leg-out")
        elif event != known:
            yield Violation("leg-out events", key, f"the event of trade {told} is not the one in the trade's record")
    for told in sorted({each or "" for each in listed if listed.count(each) > 1}):
        yield Violation("leg-out events", key, f"trade {told} is in the list more than once")
    loss = sum((event.hedge_loss or ZERO for event in of_trades.values()), view.archived.leg_out_loss_usd)
    count = len(of_trades) + view.archived.leg_outs
    if state.leg_out_count != count:
        yield Violation(
            "leg-out events", view.keys.state, f"leg_out_count is {state.leg_out_count}, trades have {count}"
        )
    if state.leg_out_total_loss != loss:
        yield Violation(
            "leg-out events",
            view.keys.state,
            f"leg_out_total_loss is {shown(state.leg_out_total_loss)}, the hedges lost {shown(loss)}",
        )


CHECKS: tuple[Callable[[PortfolioView, PortfolioState], Violations], ...] = (
    capital_is_conserved,
    trades_are_unique,
    metrics_are_accurate,
    lists_agree,
    closed_trades_are_kept,
    states_are_legal,
    profits_add_up,
    leg_outs_agree,
)


def shown(value: object) -> str:
    """A value in a violation's sentence."""
    return text_of(plain(value)) if isinstance(value, Decimal) else str(value)
