"""Programs whose every life is a process of its own, without the seconds that a start of Python costs.

A program reads one life a line from its input and lives it in a fork. It prints a line with the process id when the
life begins, and one with how it ended: minus the signal, or its exit status.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import IO, cast

from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR

SECONDS_MAX = 120.0  # until the next line, on any machine; a life takes some tenths of a second on an idle one


class LifeFailed(AssertionError):
    """A life ended by itself, or stood still."""


def serve(live: Callable[[bytes], None]) -> None:
    """The program's side: live the lives on the input. Nothing may be open before."""
    ended_before = 0
    for line in sys.stdin.buffer:
        if ended_before:
            os.waitpid(ended_before, 0)  # only now: until it is reaped nobody else has its process id
        child = os.fork()
        if child == 0:
            try:
                live(line)
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            os._exit(1)
        print(child, flush=True)
        ended = cast(os.waitid_result, os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT))
        print(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)
        ended_before = child


class Program:
    """The other side: `python -m MODULE`. To be started in the main thread, with which it ends."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            tied([sys.executable, "-m", module]),
            cwd=BASE_DIR,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._input, self._output = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._living: int | None = None

    def end(self) -> None:
        """End it, and whoever lives."""
        if self._living is not None:
            self.kill()
        self._input.close()
        self._process.wait()
        self._output.close()

    def begin(self, life: bytes) -> None:
        """Have a life begin."""
        self._input.write(life + b"\n")
        self._living = self._number()

    def kill(self) -> None:
        """End the life with SIGKILL, if it has not ended by itself, which is an error."""
        if self._living is not None:
            os.kill(self._living, signal.SIGKILL)
        self.wait()

    def has_ended(self, seconds: float) -> bool:
        """Whether the life ends by itself within that time."""
        return bool(select.select([self._output], [], [], seconds)[0])

    def wait(self) -> None:
        """Wait until the life was ended by SIGKILL. Raises LifeFailed when it ended in another way, or does not."""
        status = self._number()
        self._living = None
        if status != -signal.SIGKILL:
            raise LifeFailed(f"a life ended by itself, with status {status}")

    def _number(self) -> int:
        if not self.has_ended(SECONDS_MAX):
            raise LifeFailed(f"a life stands still for {SECONDS_MAX} s")
        line = self._output.readline()
        if not line:
            raise LifeFailed(f"the program ended with status {self._process.wait()}")
        return int(line)
