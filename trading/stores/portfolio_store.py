"""A portfolio in Redis: read whole at the start, then written by one atomic step per transition.

The store keeps the raw strings that the domain values came from and compares them in every step, so that a second
writer is noticed and never overwritten (ruling 17). Fields that other programs added to our records are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from redis import Redis

from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade
from trading.stores.errors import WireError
from trading.stores.lease import Lease
from trading.stores.outbox import Outbox
from trading.stores.transition import Transition


class PortfolioStore:
    """The records of one portfolio. Only the engine that holds `lease` writes them; None: a replay of its own."""

    unreadable: dict[str, WireError]

    def __init__(self, client: Redis, prefix: str, outbox: Outbox, lease: Lease | None = None) -> None:
        raise NotImplementedError

    def load(self) -> tuple[PortfolioState | None, dict[str, Trade]]:
        """The portfolio's state (None: there is none yet) and its open trades by id, those of other programs too
        (`origin` "foreign"). What cannot be read is in `unreadable` by key."""
        raise NotImplementedError

    def create(self, state: PortfolioState) -> None:
        """Writes the state of a portfolio that does not exist yet. Raises StepConflict if it does."""
        raise NotImplementedError

    def commit(self, transition: Transition) -> list[str]:
        """Writes the transition in one step; returns the outbox's stream ids.

        Raises StateMoved when another program changed a record that the transition came from (nothing was written),
        LeaseLost, and RedisAway when the outcome is unknown: then commit the same transition again.
        """
        raise NotImplementedError

    def checkpoint(self, trades: Iterable[Trade], progress: Mapping[str, Any]) -> None:
        """Writes open trades whose queue progress moved, and `progress` (JSON), in one step without outbox entries."""
        raise NotImplementedError

    def last_checkpoint(self) -> dict[str, Any] | None:
        """The `progress` of the last checkpoint."""
        raise NotImplementedError
