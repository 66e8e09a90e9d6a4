"""Clocks, in microseconds UTC. Nothing in domain or engine asks for the time in any other way."""

from __future__ import annotations

import time
from typing import Protocol

NANOSECONDS_PER_MICROSECOND = 1_000


class Clock(Protocol):
    """Something that knows the time."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""


class SystemClock:
    """The machine's clock; live and synthetic feeds run on it."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // NANOSECONDS_PER_MICROSECOND


class EventClock:
    """A clock that stands where it was put; replays and tests move it."""

    def __init__(self, now_us: int = 0) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        return self._now_us

    def move_to(self, now_us: int) -> None:
        """Moves forward to `now_us`; an earlier time leaves the clock where it is."""
        self._now_us = max(self._now_us, now_us)
