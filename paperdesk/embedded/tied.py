"""Run a command that cannot outlive the process that started it: `python tied.py PARENT_PID COMMAND...`.

Linux only: the kernel kills this process when the thread that started it ends (PR_SET_PDEATHSIG), and the setting
survives exec, so no wrapper process stays. It is a program and not a preexec_fn because that may deadlock in a parent
with threads. Elsewhere the command simply runs. It uses the standard library only and starts in about 15 ms.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def tied(command: Sequence[str]) -> list[str]:
    """Return `command` in a form that dies with the calling thread (call it from the main thread)."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent_pid: int, command: Sequence[str]) -> None:
    """Ask the kernel for our death with the parent's, then become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # the parent died before we asked
            sys.exit(1)
    os.execvp(command[0], list(command))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
