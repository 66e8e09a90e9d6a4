"""One portfolio at run time: its state, open trades and working orders, and the one way in which they change.

Invariants: every durable change is one `store.commit(Transition)`; memory changes only after it was written. A record
that somebody else moved stops the portfolio (`halted` says why) until it is loaded again; nothing is guessed. The state
alone may be moved by other engine shards (`sharing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from trading.domain.errors import ConservationBroken, PortfolioFull
from trading.domain.evidence import OrderFill, fill_between
from trading.domain.funding import FundingPayment, booked
from trading.domain.orders import Leg, Order
from trading.domain.outcome import metrics_of, result_of
from trading.domain.portfolio import PortfolioState
from trading.domain.shadow import ShadowFill
from trading.domain.strategy import Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.domain.witness import Witness
from trading.engine.accounts import changed_orders, departure, other_capital, state_after, unaccounted
from trading.engine.funding_due import funding_due
from trading.engine.latency import Latency
from trading.engine.lifecycle import Cause, settled
from trading.engine.markets import Market
from trading.engine.sharing import ATTEMPTS_MAX, Share
from trading.engine.witnesses import forget
from trading.engine.working import Working
from trading.stores.errors import PortfolioMoved, StateMoved, StepConflict, StepRefused
from trading.stores.transition import Transition, TransitionStore

ENGINE = "engine"
NOT_LOADED = "not loaded yet"
SWITCHED_OFF = "switched off before it began"  # such a portfolio does not exist yet, which is no trouble

Listener = Callable[[str, Trade | None, Trade], None]  # (prefix, before, after), after each transition
PairKey = tuple[str, str]  # instrument ids, long and short


class Portfolio:
    """The portfolio of one strategy, with the trades that are this engine's."""

    def __init__(
        self,
        strategy: Strategy,
        store: TransitionStore,
        markets: Mapping[str, Market],
        latency: Latency,
        share: Share,
        listener: Listener = lambda prefix, before, after: None,
    ) -> None:
        self.strategy = strategy
        self.prefix = strategy.prefix
        self.store = store
        self.markets = markets
        self.share = share
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
        self.cut_off: list[ShadowFill] = []  # of an earlier run, to be written with the next checkpoint
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
            state, trades = self._begun(now_us)
        self.state = state
        self.trades = {
            trade.id: trade
            for trade in trades.values()
            if trade.origin == ENGINE and trade.is_open and self.share.has(trade)
        }
        self.working, self.causes, self.open_by_pair = {}, {}, {}
        forget(self, self.store.witnesses())
        self.followers, self.unequal_since_us, self.cancelling = {}, {}, set()
        for trade in self.trades.values():
            self._count(trade, 1)
        self.entries_stopped = (
            self.store.held_for() or unaccounted(state, trades.values()) or other_capital(state, self.strategy)
        )
        self.halted = None

    def _begun(self, now_us: int) -> tuple[PortfolioState, dict[str, Trade]]:
        """The portfolio's first state, which another engine shard may write at the same instant."""
        strategy = self.strategy
        first = PortfolioState.new(strategy.starting_capital, now_us, strategy.capital_mode)
        try:
            self.store.create(first, strategy.name)
        except StepConflict:
            state, trades = self.store.load()
            if state is None:
                raise
            return state, trades
        return first, {}

    @property
    def trouble(self) -> str | None:
        """Why it does not trade though it is meant to; None when all is well."""
        return None if self.halted == SWITCHED_OFF else self.halted or self.entries_stopped

    def hold(self, reason: str) -> None:
        """Opens no trades for this reason until it is called with none. What is open goes on. Source: ruling 22."""
        if not self.halted:
            self.entries_stopped = reason or other_capital(self.state, self.strategy)

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
        Raises LeaseLost, RedisAway and, before anything is written, InsufficientCapital and PortfolioFull.
        """
        before = self.trades.get(trade.id)
        if funding is None:
            funding = funding_due(before, self.markets, at_us) if before else ()
        for paid in funding:
            trade = booked(trade, paid)
        trade = settled(trade, self.causes.get(trade.id), at_us)
        trade = msgspec.structs.replace(trade, version=before.version + 1 if before else 1)
        try:
            state = self._write(before, trade, at_us, funding)
        except (ConservationBroken, StateMoved, StepConflict, StepRefused) as error:
            self.halt(str(error))
            return None
        self.state = state
        self.finished.clear()
        self._keep(before, trade)
        self._listener(self.prefix, before, trade)
        return trade

    def _write(
        self, before: Trade | None, trade: Trade, at_us: int, funding: tuple[FundingPayment, ...]
    ) -> PortfolioState:
        """Writes the step on the state that is known, and on newer ones while other engine shards move it on."""
        for lost in range(ATTEMPTS_MAX):
            state = state_after(self.state, before, trade, self.strategy.closed_trades_kept)
            try:
                self.store.commit(self._transition(before, trade, state, at_us, funding))
            except PortfolioMoved:
                if self.share.is_whole:
                    raise
            else:
                return state
            self.share.pause(lost)
            self.catch_up()
            if before is None and self.is_full:
                raise PortfolioFull(f"portfolio {self.prefix} has {len(self.state.active_trades)} open trades already")
        raise StateMoved(f"{self.prefix}: the state was moved by other shards {ATTEMPTS_MAX} times in a row")

    def catch_up(self) -> None:
        """Takes in what other engine shards have made of the state.

        Raises StateMoved if that is nothing that they do, LeaseLost and RedisAway.
        """
        now = self.store.refresh()
        reason = None if now == self.state else departure(self.state, now, self.trades.keys())
        if reason is not None:
            raise StateMoved(f"another program changed the state of portfolio {self.prefix}: {reason}")
        self.state = now

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
    def is_full(self) -> bool:
        """Whether no more trades may be opened, those of other engine shards counted too."""
        return len(self.state.active_trades) >= self.strategy.trades_open_max

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
