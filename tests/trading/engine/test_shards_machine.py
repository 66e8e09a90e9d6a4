"""Two engine shards on one portfolio on Redis: a state machine in which each dies and comes back as it likes.

Their steps are interleaved, so that nearly every one of them finds the state moved on by the other. Each has a ledger
of its own, which refuses a transition of a trade that it did not see begin; what is stored is compared with both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from redis import Redis

from tests.trading.engine.machine_checks import RedisWitness, without_queues
from tests.trading.engine.machine_draws import FEW_LOTS, LOTS, MILLISECONDS, OFFSET, SETTINGS, run_lives
from tests.trading.engine.machine_shards import MIDS, OPEN_MAX, SHARDS, ShardWorld, shared_desk, together
from trading.domain.trades import TradeStatus
from trading.engine.engine import Engine
from trading.stores.command_store import CommandStore

STEPS = 2_500
CALM_STEPS = 60
CALM_OFFSETS = {"alpha": 0, "beta": -105}  # beta as cheap as alpha
NEVER_US = 1 << 60
WHICH = st.integers(0, len(SHARDS) - 1)
NUMBER = st.integers(0, 9)


class ShardsMachine(RuleBasedStateMachine):
    """The rules."""

    steps = 0
    client: Redis

    @initialize(first=SETTINGS, second=SETTINGS)
    def open_the_markets(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self.client.flushall()
        self.witness = RedisWitness(self.client)
        used = shared_desk(first, second)
        self.worlds = [ShardWorld(self.client, used, number) for number in range(len(SHARDS))]
        for world in self.worlds:
            for venue in MIDS:
                world.show_book(venue, 0, 0, [60, 60])
            world.advance(world.at_us(1_000))

    @rule(which=WHICH, venue=st.sampled_from(sorted(MIDS)), ms=MILLISECONDS, offset=OFFSET, lots=LOTS, behind=LOTS)
    def book_moves(self, which: int, venue: str, ms: int, offset: int, lots: int, behind: int) -> None:
        self.worlds[which].show_book(venue, ms, offset, [lots, behind])

    @rule(ms=MILLISECONDS, offset=OFFSET, lots=LOTS)
    def both_see_a_spread_at_once(self, ms: int, offset: int, lots: int) -> None:
        """So that both want to enter on the same state."""
        for world in self.worlds:
            world.show_book("beta", ms, abs(offset), [lots, lots])

    @rule(which=WHICH, number=NUMBER, ms=st.integers(0, 30), legs=st.sampled_from([1, 1, 2]), apart_ms=FEW_LOTS)
    def orders_are_hit(self, which: int, number: int, ms: int, legs: int, apart_ms: int) -> None:
        """One resting order, or each of its trade, a few milliseconds apart."""
        world = self.worlds[which]
        resting = world.resting()
        if resting:
            hit = resting[number % len(resting)]
            for working in [each for each in resting if each.trade_id == hit.trade_id][:legs]:
                world.hit(working.order, ms)
                ms = apart_ms

    @rule(which=WHICH, ms=st.sampled_from([1, 10, 60, 250, 510, 1_000, 2_100]))
    def time_passes(self, which: int, ms: int) -> None:
        self.worlds[which].advance(self.worlds[which].at_us(ms))

    @rule(number=NUMBER)
    def exit_is_commanded(self, number: int) -> None:
        """Both engines read it; the one that has the trade carries it out, the other one leaves it alone."""
        trades = [(w, trade) for w in self.worlds for trade in w.ledger.trades.values() if trade.is_open]
        trades = [each for each in trades if each[1].status is TradeStatus.ACTIVE] or trades
        if trades:
            owner, trade = trades[number % len(trades)]
            CommandStore(self.client).send_exit(trade.portfolio, trade.id, "manual", NEVER_US)
            for world in self.worlds:
                written = world.ledger.transitions
                world.drive(Engine.on_commands)
                assert world is owner or world.ledger.transitions == written

    @rule(which=WHICH)
    def a_shard_catches_up(self, which: int) -> None:
        self.drive(which, Engine.catch_up)

    @rule(which=WHICH)
    def checkpoint_is_written(self, which: int) -> None:
        self.drive(which, Engine.checkpoint)

    @rule(which=WHICH, kind=st.sampled_from(["killed before", "killed after", "reply lost"]), left=st.integers(0, 20))
    def something_will_go_wrong(self, which: int, kind: Any, left: int) -> None:
        fault = self.worlds[which].fault
        fault.kind, fault.commits_left = kind, left

    @rule(which=WHICH, luck=st.integers(0, 3))
    def an_engine_dies(self, which: int, luck: int) -> None:
        if luck == 0:
            self.worlds[which].kill()

    @rule(which=WHICH, ms=st.integers(0, 3_000))
    def an_engine_comes_back(self, which: int, ms: int) -> None:
        """With the trades of its own, as they were written."""
        world = self.worlds[which]
        if world.engine is not None:
            return
        world.now_us += ms * 1_000
        world.resume()
        if world.engine is not None:
            for prefix, portfolio in world.engine.portfolios.items():
                assert portfolio.halted is None and portfolio.entries_stopped is None
                known = [t for t in world.ledger.trades.values() if t.portfolio == prefix and t.is_open]
                assert portfolio.trades.keys() == {trade.id for trade in known}

    def drive(self, which: int, act: Callable[[Engine], object]) -> None:
        self.worlds[which].changed = True
        self.worlds[which].drive(act)

    @invariant()
    def everything_adds_up(self) -> None:
        type(self).steps += 1
        if any(world.changed for world in self.worlds):
            for world in self.worlds:
                world.changed = False
            self.check()

    def check(self) -> None:
        whole = together([world.ledger for world in self.worlds])
        for world in self.worlds:
            assert {trade.symbol for trade in world.ledger.trades.values()} <= {world.symbol}
            for portfolio in world.engine.portfolios.values() if world.engine else ():
                assert portfolio.halted is None, portfolio.halted
                known = {t.id: t for t in world.ledger.trades.values() if t.portfolio == portfolio.prefix}
                assert portfolio.trades.keys() == {trade.id for trade in known.values() if trade.is_open}
                assert all(without_queues(t) == without_queues(known[t.id]) for t in portfolio.trades.values())
        for prefix in self.worlds[0].stores:
            state = self.witness.require_sound(prefix, whole)
            assert len(state.active_trades) <= OPEN_MAX
        self.witness.require_outbox(whole)

    def teardown(self) -> None:
        """Calm: every entry and exit comes to its end; then everything is closed, and nothing is left."""
        if sys.exc_info()[0] is not None or not hasattr(self, "worlds"):
            return
        for number, world in enumerate(self.worlds):
            world.fault.kind = None
            self.an_engine_comes_back(number, 0)
        self.calm_down()
        for world in self.worlds:
            still_open = [trade for trade in world.ledger.trades.values() if trade.is_open]
            assert {trade.status for trade in still_open} <= {TradeStatus.ACTIVE}, "a trade was forgotten"
            for trade in still_open:
                assert world.engine is not None
                assert world.engine.close_trade(trade.portfolio, trade.id, "manual")
        self.calm_down()
        assert not any(trade.is_open for world in self.worlds for trade in world.ledger.trades.values())
        self.check()

    def calm_down(self) -> None:
        """Deep books and no spread, six seconds."""
        for step in range(CALM_STEPS):
            for world in self.worlds:
                for venue, offset in CALM_OFFSETS.items():
                    world.show_book(venue, 50, offset + step % 2, [900, 900])


def test_two_shards_on_one_portfolio_keep_everything_that_one_engine_keeps(redis_client: Redis) -> None:
    ShardsMachine.client = redis_client
    how = settings(
        max_examples=10,
        stateful_step_count=80,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        report_multiple_bugs=False,
        print_blob=True,
    )
    run_lives(ShardsMachine, STEPS, how)
