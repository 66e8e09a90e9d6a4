"""A replay: engine and monitor on event time, in one process, at full speed.

Order (design): timers that are due, then the monitor's tick at each whole second of event time, then the event. The
same files, settings and seed give the same transitions; neither wall clock nor thread takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trading.domain.events import MarketEvent
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import MICROSECONDS
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.monitor import Monitor

NEVER_US = 1 << 62


class Tally:
    """Counts what a replay did; it listens to the engine's transitions."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed: dict[str, int] = {}
        self.leg_outs = 0

    def __call__(self, prefix: str, before: Trade | None, after: Trade) -> None:
        """Takes in one transition."""
        self.opened += before is None
        self.leg_outs += after.leg_out is not None and (before is None or before.leg_out is None)
        if after.status is TradeStatus.CLOSED:
            reason = after.exit_reason or "unknown"
            self.closed[reason] = self.closed.get(reason, 0) + 1


class Replay:
    """Drives an engine and a monitor through recorded events."""

    def __init__(self, engine: Engine, monitor: Monitor, clock: EventClock) -> None:
        self._engine = engine
        self._monitor = monitor
        self._clock = clock
        self.ticks = 0

    def run(self, events: Iterable[MarketEvent], on_second: Callable[[int], None] = lambda _now_us: None) -> None:
        """Runs to the last event and takes a final tick that records the day; `on_second` is told each tick's time.

        Raises what feed and stores raise; what was committed until then stays.
        """
        engine, next_tick_us = self._engine, NEVER_US
        for event in events:
            if event.event_us >= next_tick_us:
                next_tick_us = self._tick_until(event.event_us, next_tick_us, on_second)
            elif next_tick_us == NEVER_US:
                engine.start(event.event_us)
                next_tick_us = (event.event_us // MICROSECONDS + 1) * MICROSECONDS
            engine.on_event(event)
        if next_tick_us != NEVER_US:
            engine.end_watches()
            self._tick(engine.now_us, record=True)

    def _tick_until(self, event_us: int, next_tick_us: int, on_second: Callable[[int], None]) -> int:
        while next_tick_us <= event_us:
            self._engine.on_time(next_tick_us)
            self._tick(next_tick_us)
            on_second(next_tick_us)
            next_tick_us += MICROSECONDS
        return next_tick_us

    def _tick(self, now_us: int, record: bool = False) -> None:
        self._clock.move_to(now_us)
        self._engine.publish()
        self._monitor.tick(record)
        self.ticks += 1
        self._engine.on_commands()
