"""A portfolio in Redis: read whole at the start, then written by one atomic step per transition.

The store keeps the raw strings that the domain values came from and compares them in every step, so that a second
writer is noticed and never overwritten (ruling 17). Fields that other programs add to our records are kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError

from trading.domain.metrics import portfolio_metrics
from trading.domain.portfolio import PortfolioState
from trading.domain.shards import WHOLE, Shard
from trading.domain.trades import Trade
from trading.domain.units import text_of
from trading.stores import keys, wire
from trading.stores.connection import answering, members_of, raw_of, raws_of, refuses_for_now
from trading.stores.errors import StateMoved, StepConflict, WireError
from trading.stores.floors import NO_FLOORS, Floors, floors_of
from trading.stores.held import Held, HeldTrade, Surroundings
from trading.stores.holds import Holds
from trading.stores.keys import PortfolioKeys
from trading.stores.lease import Lease
from trading.stores.merge import adopt_annotations, decoded_state, present, was_applied
from trading.stores.outbox import Outbox
from trading.stores.rows import PAPER_TRADE
from trading.stores.step import Step, StepRunner
from trading.stores.transition import Checkpoint, Transition
from trading.stores.transition_step import TransitionStep

MERGES_MAX = 8  # other programs annotate a record now and then; one that always does is a fault to be seen
READS_MAX = 20  # of a portfolio in which other engine shards open and close trades meanwhile


class PortfolioStore:
    """The records of one portfolio. Only an engine that holds its `lease` writes them; None: a replay of its own.
    `shard` is the name under which its checkpoints are kept."""

    def __init__(
        self, client: Redis, prefix: str, outbox: Outbox, lease: Lease | None = None, shard: Shard = WHOLE
    ) -> None:
        self.keys = PortfolioKeys(prefix)
        self.unreadable: dict[str, WireError] = {}
        self._client = client
        self._outbox = outbox
        self._lease = lease
        self._shard = str(shard)
        self._runner = StepRunner(client)
        self._held = Held()
        self._floors: Floors = NO_FLOORS
        self._lifts: dict[str, int] = {}  # trade id -> by how much its versions lie above the engine's

    def load(self) -> tuple[PortfolioState | None, dict[str, Trade]]:
        """The portfolio's state (None: there is none yet) and its open trades by id, those of other programs too
        (`origin` "foreign"), all of one instant. What cannot be read is in `unreadable` by key. Raises WireError for
        the state, StepConflict if the portfolio moves on again and again while it is read."""
        with answering(f"reading portfolio {self.keys.prefix}"):
            self._floors, self._lifts = floors_of(self._client), {}
            for _ in range(READS_MAX):
                self._read()
                if raw_of(self._client, self.keys.state) == self._held.state_raw:
                    break
            else:
                raise StepConflict(self.keys.state)
        return self._held.state, {trade_id: held.trade for trade_id, held in self._held.trades.items()}

    def refresh(self) -> PortfolioState:
        """The portfolio's state as it is now, from which the next transition has to come. Raises StateMoved if there
        is none that can be read."""
        with answering(f"reading {self.keys.state}"):
            raw = present(raw_of(self._client, self.keys.state), self.keys.state)
        if self._held.state is None or raw != self._held.state_raw:
            self._held.state, self._held.state_raw = decoded_state(raw, self.keys.state), raw
        return self._held.state

    def create(self, state: PortfolioState, name: str = "") -> None:
        """Writes the state of a portfolio that does not exist yet, and its line in the list of portfolios under
        `name` (the prefix by default). Raises StepConflict if it exists."""
        raw = wire.encode_state(state)
        metrics = wire.encode_metrics(portfolio_metrics(state, state.started_us))
        about = {
            "name": name or self.keys.prefix,
            "starting_capital": text_of(state.starting_capital),
            "started_us": state.started_us,
        }
        step = self._under_lease(Step(f"create:{self.keys.prefix}:{uuid.uuid4()}"))
        step.expect(self.keys.state, None).set(self.keys.state, raw).set(self.keys.metrics, metrics)
        self._runner.run(step.hset(keys.PORTFOLIOS, {self.keys.prefix: msgspec.json.encode(about)}))
        self._held = Held(raw, state)

    def commit(self, transition: Transition) -> list[str]:
        """Writes the transition in one step; returns the outbox's stream ids (none if it was found written).

        Raises StateMoved when another program changed a record that the transition came from (nothing was written;
        PortfolioMoved if it was the state and no trade), LeaseLost, and RedisAway when the outcome is unknown: then
        commit the same transition again.
        """
        around: Surroundings | None = None

        def build() -> tuple[Step, Held, Transition]:
            nonlocal around
            lifted = self._lifted(transition)
            around = self._surroundings(transition, around)
            building = TransitionStep(self.keys, self._outbox, self._held, around, self._floors)
            return self._floors.guard(building.of(lifted)), building.held_after, lifted

        return self._run(build)

    def _lifted(self, transition: Transition) -> Transition:
        if not transition.trades:
            return transition
        return msgspec.structs.replace(transition, trades=tuple(map(self._lifted_trade, transition.trades)))

    def _lifted_trade(self, trade: Trade) -> Trade:
        """The trade at a version above all that durable stores may have; the engine goes on counting from its own."""
        known = trade.version + self._lifts.get(trade.id, 0)
        version = self._floors.above(PAPER_TRADE, known)
        if version == trade.version:
            return trade
        self._lifts[trade.id] = version - trade.version
        return msgspec.structs.replace(trade, version=version)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Writes the checkpoint in one step, without outbox entries but for its shadows. Raises like `commit`."""
        prefix, shadows, around = self.keys.prefix, checkpoint.shadows, Surroundings(None, {})
        cut_off = Transition(operation_id=checkpoint.operation_id, at_us=0, shadows=shadows)

        def build() -> tuple[Step, Held, Transition]:
            step = TransitionStep(self.keys, self._outbox, self._held, around, self._floors).of(cut_off)
            step = self._floors.guard(step) if shadows else step
            after = Held(self._held.state_raw, self._held.state, dict(self._held.trades))
            for trade in checkpoint.trades:
                held = self._held.trades[trade.id]
                trade = msgspec.structs.replace(trade, version=held.trade.version)
                raw = wire.encode_trade(trade, held.raw)
                key = self.keys.active_trade(trade.id)
                step.expect(key, held.raw).set(key, raw)
                after.trades[trade.id] = HeldTrade(raw, trade)
            fields = {self._shard: msgspec.json.encode(checkpoint.progress)}
            lifted = tuple(after.trades[trade.id].trade for trade in checkpoint.trades)
            transition = Transition(operation_id=checkpoint.operation_id, at_us=0, trades=lifted)
            step.hset(keys.checkpoints(prefix), fields)
            if checkpoint.witnesses:
                told = {order_id: msgspec.json.encode(witness) for order_id, witness in checkpoint.witnesses.items()}
                step.hset(keys.witnesses(prefix), told)
            return step, after, transition

        self._run(build)

    def held_for(self) -> str | None:
        """Why the portfolio may open no trades, as the sync found; None: it may. Raises RedisAway."""
        return Holds(self._client).reason(self.keys.prefix)

    def witnesses(self) -> dict[str, Any]:
        """The witnesses of checkpoints whose shadows are in no transition yet, by order. Raises WireError."""
        key = keys.witnesses(self.keys.prefix)
        try:
            with answering(f"reading {key}"):
                found: Any = self._client.hgetall(key)
            return {order_id.decode(): msgspec.json.decode(raw) for order_id, raw in found.items()}
        except (msgspec.DecodeError, ResponseError) as error:
            raise WireError(f"{key}: {error}") from None

    def _run(self, build: Callable[[], tuple[Step, Held, Transition]]) -> list[str]:
        conflict: StepConflict | None = None
        for _ in range(MERGES_MAX):
            step, after, transition = build()
            try:
                ids = self._runner.run(self._under_lease(step))
            except StepConflict as moved:
                conflict = moved
                if was_applied(self._client, self.keys, transition):
                    self._held = after
                    return []
                adopt_annotations(self._client, self.keys, self._held, transition)
                self._floors = floors_of(self._client)
                continue
            self._held = after
            return ids
        raise conflict or StepConflict(self.keys.state)

    def _under_lease(self, step: Step) -> Step:
        return step if self._lease is None else self._lease.guard(step)

    def _surroundings(self, transition: Transition, before: Surroundings | None) -> Surroundings:
        """What stands at the keys. What is said of an order is mostly the first: its hashes are taken for absent, and
        read only for another attempt, when `before` is what the last one came from."""
        if transition.state is None and not before:
            return Surroundings(None, {})
        read = []
        if before:
            read += [keys.result(result.result_id) for result in transition.results]
            read += [keys.result_metrics(metrics.result_id) for metrics in transition.metrics]
        reading = self._client.pipeline(transaction=False)
        reading.get(self.keys.metrics)
        for name in read:
            reading.hgetall(name)
        with answering(f"reading for step {transition.operation_id}"):
            metrics_raw, *hashes = _executed(reading)
        return Surroundings(metrics_raw, dict(zip(read, hashes, strict=True)))

    def _read(self) -> None:
        self._held, self.unreadable = Held(), {}
        raw = raw_of(self._client, self.keys.state)
        listed = members_of(self._client, self.keys.active_trades)
        if raw is not None:
            self._held.state_raw, self._held.state = raw, wire.decode_state(raw, self.keys.state)
        owned = self._held.state.active_trades if self._held.state else ()
        self._read_trades(sorted(listed.union(owned)))

    def _read_trades(self, trade_ids: list[str]) -> None:
        records = raws_of(self._client, [self.keys.active_trade(trade_id) for trade_id in trade_ids])
        for trade_id, raw in zip(trade_ids, records, strict=True):
            self._read_trade(trade_id, raw)

    def _read_trade(self, trade_id: str, raw: bytes | None) -> None:
        key = self.keys.active_trade(trade_id)
        try:
            if raw is None:
                raise WireError(f"{key}: the trade is listed as open and has no record")
            trade = wire.decode_trade(raw, key, self.keys.prefix)
            if trade.id != trade_id:
                raise WireError(f"{key}: id is {trade.id!r}, not that of the key")
        except WireError as error:
            self.unreadable[key] = error
        else:
            self._held.trades[trade_id] = HeldTrade(raw, trade)


def _executed(reading: Pipeline) -> list[Any]:
    try:
        return reading.execute()
    except ResponseError as error:
        if refuses_for_now(error):
            raise
        raise StateMoved(f"another program put a value of another type there: {error}") from None
