"""What is due at an instant of event time, in the order (deadline, name).

Invariants: a timer runs once; one that is set for the past runs before anything later; timers that a timer sets are
run in the same pass when they are due, so that a pass over a long silence ends in the same state as many short ones.
At one instant the phases below come in their order: funding is booked before a position changes at that instant, and
what arrives at a venue was sent before what is decided then.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[int], None]  # called with the deadline, not with the time at which it was noticed

NEVER_US = 1 << 62

FUNDING = "1 funding"
SAMPLE = "2 sample"
ARRIVAL = "3 arrival"
ACKNOWLEDGEMENT = "4 acknowledgement"
DECISION = "5 decision"
WATCH = "6 watch"


class Timers:
    """Timers of one engine."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str, int, Action]] = []
        self._count = 0
        self.next_us = NEVER_US

    def at(self, deadline_us: int, phase: str, name: str, action: Action) -> None:
        """Calls `action(deadline_us)` when that instant is reached. `name` orders timers of one instant and phase."""
        self._count += 1
        heapq.heappush(self._heap, (deadline_us, f"{phase} {name}", self._count, action))
        self.next_us = self._heap[0][0]

    def run_until(self, now_us: int) -> None:
        """Runs all timers with a deadline at or before `now_us`."""
        while self._heap and self._heap[0][0] <= now_us:
            deadline_us, _, _, action = heapq.heappop(self._heap)
            self.next_us = self._heap[0][0] if self._heap else NEVER_US
            action(deadline_us)
