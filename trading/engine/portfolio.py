"""One portfolio at run time: its state, open trades and working orders, and the one way in which they change.

Invariants: every durable change is one `store.commit(Transition)`; memory changes only after it was written. A record
that somebody else moved stops the portfolio (`halted` says why) until it is loaded again; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from trading.domain.errors import ConservationBroken
from trading.domain.evidence import OrderFill, fill_between
from trading.domain.funding import FundingPayment, booked
from trading.domain.orders import Leg, Order, OrderStatus
from trading.domain.outcome import metrics_of, result_of
from trading.domain.pnl import fees_of
from trading.domain.portfolio import PortfolioState
from trading.domain.shadow import ShadowFill
from trading.domain.strategy import Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import ZERO
from trading.domain.witness import Witness
from trading.engine.funding_due import funding_due
from trading.engine.latency import Latency
from trading.engine.lifecycle import Cause, settled
from trading.engine.markets import Market
from trading.engine.witnesses import forget
from trading.engine.working import Working
from trading.stores.errors import StateMoved, StepConflict, StepRefused
from trading.stores.transition import Transition

ENGINE = "engine"
NOT_LOADED = "not loaded yet"
SWITCHED_OFF = "switched off before it began"  # such a portfolio does not exist yet, which is no trouble

Listener = Callable[[str, Trade | None, Trade], None]  # (prefix, before, after), after each transition
PairKey = tuple[str, str]  # instrument ids, long and short


class TransitionStore(Protocol):
    """Where a portfolio is kept; see `trading.stores.portfolio_store`."""

    def load(self) -> tuple[PortfolioState | None, dict[str, Trade]]:
        """State and open trades."""

    def create(self, state: PortfolioState, name: str = "") -> None:
        """Writes the first state of a portfolio, under this name."""

    def commit(self, transition: Transition) -> list[str]:
        """Writes one transition."""

    def checkpoint(self, trades: Iterable[Trade], progress: Mapping[str, Any]) -> None:
        """Writes queue progress."""

    def last_checkpoint(self) -> dict[str, Any] | None:
        """The progress written last."""


class Portfolio:
    """The portfolio of one strategy."""

    def __init__(
        self,
        strategy: Strategy,
        store: TransitionStore,
        markets: Mapping[str, Market],
        latency: Latency,
        listener: Listener = lambda prefix, before, after: None,
    ) -> None:
        self.strategy = strategy
        self.prefix = strategy.prefix
        self.store = store
        self.markets = markets
        self._latency = latency
        self.state = PortfolioState.new(strategy.starting_capital, 0, strategy.capital_mode)
        self.trades: dict[str, Trade] = {}
        self.working: dict[str, Working] = {}
        self.causes: dict[str, Cause] = {}
        self.followers: dict[str, Leg] = {}  # of entries in which one leg waits for the other's fills: that leg
        self.unequal_since_us: dict[str, int] = {}  # of trades whose legs hold different quantities
        self.cancelling: set[str] = set()  # orders whose cancel is not answered yet
        self.open_by_pair: dict[PairKey, int] = {}
        self.blocked_until_us: dict[PairKey, int] = {}
        self.witnesses: dict[str, Witness] = {}  # by order, while they watch
        self.left_behind: dict[str, Witness] = {}  # of an earlier run, by order
        self.finished: list[ShadowFill] = []  # to be written by the next step
        self.halted: str | None = NOT_LOADED
        self.entries_stopped: str | None = None  # a person or a broken invariant wants no new trades
        self._listener = listener

    def start(self, now_us: int) -> None:
        """Loads the portfolio, or creates it at its first run, and forgets what memory held before.

        One that never began and is switched off stays halted.
        """
        for working in self.working.values():
            working.leave_market()
        state, trades = self.store.load()
        if state is None and not self.strategy.enabled:
            self.halted = SWITCHED_OFF
            return
        if state is None:
            strategy = self.strategy
            state = PortfolioState.new(strategy.starting_capital, now_us, strategy.capital_mode)
            self.store.create(state, strategy.name)
        self.state = state
        self.trades = {trade.id: trade for trade in trades.values() if trade.origin == ENGINE and trade.is_open}
        self.working, self.causes, self.open_by_pair = {}, {}, {}
        forget(self, self.store.last_checkpoint())
        self.followers, self.unequal_since_us, self.cancelling = {}, {}, set()
        for trade in self.trades.values():
            self._count(trade, 1)
        self.entries_stopped = unaccounted(state, trades.values()) or other_capital(state, self.strategy)
        self.halted = None

    @property
    def trouble(self) -> str | None:
        """Why it does not trade though it is meant to; None when all is well."""
        return None if self.halted == SWITCHED_OFF else self.halted or self.entries_stopped

    def halt(self, reason: str) -> None:
        """Stops all work of this portfolio; its orders leave the markets."""
        self.halted = reason
        for working in self.working.values():
            working.leave_market()
        self.working.clear()

    def current(self, trade_id: str) -> Trade | None:
        """The open trade with what its working orders know already (acceptance, queue), or None."""
        trade = self.trades.get(trade_id)
        if trade is None or self.halted:
            return None
        for order in trade.all_orders:
            if order.is_pending and order.id in self.working:
                trade = trade.with_order(self.working[order.id].order)
        return trade

    def put(self, trade: Trade, at_us: int, funding: tuple[FundingPayment, ...] | None = None) -> Trade | None:
        """Moves a trade on and writes it with its portfolio, results and funding in one step: the payments given, else
        all that the trade is due.

        Returns the trade as written, in the state that its orders ask for, or None when the portfolio is halted now.
        Raises LeaseLost, RedisAway and, before anything is written, InsufficientCapital.
        """
        before = self.trades.get(trade.id)
        if funding is None:
            funding = funding_due(before, self.markets, at_us) if before else ()
        for paid in funding:
            trade = booked(trade, paid)
        trade = settled(trade, self.causes.get(trade.id), at_us)
        trade = msgspec.structs.replace(trade, version=before.version + 1 if before else 1)
        try:
            state = state_after(self.state, before, trade)
            self.store.commit(self._transition(before, trade, state, at_us, funding))
        except (ConservationBroken, StateMoved, StepConflict, StepRefused) as error:
            self.halt(str(error))
            return None
        self.state = state
        self.finished.clear()
        self._keep(before, trade)
        self._listener(self.prefix, before, trade)
        return trade

    def _transition(
        self,
        before: Trade | None,
        trade: Trade,
        state: PortfolioState,
        at_us: int,
        funding: tuple[FundingPayment, ...],
    ) -> Transition:
        changed = changed_orders(before, trade)
        return Transition(
            operation_id=f"{self.prefix}:{trade.id}:{trade.version}",
            at_us=at_us,
            state=None if state is self.state else state,
            trades=(trade,),
            results=tuple(result_of(trade, order) for order in changed),
            metrics=tuple(metrics_of(trade, order, self._transit_us(order)) for order in changed),
            funding=funding,
            fills=self._fills(before, trade),
            shadows=tuple(self.finished),
        )

    def _fills(self, before: Trade | None, trade: Trade) -> tuple[OrderFill, ...]:
        known = {order.id: order for order in before.all_orders} if before else {}
        found = []
        for order in trade.all_orders:
            working = self.working.get(order.id)
            if working is not None and order.filled_quantity:
                evidence = working.evidence(order)
                found.append(fill_between(trade.id, trade.version, known.get(order.id), order, evidence))
        return tuple(fill for fill in found if fill is not None)

    def write_finished(self, at_us: int) -> None:
        """Writes the shadows that no step has carried so far. Raises LeaseLost and RedisAway."""
        if self.finished and not self.halted:
            shadows = tuple(self.finished)
            last = shadows[-1]
            operation_id = f"{self.prefix}:shadows:{last.order_id}:{last.watched_until_us}"
            try:
                self.store.commit(Transition(operation_id=operation_id, at_us=at_us, shadows=shadows))
            except (StateMoved, StepConflict, StepRefused) as error:
                self.halt(str(error))
            else:
                self.finished.clear()

    def _transit_us(self, order: Order) -> int:
        venue = self.markets[order.instrument].venue
        return self._latency.order_us(venue, order.id) + self._latency.response_us(venue, order.id)

    @property
    def position_size_usd(self) -> Decimal:
        """What the next trade reserves; scaled by what is owned if the portfolio compounds."""
        return self.state.scaled(self.strategy.position_size_usd)

    def lot_step(self, trade_id: str) -> Decimal:
        """The coarser lot step of an open trade's legs, in base asset: what both can hold."""
        return max(self.markets[instrument].instrument.lot_step for instrument in pair_of(self.trades[trade_id]))

    def block(self, pair: PairKey, until_us: int) -> None:
        """No entries of a pair before `until_us`."""
        self.blocked_until_us[pair] = max(until_us, self.blocked_until_us.get(pair, 0))

    def _keep(self, before: Trade | None, trade: Trade) -> None:
        self.trades[trade.id] = trade
        if before is None:
            self._count(trade, 1)
        for order in trade.all_orders:
            working = self.working.get(order.id)
            if working is not None:
                working.order = order
                if not order.is_pending:
                    working.leave_market()
                    del self.working[order.id]
        if trade.status is not TradeStatus.PENDING:
            self.causes.pop(trade.id, None)
            self.followers.pop(trade.id, None)
        if trade.status is TradeStatus.ACTIVE or not trade.is_open:
            self.unequal_since_us.pop(trade.id, None)
        if not trade.is_open:
            del self.trades[trade.id]
            self._count(trade, -1)

    def _count(self, trade: Trade, change: int) -> None:
        pair = pair_of(trade)
        self.open_by_pair[pair] = self.open_by_pair.get(pair, 0) + change


def pair_of(trade: Trade) -> PairKey:
    """The instruments of a trade's legs."""
    return (trade.long_order.instrument, trade.short_order.instrument)


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


def state_after(state: PortfolioState, before: Trade | None, trade: Trade) -> PortfolioState:
    """The portfolio's state after a trade went from `before` to `trade`; the same object where nothing changes."""
    if before is None:
        state = state.opened(trade)
    if trade.leg_out is not None and (before is None or before.leg_out is None):
        state = state.legged_out(trade.leg_out.occurred_us, trade.leg_out.hedge_loss or ZERO)
    if trade.status is TradeStatus.CLOSED:
        state = state.closed(trade, fees_of(trade), trade.funding_long_usd + trade.funding_short_usd)
    return state


def changed_orders(before: Trade | None, trade: Trade) -> list[Order]:
    """The orders that ended in this transition, and those that it filled in part: each has a new result."""
    known = {order.id: (order.filled_quantity, order.status) for order in before.all_orders} if before else {}
    untouched = (ZERO, OrderStatus.PENDING)
    return [
        order for order in trade.all_orders if (order.filled_quantity, order.status) != known.get(order.id, untouched)
    ]
