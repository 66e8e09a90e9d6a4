"""The world of the state machine: an engine that lives and dies on stores that stay, a made-up market, a clock.

Everything that the engine is told goes through `advance` and `deliver`, so that the ledger knows what is in force:
timers run on the book as it was, then the event comes. Settlement instants are never jumped over while the engine
lives, so that what each must pay is known when it passes; what is `owed` is paid later if the engine was dead, and in
any case before the trade ends. A new engine knows the last settlement of each instrument that was published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from tests.trading.engine import machine_ledger
from tests.trading.engine.machine_stores import EngineKilled, Fault, FaultyStore
from tests.trading.engine.scene import ALPHA, BETA, D, MemoryCommands, MemoryQuotes, desk, strategy, venue
from trading.domain.events import FundingRate, MarketEvent, Print
from trading.domain.orders import Leg, QueuePosition
from trading.domain.shards import WHOLE, Shard
from trading.domain.strategy import Desk, Pair
from trading.domain.units import DAY_US, ZERO
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.settlements import SETTLED_WAIT_US
from trading.stores.transition import TransitionStore

BEGIN_US = 19_676 * DAY_US - 20_000_000  # twenty seconds before a midnight: days end while the machine runs
INSTRUMENTS = (ALPHA, BETA)


class Backend(Protocol):
    """Where portfolios are kept; see `machine_stores`."""

    def store(self, prefix: str) -> TransitionStore:
        """The store that the next engine uses."""

    def new_engine(self) -> None:
        """The engine before is gone for good, as far as the stores know."""


def drawn_desk(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    alpha: Mapping[str, Any],
    beta: Mapping[str, Any],
    alpha_step: str,
) -> Desk:
    """Two portfolios on the same pair, the second one in both directions: several trades at once, little capital in the
    second one."""
    common: dict[str, Any] = {"trades_open_per_pair_max": 3, "cooldown_seconds": D("0.2")}
    pairs = (Pair(ALPHA, BETA), Pair(BETA, ALPHA))
    poor = {"prefix": "second", "starting_capital": D(2500), "pairs": pairs, "entry_threshold_bps": D(-300)}
    return desk(
        strategy(**common, **first),
        strategy(**common, **poor, **second),
        alpha=venue("alpha", **alpha),
        beta=venue("beta", **beta),
        alpha_step=alpha_step,
    )


class World:
    """One desk, or a shard's part of it, over its whole life."""

    def __init__(self, backend: Backend, used: Desk, shard: Shard = WHOLE, begin_us: int = BEGIN_US) -> None:
        self.desk = used
        self.shard = shard
        self.backend = backend
        self.now_us = begin_us
        self.fault = Fault()
        self.ledger = machine_ledger.Ledger()
        self.engine: Engine | None = None
        self.stores: dict[str, FaultyStore] = {}
        self.settlements: dict[tuple[str, int], bool] = {}  # to come: whether the engine that is alive was told
        self.owed: dict[tuple[str, Leg, int], int] = {}  # payment -> when it must have been made
        self.quotes = MemoryQuotes()
        self.print_id = 0
        self.book_id = 0
        self.changed = True  # something was written since somebody looked
        self.resume()

    def resume(self) -> None:
        """A new engine process on the same stores: it must find exactly what was written."""
        self.backend.new_engine()
        self.stores = {
            each.prefix: FaultyStore(each.prefix, self.backend.store(each.prefix), self.fault, self._written)
            for each in self.desk.strategies
        }
        self.ledger.begin()
        clock = EventClock(self.now_us)
        self.engine = Engine(self.desk, self.stores, self.quotes, MemoryCommands(), clock, self.shard)
        self.ledger.engine = self.engine
        self._forget_settlements()
        self.drive(lambda engine: engine.start(self.now_us))
        self._require_paid()

    def drive(self, act: Callable[[Engine], object]) -> bool:
        """Has the engine do something; False if it was killed on the way."""
        if self.engine is None:
            return False
        try:
            act(self.engine)
        except EngineKilled:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """The engine object is thrown away, wherever it is."""
        self.engine = self.ledger.engine = None
        self.fault.kind = None
        self.changed = True

    def advance(self, to_us: int) -> None:
        """Lets time pass, from one settlement instant to the next."""
        for instrument, at_us in sorted(self.settlements, key=lambda each: each[1]):
            if at_us <= to_us and (instrument, at_us) in self.settlements:
                self._pass_settlements(at_us)
        self.now_us = max(self.now_us, to_us)
        self.drive(lambda engine: engine.on_time(self.now_us))
        self._require_paid()

    def deliver(self, event: MarketEvent) -> bool:
        """One market event at its time; False if the engine did not live to see its end."""
        self.advance(event.event_us)
        self.ledger.feed(event)
        if isinstance(event, FundingRate) and self.engine is not None and event.next_settlement_us > event.event_us:
            self.settlements[event.instrument, event.next_settlement_us] = True
        done = self.drive(lambda engine: engine.on_event(event))
        if isinstance(event, FundingRate):
            self.drive(Engine.publish)
        return done

    def give_time_to_pay(self) -> None:
        """A portfolio was loaded anew: what it owes may be estimated, after a while."""
        self.owed = dict.fromkeys(self.owed, self.now_us + SETTLED_WAIT_US)

    def queues(self, instrument: str) -> dict[tuple[str, str], QueuePosition]:
        """Each order that rests at an instrument, by portfolio and order id, with its place in the queue."""
        if self.engine is None:
            return {}
        return {
            (prefix, order.id): order.queue
            for prefix, portfolio in self.engine.portfolios.items()
            for trade in map(portfolio.current, portfolio.trades)
            if trade is not None
            for order in trade.all_orders
            if order.is_pending and order.queue is not None and order.instrument == instrument
        }

    def show_print(self, event: Print) -> None:
        """A print, and the check that no portfolio used more of it than there was."""
        self.advance(event.event_us)
        before = self.queues(event.instrument)
        if self.deliver(event):
            require_exclusive(event, before, self.queues(event.instrument), self.ledger)

    def _pass_settlements(self, at_us: int) -> None:
        self.drive(lambda engine: engine.on_time(at_us - 1))
        self.now_us = max(self.now_us, at_us - 1)
        self._fall_due(at_us)
        self.drive(lambda engine: engine.on_time(at_us))
        self.now_us = max(self.now_us, at_us)
        self._require_paid()

    def _fall_due(self, at_us: int) -> None:
        """Settlements at an instant: who holds something then is owed a payment."""
        for name in [name for name, instant_us in self.settlements if instant_us == at_us]:
            is_told = self.settlements.pop((name, at_us))
            deadline_us = at_us + (0 if is_told else SETTLED_WAIT_US)
            for trade_id, leg in self._holders(name):  # in their order: none before an earlier one of its leg
                earlier = [due_us for payment, due_us in self.owed.items() if payment[:2] == (trade_id, leg)]
                self.owed[trade_id, leg, at_us] = max(deadline_us, *earlier) if earlier else deadline_us

    def _forget_settlements(self) -> None:
        """What a new engine cannot know: all but the last settlement of each instrument that was published. Those of
        them that passed while no engine lived are owed now."""
        last = {name: told.next_settlement_us for name, told in self.quotes.last_funding().items()}
        self.settlements = {key: False for key in self.settlements if last.get(key[0]) == key[1]}
        for at_us in sorted({at_us for _, at_us in self.settlements if at_us <= self.now_us}):
            self._fall_due(at_us)
        trades = self.ledger.trades
        self.owed = {
            (trade_id, leg, at_us): self.now_us + SETTLED_WAIT_US
            for trade_id, leg, at_us in self.owed
            if last.get(trades[trade_id].entry_order(leg).instrument) == at_us
        }

    def _require_paid(self) -> None:
        """Nobody is owed what is overdue, and no trade has ended with something unpaid."""
        self.owed = {payment: due_us for payment, due_us in self.owed.items() if payment not in self.ledger.paid}
        for (trade_id, leg, at_us), deadline_us in self.owed.items() if self.engine else ():
            trade = self.ledger.trades[trade_id]
            assert trade.is_open, f"{trade_id} was closed, its {leg} leg was not paid for {at_us}"
            halted = self.engine is not None and self.engine.portfolios[trade.portfolio].halted
            assert halted or self.now_us < deadline_us, f"{leg} of {trade_id} was not paid for {at_us}"

    def _holders(self, instrument: str) -> list[tuple[str, Leg]]:
        """The legs that hold something of an instrument."""
        return [
            (trade.id, leg)
            for trade in self.ledger.trades.values()
            for leg in Leg
            if trade.is_open
            and trade.entry_order(leg).instrument == instrument
            and self.ledger.sums[trade.id].positions[leg]
        ]

    def _written(self, prefix: str, transition: object) -> None:
        self.changed = True
        self.ledger.written(prefix, transition)  # type: ignore[arg-type]


def require_exclusive(
    event: Print,
    before: Mapping[tuple[str, str], QueuePosition],
    after: Mapping[tuple[str, str], QueuePosition],
    ledger: machine_ledger.Ledger,
) -> None:
    """What the orders of one portfolio needed of a print fits into it; only the last one may be filled for more.

    An order that the print went through, or that is alone in its portfolio's queue, must have got what it was due.
    """
    quantity = Decimal(event.quantity)
    filled = {(prefix, order.id): (order, part) for prefix, order, part in ledger.fills}
    for prefix in {name for name, _ in before}:
        mine = [key for key in before if key[0] == prefix]
        parts = {key: filled[key][1] for key in mine if key in filled}
        used = sum((_used(event, before[key], after.get(key), parts.get(key, ZERO)) for key in mine), ZERO)
        beyond = max((part for key, part in parts.items() if key not in after), default=ZERO)
        assert used - beyond <= quantity, f"{used} of a print of {quantity} were used"
    for key, (order, _) in filled.items():
        assert key in before, f"order {order.id} did not rest and was filled by a print"
        reached = before[key].at_front or before[key].cumulative_volume + quantity >= _threshold(before[key])
        through = (Decimal(event.price) - order.price) * order.side.sign < 0
        assert reached or through, f"order {order.id} was filled too early"


def _threshold(queue: QueuePosition) -> Decimal:
    return queue.fill_threshold_fraction * queue.resting_depth


def _used(event: Print, before: QueuePosition, after: QueuePosition | None, part: Decimal) -> Decimal:
    """How much of a print one order used at least: what was ahead of it and what it was filled with, if it has ended;
    else how far it came."""
    at_price = Decimal(event.price) == before.price
    if after is None:
        ahead = ZERO if before.at_front or not at_price else max(ZERO, _threshold(before) - before.cumulative_volume)
        return ahead + max(ZERO, part - before.volume_beyond) if part else ZERO
    if at_price:
        return after.cumulative_volume - before.cumulative_volume
    return after.volume_beyond + part - before.volume_beyond
