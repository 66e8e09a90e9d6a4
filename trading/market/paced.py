"""Events of the past, or made-up ones, given out in real time.

Each event is due when as much time has gone by on the clock as lies between it and the first one. Event times are
moved by the same amount, so that to the desk they are fresh. A recording starts anew when it has ended: first a
FeedGap for each instrument, because the old book says nothing about the new pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import msgspec

from trading.domain.events import FeedGap, FundingRate, MarketEvent
from trading.market.errors import MarketError

EVENTS_PER_POLL_MAX = 5_000
LAG_US_MAX = 10_000_000  # a machine that slept goes on where it was, instead of catching up for hours
PAUSE_US = 1_000_000  # between two passes of a recording


class Clock(Protocol):
    """Something that knows the time."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""


class PacedFeed:
    """A feed over `passes`, which begins a new iteration of the same events each time it is iterated."""

    def __init__(self, name: str, passes: Iterable[MarketEvent], clock: Clock) -> None:
        self.name = name
        self.troubles: dict[str, str] = {}  # nothing can go wrong on the way
        self._passes = passes
        self._clock = clock
        self._closed = threading.Event()
        self._wait: Callable[[float], object] = self._closed.wait
        self._shift_us = 0
        self._last_us = 0
        self._timeline = self._events()
        self._next: MarketEvent | None = None

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        """The events that are due, at most EVENTS_PER_POLL_MAX; waits up to the timeout for the first one.

        Raises MarketError if there are no events at all, CaptureError if a recorded file cannot be read.
        """
        events = self._due()
        if not events and not self._closed.is_set():
            until_due_us = self._peek().event_us + self._shift_us - self._clock.now_us()
            self._wait(max(0.0, min(timeout_seconds, until_due_us / 1_000_000)))
            events = self._due()
        return events

    def close(self) -> None:
        """Ends a poll that waits; later polls give nothing."""
        self._closed.set()

    def _due(self) -> list[MarketEvent]:
        events: list[MarketEvent] = []
        now_us = self._clock.now_us()
        while len(events) < EVENTS_PER_POLL_MAX and not self._closed.is_set():
            event = self._peek()
            lag_us = now_us - event.event_us - self._shift_us
            if lag_us < 0:
                break
            if lag_us > LAG_US_MAX:
                self._shift_us += lag_us
            self._last_us = event.event_us + self._shift_us
            events.append(_shifted(event, self._shift_us))
            self._next = None
        return events

    def _peek(self) -> MarketEvent:
        self._next = self._next or next(self._timeline)
        return self._next

    def _events(self) -> Iterator[MarketEvent]:
        """All passes after each other. The first event of each one sets the shift."""
        while True:
            last: MarketEvent | None = None
            instruments: dict[str, None] = {}
            for event in self._passes:
                if last is None:
                    self._shift_us = self._shift_of_pass(event.event_us)
                last = event
                instruments[event.instrument] = None
                yield event
            if last is None:
                raise MarketError(f"feed {self.name}: there is no event in it")
            yield from (FeedGap(instrument, last.event_us, "the recording starts anew") for instrument in instruments)

    def _shift_of_pass(self, first_us: int) -> int:
        """How far a pass is moved in time: behind the one before; the first one only if it is not of about now."""
        if self._last_us:
            return self._last_us + PAUSE_US - first_us
        lag_us = self._clock.now_us() - first_us
        return lag_us if abs(lag_us) > LAG_US_MAX else 0


def _shifted(event: MarketEvent, shift_us: int) -> MarketEvent:
    if not shift_us:
        return event
    if isinstance(event, FundingRate):
        return msgspec.structs.replace(
            event, event_us=event.event_us + shift_us, next_settlement_us=event.next_settlement_us + shift_us
        )
    return msgspec.structs.replace(event, event_us=event.event_us + shift_us)
