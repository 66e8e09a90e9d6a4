"""Portfolio stores for the state machine: the real ones, with a witness, and with what can go wrong.

A `Fault` strikes at the n-th commit from now: the engine dies before the step is written, or after it; the reply is
lost and the engine sends the same transition again; another program has moved a record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from redis import Redis

from tests.trading.engine.scene import MemoryStore
from tests.trading.stores import made
from trading.domain.portfolio import PortfolioState
from trading.domain.shards import WHOLE, Shard
from trading.domain.trades import Trade
from trading.stores import keys
from trading.stores.errors import StateMoved
from trading.stores.lease import Lease
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Checkpoint, Transition, TransitionStore

FaultKind = Literal["killed before", "killed after", "reply lost", "moved"]
LEASE_NAME = "engine:0/1"
LEASE_LIFETIME_MS = 600_000  # it runs out when the machine says so, not when the test is slow

Witness = Callable[[str, Transition], None]  # (prefix, transition), for each one that was written


class EngineKilled(BaseException):
    """The process is gone: nothing may catch it on the way."""


@dataclass
class Fault:
    """What goes wrong, and how many commits from now."""

    kind: FaultKind | None = None
    commits_left: int = 0

    def strikes(self) -> FaultKind | None:
        """Counts one commit; the fault if it is due now, once."""
        if self.kind is None:
            return None
        self.commits_left -= 1
        if self.commits_left >= 0:
            return None
        kind, self.kind = self.kind, None
        return kind


@dataclass
class FaultyStore:
    """A portfolio's store. `on_written` sees each transition that was written, exactly once."""

    prefix: str
    inner: TransitionStore
    fault: Fault
    on_written: Witness
    checkpointed: list[Trade] = field(default_factory=list)

    def load(self) -> tuple[PortfolioState | None, dict[str, Trade]]:
        """State and open trades."""
        return self.inner.load()

    def create(self, state: PortfolioState, name: str = "") -> None:
        """Writes the first state."""
        self.inner.create(state, name)

    def refresh(self) -> PortfolioState:
        """The state as it is now."""
        return self.inner.refresh()

    def held_for(self) -> str | None:
        """Why it may open no trades."""
        return self.inner.held_for()

    def witnesses(self) -> dict[str, Any]:
        """Those of the checkpoints, by order."""
        return self.inner.witnesses()

    def commit(self, transition: Transition) -> list[str]:
        """Writes one transition, or fails as the fault says."""
        kind = self.fault.strikes()
        if kind == "killed before":
            raise EngineKilled
        if kind == "moved":
            raise StateMoved("another program changed it")
        written = self.inner.commit(transition)
        self.on_written(self.prefix, transition)
        if kind == "reply lost":
            again = self.inner.commit(transition)  # what `PatientStore` does
            assert again == written
        if kind == "killed after":
            raise EngineKilled
        return written

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Writes queue progress; the same faults, as far as they make sense."""
        kind = self.fault.strikes()
        if kind == "killed before":
            raise EngineKilled
        self.inner.checkpoint(checkpoint)
        self.checkpointed += checkpoint.trades
        if kind == "killed after":
            raise EngineKilled


class MemoryBackend:
    """Portfolios in memory; what an engine has written outlives it."""

    def __init__(self) -> None:
        self._stores: dict[str, RepeatableStore] = {}

    def store(self, prefix: str) -> TransitionStore:
        """What the next engine reads and writes."""
        return self._stores.setdefault(prefix, RepeatableStore())

    def new_engine(self) -> None:
        """Another engine begins; memory knows no leases."""


class RepeatableStore(MemoryStore):
    """Answers a transition that is sent again as it did the first time, like the step script."""

    def commit(self, transition: Transition) -> list[str]:
        """Writes it, unless it was the last one written or, of shadows alone, has been written at all."""
        if self.log and self.log[-1] is transition:
            return []
        if not transition.trades and transition.operation_id in {done.operation_id for done in self.log}:
            return []
        return super().commit(transition)


class RedisBackend:
    """Portfolios in Redis, under a lease."""

    def __init__(self, client: Redis, shard: Shard = WHOLE) -> None:
        self.client = client
        self._shard = shard
        self._lease_name = keys.engine_lease(shard)
        self._engines = 0
        self.lease = Lease(client, self._lease_name, "nobody")

    def store(self, prefix: str) -> TransitionStore:
        """A store for the engine that holds the lease now."""
        return PortfolioStore(self.client, prefix, made.OUTBOX, self.lease, self._shard)

    def new_engine(self) -> None:
        """The lease of the engine before has run out, and another process takes it."""
        self.client.delete(keys.lease(self._lease_name))
        self._engines += 1
        rivals = [keys.engine_lease(rival) for rival in self._shard.rivals]
        self.lease = Lease(self.client, self._lease_name, f"engine {self._engines}", LEASE_LIFETIME_MS, rivals)
        self.lease.acquire()
