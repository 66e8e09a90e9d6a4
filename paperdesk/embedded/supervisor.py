"""Starts the programs of a desk in order, restarts what dies, stops all: programs at once, then servers in reverse.

honcho's printer gives the lines their coloured prefixes; its manager is not used, because it ends everything when one
process ends, starts all at once without waiting for readiness, and leaves its children alive when it is killed.

A program that ends before it was ready, or fails within EARLY_SECONDS of its first start, ends the desk: that is
a wrong setting and not an accident. One that dies later is restarted at once, and one that does not live long then
after 1, 2, 4 ... 30 s; STEADY_SECONDS of life reset the wait.

A full disk ends nothing: what cannot be told of the programs (`on_change`) is told later, and lines are left out.
"""

import errno
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from paperdesk.embedded.programs import Child, Program
from paperdesk.errors import PaperDeskError
from paperdesk.stopping import StopRequest

POLL_SECONDS = 0.02
EARLY_SECONDS = 5.0
BACKOFF_SECONDS_MAX = 30.0
STEADY_SECONDS = 10.0  # on a busy machine a program takes five of them to begin its work
STOP_SECONDS_MAX = 8.0  # all programs together; an engine on a busy machine takes a few to give back its lease
STOP_ONE_SECONDS_MAX = 4.0  # one server
NAME_WIDTH = 10
TELL_AGAIN_SECONDS = 1.0
NEVER = float("inf")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ProgramFailed(PaperDeskError):
    """A program of the desk cannot run; its last line is in the sentence."""


class Stopped(Exception):
    """Somebody asked the desk to stop while it was starting."""


class Supervisor:
    """Runs programs until `request_stop`. All methods are called in the main thread; printing may come from any."""

    def __init__(self, output: TextIO) -> None:
        self.on_change: Callable[[], None] = lambda: None  # an OSError of it is no end: it is called again
        self._tell_at = NEVER
        self._output = output
        self._children: dict[str, Child] = {}
        self._failures: dict[str, int] = {}
        self._restart_at: dict[str, float] = {}
        self._stopping = StopRequest()
        self._printer = Printer(output, width=NAME_WIDTH)
        self._print_lock = threading.Lock()
        self._palette = get_colours()
        self._colours: dict[str, str] = {}

    def say(self, name: str, line: str) -> None:
        """Print a line under a program's name. Nothing is printed while the disk of the output is full."""
        with self._print_lock:
            colour = self._colours.setdefault(name, next(self._palette))
            try:
                self._printer.write(Message("line", line, datetime.now().astimezone(), name, colour))
            except OSError as error:
                if error.errno not in FULL:
                    raise

    def show(self, text: str) -> None:
        """Print text as it is, in one piece between the programs' lines."""
        with self._print_lock:
            self._output.write(text)
            self._output.flush()

    def pids(self) -> dict[str, int]:
        """Return the process ids by program name."""
        return {name: child.pid for name, child in self._children.items()}

    def request_stop(self) -> None:
        """Stop soon."""
        self._stopping.set()

    def stop_on_signals(self) -> None:
        """Ctrl-C and a polite kill stop the desk in order."""
        self._stopping.on_signals()

    def refuse_to_start_when_stopping(self) -> None:
        """Raise Stopped if somebody asked to stop; called between the steps of a start."""
        if self._stopping.is_set():
            raise Stopped

    def launch(self, *programs: Program) -> None:
        """Start programs without waiting for them. Raises Stopped."""
        for program in programs:
            self.refuse_to_start_when_stopping()
            self._spawn(program)

    def wait_until_ready(self, *names: str) -> None:
        """Wait for these programs, or for every launched one. Raises ProgramFailed, for whichever fails; or Stopped."""
        for name in names or tuple(self._children):
            self._wait_for(self._children[name].program)

    def run_to_end(self, program: Program) -> None:
        """Run one step of the start. Raises ProgramFailed when it fails, Stopped when the desk is asked to stop."""
        self.refuse_to_start_when_stopping()
        self._spawn(program)
        try:
            while (status := self._children[program.name].status()) is None:
                self._pause(besides=program.name)
        finally:
            child = self._children.pop(program.name)
            child.stop(STOP_ONE_SECONDS_MAX)
        if status:
            raise ProgramFailed(f"{program.name} ended with status {status}: {_reason(child)}")

    def run(self) -> None:
        """Watch the programs until a stop is requested. Raises ProgramFailed for one that fails at once."""
        while not self._stopping.wait(POLL_SECONDS):
            for name, child in list(self._children.items()):
                if child.status() is not None:
                    self._after_end(name, child)
            for name, at in list(self._restart_at.items()):
                if time.monotonic() >= at:
                    del self._restart_at[name]
                    self._spawn(self._children[name].program)
            if time.monotonic() >= self._tell_at:
                self._tell()

    def stop(self) -> None:
        """Stop all programs at once within STOP_SECONDS_MAX, then their servers, the last started first."""
        running = [(name, child) for name, child in reversed(self._children.items()) if child.status() is None]
        programs = [(name, child) for name, child in running if not child.program.serves]
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for _, child in programs:
            child.ask_to_end()
        for name, child in programs:
            self._stop(name, child, max(0.1, deadline - time.monotonic()), STOP_SECONDS_MAX)
        for name, child in running:
            if child.program.serves:
                self._stop(name, child, STOP_ONE_SECONDS_MAX, STOP_ONE_SECONDS_MAX)
        self._children.clear()

    def _stop(self, name: str, child: Child, seconds: float, allowed_seconds: float) -> None:
        if not child.stop(seconds):
            self.say("desk", f"{name} did not end within {allowed_seconds:.0f} s and was killed")

    def _spawn(self, program: Program) -> None:
        try:
            for line in program.before():
                self.say(program.name, line)
        except OSError as error:
            self.say(program.name, f"what is to be done before its start failed: {error}")
        self._children[program.name] = Child(program, self.say)
        self._tell()

    def _tell(self) -> None:
        """Tell that the programs are others; if that fails, a sentence, and again until it succeeds."""
        failed_before = self._tell_at != NEVER
        try:
            self.on_change()
            self._tell_at = NEVER
        except OSError as error:
            self._tell_at = time.monotonic() + TELL_AGAIN_SECONDS
            if not failed_before:
                self.say("desk", f"could not write where its programs are, and tries again: {error}")
            return
        if failed_before:
            self.say("desk", "has written where its programs are")

    def _wait_for(self, program: Program) -> None:
        deadline = time.monotonic() + program.ready_seconds_max
        while program.ready and not program.ready():
            self._pause()
            if time.monotonic() > deadline:
                raise ProgramFailed(f"{program.name} was not ready within {program.ready_seconds_max:.0f} s")

    def _pause(self, besides: str = "") -> None:
        """Wait a little during the start, unless it makes no sense to go on. Raises ProgramFailed or Stopped."""
        self.refuse_to_start_when_stopping()
        for name, child in self._children.items():
            status = child.status()
            if name != besides and status is not None and not (status == 0 and child.program.may_end):
                child.stop(0.0)  # its last line has come by then
                raise ProgramFailed(f"{name} ended with status {status}: {_reason(child)}")
        time.sleep(POLL_SECONDS / 2)

    def _after_end(self, name: str, child: Child) -> None:
        if name in self._restart_at:
            return
        status, lived = child.status(), time.monotonic() - child.started
        if status == 0 and child.program.may_end:
            self.say("desk", f"{name} is done")
            self._restart_at[name] = NEVER
            return
        if status and status > 0 and lived < EARLY_SECONDS and name not in self._failures:
            raise ProgramFailed(f"{name} ended with status {status} after {lived:.1f} s: {_reason(child)}")
        failures = 0 if lived > STEADY_SECONDS else self._failures.get(name, 0)
        wait = min(BACKOFF_SECONDS_MAX, 2.0 ** (failures - 1)) if failures else 0.0
        self._failures[name] = failures + 1
        self._restart_at[name] = time.monotonic() + wait
        when = f"in {wait:.0f} s" if wait else "now"
        self.say("desk", f"{name} ended with status {status} after {lived:.0f} s; it starts again {when}")


def _reason(child: Child) -> str:
    """The last line of a program that ended, without the word that a sentence around it has already."""
    return child.last_line.removeprefix("Error: ")
