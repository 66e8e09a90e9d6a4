"""What an engine does while Redis is away: it waits, says so, and sends the same transition again.

Nothing in memory is given up. A lease that ran out meanwhile is taken again; if nobody held it in between (its
fencing number is the next one) memory still is what Redis holds, and the engine goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog

from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade
from trading.stores.connection import answering
from trading.stores.errors import LeaseHeld, LeaseLost, RedisAway
from trading.stores.transition import Checkpoint, Transition, TransitionStore

PAUSE_SECONDS_FIRST = 0.05
PAUSE_SECONDS_MAX = 1.0
SAY_SECONDS = 5.0  # how often a person is reminded

Answer = TypeVar("Answer")

logger = structlog.get_logger(__name__)


class HeldLease(Protocol):
    """The engine's lease; see `trading.stores.lease`."""

    name: str
    token: int | None

    def acquire(self) -> int:
        """Takes the lease."""

    def renew(self) -> None:
        """Keeps it."""

    def release(self) -> None:
        """Gives it back."""


class Patience:
    """Waits for one Redis under one lease, until `stopping` is set."""

    def __init__(self, lease: HeldLease, stopping: threading.Event) -> None:
        self.lease = lease
        self._stopping = stopping
        self._token = 0

    def take_lease(self) -> None:
        """Takes the lease. Raises LeaseHeld, RedisAway."""
        with answering(f"taking the lease {self.lease.name}"):
            self._token = self.lease.acquire()

    def renew_lease(self) -> None:
        """Keeps the lease, or takes it again if nobody had it since. Raises LeaseLost, RedisAway."""
        try:
            with answering(f"renewing the lease {self.lease.name}"):
                self.lease.renew()
        except LeaseLost as lost:
            self._regain(lost)

    def release_lease(self) -> None:
        """Gives the lease back, if Redis answers."""
        try:
            with answering(f"releasing the lease {self.lease.name}"):
                self.lease.release()
        except RedisAway as error:
            logger.warning("lease_not_released", error=str(error))

    def until_answered(self, call: Callable[[], Answer]) -> Answer:
        """Calls until Redis answers. Raises LeaseLost, and RedisAway only when the engine is to stop."""
        away_since, said_at, pause = 0.0, 0.0, PAUSE_SECONDS_FIRST
        while True:
            try:
                answer = self._once(call)
            except RedisAway as error:
                if self._stopping.is_set():
                    raise
                now = time.monotonic()
                away_since = away_since or now
                if now - said_at >= SAY_SECONDS or not said_at:
                    said_at = now
                    logger.warning("redis_away", error=str(error), seconds=round(now - away_since, 1))
                self._stopping.wait(pause)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
            else:
                if away_since:
                    logger.warning("redis_back", after_seconds=round(time.monotonic() - away_since, 1))
                return answer

    def _once(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except LeaseLost as lost:
            self._regain(lost)
        return call()

    def _regain(self, lost: LeaseLost) -> None:
        before = self._token
        try:
            self.take_lease()
        except LeaseHeld as held:
            raise LeaseLost(f"{lost}; {held}") from lost
        if self._token not in (before, before + 1):
            raise LeaseLost(f"{lost}; another engine held it in between") from lost
        logger.warning("lease_regained", lease=self.lease.name, token=self._token)


class PatientStore:
    """A portfolio store whose calls wait for Redis."""

    def __init__(self, store: TransitionStore, patience: Patience) -> None:
        self._store = store
        self._patience = patience

    def load(self) -> tuple[PortfolioState | None, dict[str, Trade]]:
        """State and open trades."""
        return self._patience.until_answered(self._store.load)

    def create(self, state: PortfolioState, name: str = "") -> None:
        """Writes the first state. After a lost reply it may exist already: then StepConflict, and a new start."""
        self._patience.until_answered(lambda: self._store.create(state, name))

    def commit(self, transition: Transition) -> list[str]:
        """Writes one transition; the operation id makes a repetition harmless."""
        return self._patience.until_answered(lambda: self._store.commit(transition))

    def refresh(self) -> PortfolioState:
        """The state as it is now."""
        return self._patience.until_answered(self._store.refresh)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Writes one checkpoint; the operation id makes a repetition harmless."""
        self._patience.until_answered(lambda: self._store.checkpoint(checkpoint))

    def held_for(self) -> str | None:
        """Why it may open no trades."""
        return self._patience.until_answered(self._store.held_for)

    def witnesses(self) -> dict[str, Any]:
        """Those whose shadows are in no transition yet."""
        return self._patience.until_answered(self._store.witnesses)
