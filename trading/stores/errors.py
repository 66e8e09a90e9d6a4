"""Errors of the Redis stores. Each sentence names the key and the values that made it true."""

from __future__ import annotations

from results.domain.errors import PaperDeskError


class StoreError(PaperDeskError):
    """A Redis store refuses something; nothing has changed."""


class RedisAway(StoreError):
    """No Redis answers, or it refuses for now: its disk is full. The same call may succeed when that is over."""

    retryable = True


class StepConflict(StoreError):
    """A key is no longer what the step was computed from; nothing was written. Read and decide again."""

    retryable = True

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} has changed since it was read")
        self.key = key


class StepRefused(StoreError):
    """A step holds a write that Redis would reject, such as a list push on a hash; nothing was written."""


class LeaseLost(StoreError):
    """The lease that the step was made under has expired or belongs to somebody else; nothing was written."""


class LeaseHeld(StoreError):
    """Somebody else holds the lease."""

    retryable = True


class StateMoved(StoreError):
    """Another program changed something that the engine relies on; the transition was not written."""


class PortfolioMoved(StateMoved):
    """The portfolio's state is another one, and the trades of the transition are not: another engine shard may have
    traded in the same portfolio. Nothing was written."""


class WireError(StoreError):
    """A record on a documented key cannot be read: the sentence names key, field and value."""


class IncompleteHash(WireError):
    """A result hash lacks a required field; another program may be about to add it."""
