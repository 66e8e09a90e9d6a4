"""A request to stop may come at any instant: each is tried, by a trace that asks at one line after the other."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from paperdesk.stopping import StopRequest

LINES = 40  # more than a wait passes through
PATIENCE_SECONDS = 20.0


class AskedAt:
    """Asks to stop when the thread that waits is at its n-th line, as a signal's handler would there."""

    def __init__(self, request: threading.Event, line: int) -> None:
        self.request, self.lines_left = request, line

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self.lines_left -= 1
            if self.lines_left == 0:
                sys.settrace(None)
                self.request.set()
        return self


def waited(request: threading.Event, line: int) -> threading.Thread:
    """A thread that waits, and is asked to stop at a line of that, or before it ends."""

    def run() -> None:
        sys.settrace(AskedAt(request, line))
        request.wait(0.001)
        sys.settrace(None)
        request.set()
        request.wait()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_request_at_any_line_of_the_wait_is_heard() -> None:
    for line in range(1, LINES):
        request = StopRequest()
        thread = waited(request, line)
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), f"asked at line {line} of the wait, it waits for ever"
        assert request.is_set()


def test_everybody_who_waits_goes_on() -> None:
    request, done = StopRequest(), queue.SimpleQueue[bool]()
    threads = [threading.Thread(target=lambda: done.put(request.wait(PATIENCE_SECONDS))) for _ in range(3)]
    for thread in threads:
        thread.start()
    request.set()
    assert [done.get(timeout=PATIENCE_SECONDS) for _ in threads] == [True, True, True]
    assert request.wait(0.0)


def test_a_wait_that_nobody_ends_says_so() -> None:
    assert not StopRequest().wait(0.001)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        request = StopRequest().on_signals()
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        assert request.wait(PATIENCE_SECONDS)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
