"""A run: clients that are killed while the sync goes on, then everything drained, then everything examined."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.audit import Audit, audit
from tests.faults.kills import Kills
from tests.faults.lives import Plan, Writer
from tests.faults.work import PREFIX, TABLES_OF_CLIENTS, first_state
from tests.faults.writers import store_of
from tests.results.pipeline.made import Side

SEED_VARIABLE = "FAULT_SEED"
SECONDS_BETWEEN_SYNCS = 1.0


class Run:
    """One run of a plan on a durable side; `audit` says what came of it. A failure says how to see it again."""

    def __init__(self, side: Side, plan: Plan, folder: Path, meanwhile: Callable[[], object] | None = None) -> None:
        """`meanwhile` is done again and again while the clients work; by default there is a sync now and then."""
        self.side = side
        self.plan = plan
        self.kills = Kills(plan, redis_url_of(side), folder)
        self._meanwhile = meanwhile or self._sync
        self._synced_at = time.monotonic()

    def play(self) -> Audit:
        """All of it."""
        self.work()
        return self.settled()

    def work(self) -> None:
        """Have the clients work and die."""
        store_of(self.side.client, PREFIX, Writer.ATOMIC).create(first_state())
        self.kills.run(self._meanwhile)

    def settled(self) -> Audit:
        """Drain everything into every store, and examine it."""
        report = self.side.settle()
        assert report.is_level, f"{report.followers}\n{self.replay}"
        return audit(self.side, list(self.kills.operations().values()), TABLES_OF_CLIENTS)

    def require_right(self, found: Audit) -> None:
        """Raises AssertionError, with what was found and how to see it again, unless nothing is wrong."""
        assert not found.findings, f"{found}\n{self.replay}"

    @property
    def replay(self) -> str:
        """The command that does the same again."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        return f"seed {self.plan.seed}; again: {SEED_VARIABLE}={self.plan.seed} python -m pytest '{test}'"

    def _sync(self) -> None:
        if time.monotonic() - self._synced_at >= SECONDS_BETWEEN_SYNCS:
            self.side.sync.once()
            self._synced_at = time.monotonic()


def seed_or(usual: int) -> int:
    """The seed of this run: FAULT_SEED, or the usual one."""
    return int(os.environ.get(SEED_VARIABLE, usual))


def redis_url_of(side: Side) -> str:
    """The address of the Redis of a durable side."""
    given = side.client.connection_pool.connection_kwargs
    return f"redis://{given['host']}:{given['port']}/{given.get('db', 0)}"
