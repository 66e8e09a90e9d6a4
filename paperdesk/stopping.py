"""Stopping on Ctrl-C and on a polite kill."""

from __future__ import annotations

import queue
import signal
import threading
from types import FrameType
from typing import Self


class StopRequest(threading.Event):
    """An event that a signal's handler may set, and that is never cleared.

    `threading.Event.set` takes a lock, which the very thread that the signal interrupts may hold inside `wait`: it
    then waits for itself for ever. `SimpleQueue.put` is made to be called there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked = False
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()

    def on_signals(self) -> Self:
        """Set it at SIGINT and SIGTERM from now on. In the main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)
        return self

    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        return self._asked

    def set(self) -> None:
        """Ask to stop; every thread that waits goes on."""
        self._asked = True
        self._woken.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until somebody asks to stop, at most `timeout` seconds; whether somebody did."""
        if self._asked:
            return True
        try:
            self._woken.get(timeout=timeout)
        except queue.Empty:
            return self._asked
        self._woken.put(None)  # for the next that waits
        return True

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.set()
