"""Whatever happens, and wherever the engine dies: a state machine over the real engine, in memory and on Redis.

Rules are what markets, people and machines do; the ledger checks every transition as it is written, the invariants
all of the stored state after every step. At the end of each run the market calms down, and every trade must come to
its end: nothing is forgotten.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.trading.engine.machine_checks import RedisWitness, require_sound_state, without_queues
from tests.trading.engine.machine_draws import DESKS, FEW_LOTS, INSTRUMENT, LOTS, MILLISECONDS, OFFSET, SIZES, run_lives
from tests.trading.engine.machine_stores import LEASE_NAME, Fault, MemoryBackend, RedisBackend
from tests.trading.engine.machine_world import BEGIN_US, INSTRUMENTS, World
from tests.trading.engine.scene import ALPHA, BETA
from trading.domain.events import BookDiff, BookSnapshot, FeedGap, FundingRate, Print, TopOfBook
from trading.domain.strategy import Desk
from trading.domain.trades import TradeStatus
from trading.domain.units import DAY_US
from trading.engine.engine import Engine
from trading.stores import keys
from trading.stores.errors import LeaseHeld, LeaseLost
from trading.stores.keys import PortfolioKeys
from trading.stores.lease import Lease
from trading.stores.step import Step

MIDS = {ALPHA: 499_950, BETA: 502_050}  # tenths of a dollar
CALM_MS, CALM_STEPS = 100, 60
CALM_OFFSET = -105  # beta as cheap as alpha

ALIVE = precondition(lambda self: self.world.engine is not None)
DEAD = precondition(lambda self: self.world.engine is None)


class TradingMachine(RuleBasedStateMachine):
    """The rules. A backend of memory or Redis is put in by the subclass."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.tops: dict[str, TopOfBook] = {}

    def backend(self) -> Any:
        return MemoryBackend()

    @initialize(used=DESKS)
    def open_the_markets(self, used: Desk) -> None:
        self.steps_of = {each.id: each.lot_step for each in used.instruments}
        self.world = World(self.backend(), used)
        for instrument in INSTRUMENTS:
            self.show_book(instrument, 0, 0, [60, 60], [60, 60])
        self.world.advance(BEGIN_US + 1_000_000)

    def quantity(self, instrument: str, lots: int) -> str:
        """Venues show and print multiples of their own lot step."""
        return f"{lots * self.steps_of[instrument]:.3f}"

    def at_us(self, ms: int) -> int:
        return self.world.now_us + ms * 1_000

    def show_book(self, instrument: str, ms: int, offset: int, bids: list[int], asks: list[int]) -> None:
        """A snapshot and its top, five dollars around the mid, a dollar between levels."""
        world, mid = self.world, MIDS[instrument] + offset * 20
        world.book_id += 1
        below = [(f"{(mid - 50 - 10 * n) / 10:.1f}", self.quantity(instrument, lots)) for n, lots in enumerate(bids)]
        above = [(f"{(mid + 50 + 10 * n) / 10:.1f}", self.quantity(instrument, lots)) for n, lots in enumerate(asks)]
        at_us = self.at_us(ms)
        self.tops[instrument] = TopOfBook(instrument, at_us, *below[0], *above[0])
        world.deliver(BookSnapshot(instrument, at_us, below, above, world.book_id))
        world.deliver(self.tops[instrument])

    @ALIVE
    @rule(instrument=INSTRUMENT, ms=MILLISECONDS, offset=OFFSET, bids=SIZES, asks=SIZES)
    def book_moves(self, instrument: str, ms: int, offset: int, bids: list[int], asks: list[int]) -> None:
        self.show_book(instrument, ms, offset, bids, asks)

    @ALIVE
    @rule(ms=MILLISECONDS, lots=st.none() | LOTS, instrument=INSTRUMENT)
    def top_comes_again(self, ms: int, lots: int | None, instrument: str) -> None:
        """The same prices; another quantity at the bid, or nothing new at all."""
        top = self.tops[instrument]
        bid_quantity = top.bid_quantity if lots is None else self.quantity(instrument, lots)
        at_us = self.at_us(ms)
        self.tops[instrument] = TopOfBook(instrument, at_us, top.bid, bid_quantity, top.ask, top.ask_quantity)
        self.world.deliver(self.tops[instrument])

    @ALIVE
    @rule(ms=MILLISECONDS, instrument=INSTRUMENT, lots=LOTS, behind=st.integers(0, 3), skipped=st.integers(0, 30))
    def depth_changes(self, ms: int, instrument: str, lots: int, behind: int, skipped: int) -> None:
        """One level of the asks; now and then a diff is missing, and the book is unknown."""
        world = self.world
        last_id = world.engine.markets[instrument].book._last_id if world.engine else world.book_id
        first_id = last_id + 1 + (skipped == 30)
        world.book_id = max(world.book_id, first_id)
        price = f"{Decimal(self.tops[instrument].ask) + behind:.1f}"
        diff = BookDiff(instrument, self.at_us(ms), [], [(price, self.quantity(instrument, lots))], first_id, first_id)
        world.deliver(diff)

    @ALIVE
    @rule(instrument=INSTRUMENT, ms=MILLISECONDS, through=st.integers(-1, 12), lots=LOTS, buy=st.booleans())
    def print_comes(self, instrument: str, ms: int, through: int, lots: int, buy: bool) -> None:
        """At the touch, one tenth inside it, or up to a dollar through it."""
        top = self.tops[instrument]
        price = Decimal(top.ask) + Decimal(through) / 10 if buy else Decimal(top.bid) - Decimal(through) / 10
        self.show_print(instrument, ms, price, lots, buy)

    @ALIVE
    @rule(ms=st.integers(0, 30), number=st.integers(0, 9), lots=FEW_LOTS, through=st.sampled_from([False, False, True]))
    def print_hits_an_order(self, ms: int, number: int, lots: int, through: bool) -> None:
        """At the price of one of the resting orders, or a tick through it."""
        assert self.world.engine is not None
        resting = [w.order for m in self.world.engine.markets.values() for w in m.resting]
        if resting:
            order = resting[number % len(resting)]
            price = order.price - order.side.sign * Decimal("0.1") * through
            self.show_print(order.instrument, ms, price, lots, buy=order.side.sign < 0)

    @ALIVE
    @rule(number=st.integers(0, 9), late_us=st.sampled_from([-1, 0, 0, 1]))
    def print_comes_as_an_order_arrives(self, number: int, late_us: int) -> None:
        """Through the price of a limit order under way, at the very instant of its arrival or beside it."""
        assert self.world.engine is not None
        working = [each for one in self.world.engine.portfolios.values() for each in one.working.values()]
        coming = [w for w in working if w.order.accepted_us is None and w.arrival_us + late_us >= self.world.now_us]
        if coming:
            order, at_us = coming[number % len(coming)].order, coming[number % len(coming)].arrival_us + late_us
            price = order.price - order.side.sign * Decimal("0.1")
            self.world.advance(at_us)
            self.show_print(order.instrument, 0, price, 60, buy=order.side.sign < 0)

    @ALIVE
    @rule(ms=st.integers(0, 30), number=st.integers(0, 9), apart_ms=st.sampled_from([1, 30, 290, 495, 520]))
    def both_legs_are_hit(self, ms: int, number: int, apart_ms: int) -> None:
        """Each order of one trade that rests is gone through, one soon after the other or just too late."""
        assert self.world.engine is not None
        resting = [w for m in self.world.engine.markets.values() for w in m.resting]
        if resting:
            hit = resting[number % len(resting)].trade_id
            for order in [each.order for each in resting if each.trade_id == hit]:
                price = order.price - order.side.sign * Decimal("0.1")
                self.show_print(order.instrument, ms, price, 60, buy=order.side.sign < 0)
                ms = apart_ms

    def show_print(self, instrument: str, ms: int, price: Decimal, lots: int, buy: bool) -> None:
        world = self.world
        world.print_id += 1
        size = self.quantity(instrument, lots)
        event = Print(instrument, self.at_us(ms), world.print_id, f"{price:.1f}", size, "buy" if buy else "sell")
        world.show_print(event)

    @ALIVE
    @rule(instrument=INSTRUMENT, ms=MILLISECONDS, silent_ms=st.none() | MILLISECONDS)
    def feed_breaks(self, instrument: str, ms: int, silent_ms: int | None) -> None:
        """The book is unknown until the next snapshot, which may come soon."""
        self.world.deliver(FeedGap(instrument, self.at_us(ms), "the connection broke"))
        if silent_ms is not None:
            self.show_book(instrument, silent_ms, 0, [20, 40], [20, 40])

    @ALIVE
    @rule(ms=st.sampled_from([1, 10, 60, 250, 510, 1_000, 2_100]))
    def time_passes(self, ms: int) -> None:
        self.world.advance(self.at_us(ms))

    @ALIVE
    @rule(instrument=INSTRUMENT, ms=MILLISECONDS, until_ms=st.integers(1, 400), rate=st.integers(-20, 20))
    def funding_is_announced(self, instrument: str, ms: int, until_ms: int, rate: int) -> None:
        at_us = self.at_us(ms)
        mark = f"{MIDS[instrument] / 10:.2f}"
        self.world.deliver(FundingRate(instrument, at_us, f"{rate / 10_000:.4f}", 8, mark, at_us + until_ms * 1_000))

    @ALIVE
    @rule(number=st.integers(0, 9), reason=st.sampled_from(["manual", "profit_target", "loss_limit"]))
    def exit_is_commanded(self, number: int, reason: str) -> None:
        """Of an Active trade if there is one, else of any: then nothing may change."""
        trades = [trade for trade in self.world.ledger.trades.values() if trade.is_open]
        trades = [trade for trade in trades if trade.status is TradeStatus.ACTIVE] or trades
        if trades:
            trade = trades[number % len(trades)]
            self.world.drive(lambda engine: engine.close_trade(trade.portfolio, trade.id, reason))

    @ALIVE
    @rule()
    def checkpoint_is_written(self) -> None:
        self.world.changed = True
        self.world.drive(Engine.checkpoint)

    @ALIVE
    @rule(
        kind=st.sampled_from(["killed before", "killed after", "reply lost", "moved"]), commits_left=st.integers(0, 20)
    )
    def something_will_go_wrong(self, kind: Any, commits_left: int) -> None:
        self.world.fault.kind, self.world.fault.commits_left = kind, commits_left

    @ALIVE
    @rule(ms=st.integers(0, 3_000), seen=st.booleans(), luck=st.integers(0, 3))
    def engine_dies_and_comes_back(self, ms: int, seen: bool, luck: int) -> None:
        """Once in four times."""
        if luck == 0:
            self.world.kill()
            self.engine_comes_back(ms, seen)

    @DEAD
    @rule(ms=st.integers(0, 3_000), seen=st.booleans())
    def engine_comes_back(self, ms: int, seen: bool) -> None:
        """After some time, in which nothing was heard; snapshots come at once or later."""
        self.world.now_us += ms * 1_000
        self.resume()
        for instrument in INSTRUMENTS if seen else ():
            self.show_book(instrument, 1, 0, [30, 5], [5, 30])

    def resume(self) -> None:
        self.world.resume()
        for prefix, store in self.world.stores.items():
            _, loaded = store.load()
            known = {t.id: t for t in self.world.ledger.trades.values() if t.portfolio == prefix and t.is_open}
            assert {i: without_queues(t) for i, t in loaded.items()} == {i: without_queues(t) for i, t in known.items()}

    @ALIVE
    @rule()
    def halted_portfolios_are_loaded_again(self) -> None:
        engine = self.world.engine
        assert engine is not None
        for halted in [portfolio for portfolio in engine.portfolios.values() if portfolio.halted]:
            self.world.give_time_to_pay()
            self.world.drive(partial(Engine.start_portfolio, portfolio=halted))

    @invariant()
    def everything_adds_up(self) -> None:
        type(self).steps += 1
        if self.world.changed:
            self.world.changed = False
            self.check()

    def check(self) -> None:
        for prefix, store in self.world.stores.items():
            state, _ = store.load()
            assert state is not None
            trades = [trade for trade in self.world.ledger.trades.values() if trade.portfolio == prefix]
            require_sound_state(state, trades, self.world.ledger)

    def teardown(self) -> None:
        """Calm: every entry and exit comes to its end; then everything is closed, and nothing is left."""
        if sys.exc_info()[0] is not None:
            return  # a rule has failed: that is what is to be seen
        world = self.world
        world.fault.kind = None
        if world.engine is None:
            self.resume()
        self.halted_portfolios_are_loaded_again()
        self.calm_down()
        still_open = [trade for trade in world.ledger.trades.values() if trade.is_open]
        assert {trade.status for trade in still_open} <= {TradeStatus.ACTIVE}, "a trade was forgotten"
        assert world.engine is not None
        for trade in still_open:
            assert world.engine.close_trade(trade.portfolio, trade.id, "manual")
        self.calm_down()
        assert not any(trade.is_open for trade in world.ledger.trades.values())
        self.check()

    def calm_down(self) -> None:
        """Deep books, no spread and no funding that anybody wants, no more entries, six seconds."""
        assert self.world.engine is not None
        for portfolio in self.world.engine.portfolios.values():
            portfolio.entries_stopped = "the market is calm"
        for instrument in INSTRUMENTS:
            at_us = self.world.now_us
            self.world.deliver(FundingRate(instrument, at_us, "0", 8, "50000", at_us + DAY_US // 6))
        for step in range(CALM_STEPS):
            for instrument in INSTRUMENTS:
                ms, offset = (0, CALM_OFFSET) if instrument == BETA else (CALM_MS, 0)
                self.show_book(instrument, ms, offset + step % 2, [900, 900], [900, 900])


class RedisMachine(TradingMachine):
    """On Redis there are leases, other programs, and what they read."""

    steps = 0
    client: Any

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.witness = RedisWitness(self.client)
        self.paused: Engine | None = None

    def backend(self) -> Any:
        return RedisBackend(self.client)

    @ALIVE
    @rule()
    def second_engine_tries(self) -> None:
        """While the lease is held nobody else gets it, and who has none writes nothing."""
        other = Lease(self.client, LEASE_NAME, "second")
        with pytest.raises(LeaseHeld):
            other.acquire()
        with pytest.raises(LeaseLost):
            other.guard(Step("anything"))

    @ALIVE
    @rule()
    def engine_is_paused_and_replaced(self) -> None:
        """A machine that was suspended: its lease runs out, another engine takes over."""
        world = self.world
        paused = world.engine
        for store in world.stores.values():
            store.fault = Fault()
        world.kill()
        self.resume()
        self.paused = paused

    @precondition(lambda self: self.paused is not None)
    @rule(ms=st.sampled_from([1, 600, 2_500]))
    def paused_engine_wakes(self, ms: int) -> None:
        """It goes on where it was; the first thing that it wants to write ends it, and nothing was written.

        The ledger would notice a transition that was acknowledged to it.
        """
        assert self.paused is not None
        before = self.everything()
        try:
            self.paused.on_time(self.at_us(ms))
            self.paused.checkpoint()
        except LeaseLost:
            self.paused = None
        assert self.everything() == before, "an engine without lease has written"

    def everything(self) -> tuple[Any, ...]:
        names = [PortfolioKeys(prefix).state for prefix in self.world.stores]
        return self.client.mget(names), self.client.dbsize(), self.client.xlen(keys.OUTBOX)

    @rule(number=st.integers(0, 9))
    def another_program_annotates_a_trade(self, number: int) -> None:
        """It adds a field of its own, which changes nothing that we rely on."""
        trades = [trade for trade in self.world.ledger.trades.values() if trade.is_open]
        if trades:
            trade = trades[number % len(trades)]
            key = PortfolioKeys(trade.portfolio).active_trade(trade.id)
            raw = self.client.get(key)
            if b'"note"' not in raw:
                self.client.set(key, raw[:-1] + b',"note":"seen"}')

    def check(self) -> None:
        for prefix in self.world.stores:
            self.witness.require_sound(prefix, self.world.ledger)
        self.witness.require_outbox(self.world.ledger)


def run(machine: type[TradingMachine], steps: int) -> None:
    """Runs lives of the machine until they have taken so many steps; a life ends early when it likes."""
    how = settings(
        max_examples=20,
        stateful_step_count=100,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking a life takes minutes: add it to debug one
        report_multiple_bugs=False,
        print_blob=True,
    )
    run_lives(machine, steps, how)


def test_in_memory_everything_adds_up_after_14000_steps() -> None:
    run(TradingMachine, steps=14_000)


def test_on_redis_everything_adds_up_after_6000_steps(redis_client: Any) -> None:
    RedisMachine.client = redis_client
    run(RedisMachine, steps=6_000)
