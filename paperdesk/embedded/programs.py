"""One child process of a desk: started tied to its parent, in a process group of its own, its lines passed on."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from paperdesk.embedded.tied import tied

TEND_SECONDS = 1.0

Say = Callable[[str, str], None]  # (program name, line)


@dataclass(frozen=True)
class Program:
    """What to run: `ready` is asked until it says yes; `may_end` is for one that ends by itself when it is done.

    `before` is done before each start, and returns lines to be shown; when it fails, the program starts all the same.
    `tend` is called each second while it runs, in a thread of its own, returns such lines, and raises nothing.
    A server (`serves`) ends after all others, because they use it to the last. Lines with one of the texts of `quiet`
    are not passed on: they are no news to somebody who looks at a desk.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    ready: Callable[[], bool] | None = None
    ready_seconds_max: float = 60.0
    may_end: bool = False
    serves: bool = False
    quiet: tuple[str, ...] = ()
    before: Callable[[], list[str]] = list
    tend: Callable[[], list[str]] | None = None


class Child:
    """A running program. Make it in the main thread: it dies with the thread that made it."""

    def __init__(self, program: Program, say: Say) -> None:
        self.program = program
        self.started = time.monotonic()
        self.last_line = "it said nothing"
        self._say = say
        self._asked_to_end = False
        self._process = subprocess.Popen(
            tied(program.command),
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C in the terminal reaches the desk alone, which then stops in order
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._pass_lines_on, name=f"{program.name} output", daemon=True)
        self._reader.start()
        if program.tend:
            threading.Thread(
                target=self._tend, args=(program.tend,), name=f"{program.name} tended", daemon=True
            ).start()

    def status(self) -> int | None:
        """Return the exit status, negative for a signal, or None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Ask it to end, once: Celery takes a second request for impatience and drops what it is at."""
        if not self._asked_to_end:
            self._asked_to_end = True
            self._process.terminate()

    def stop(self, seconds_max: float) -> bool:
        """Ask it to end and wait; kill its whole group after `seconds_max`. Returns whether it ended by itself."""
        self.ask_to_end()
        ended = self._ends_within(seconds_max)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=1.0)
        return ended

    def _ends_within(self, seconds_max: float) -> bool:
        try:
            self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _tend(self, tend: Callable[[], list[str]]) -> None:
        while self.status() is None:
            for line in tend():
                self._say(self.program.name, line)
            time.sleep(TEND_SECONDS)

    def _pass_lines_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for raw in lines:
                if line := raw.decode(errors="replace").rstrip():
                    self.last_line = line
                    if not any(text in line for text in self.program.quiet):
                        self._say(self.program.name, line)
