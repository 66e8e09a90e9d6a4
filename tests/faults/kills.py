"""Clients that work and are killed, by the plan of a seed, until there were enough kills and acknowledged changes.

Each slot has one program (`tests.faults.client`) that lives one life after the other; slots work at the same time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, cast

import msgspec

from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR
from tests.faults.acknowledged import SUFFIX, Operation, Outcome, operations_in, read_list
from tests.faults.lives import Life, Plan, Point, planned

LIFE_SECONDS_MAX = 120.0  # on any machine; a life takes some tenths of a second on an idle one
POLL_SECONDS = 0.001


class ClientFailed(AssertionError):
    """A client ended by itself, or stood still."""


class Kills:
    """One run of a plan against one Redis. `folder` gets the lists."""

    def __init__(self, plan: Plan, redis_url: str, folder: Path) -> None:
        self.plan = plan
        self.redis_url = redis_url
        self.folder = folder
        self.kills = 0
        self.changes = 0
        self._is_over = threading.Event()
        self._lock = threading.Lock()

    def run(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Go on until the plan is fulfilled; `meanwhile` is called again and again. Raises ClientFailed."""
        with contextlib.ExitStack() as ending, ThreadPoolExecutor(self.plan.slots) as threads:
            programs = [Program() for _ in range(self.plan.slots)]
            for program in programs:
                ending.callback(program.end)
            slots = [threads.submit(self._slot, slot, program) for slot, program in enumerate(programs)]
            while not any(slot.done() for slot in slots):
                meanwhile()
                concurrent.futures.wait(slots, POLL_SECONDS)
            self._is_over.set()
            for slot in slots:
                slot.result()

    def operations(self) -> dict[str, Operation]:
        """What the clients' lists say."""
        return operations_in(self.folder.glob(f"*{SUFFIX}"))

    def _slot(self, slot: int, program: Program) -> None:
        plan = self.plan
        for number in itertools.count():
            if self._is_over.is_set() or (self.kills >= plan.kills and self.changes >= plan.changes):
                return
            life = planned(plan, self.redis_url, self.folder, slot, number)
            program.live(life)
            self._count(life)

    def _count(self, life: Life) -> None:
        found = read_list(life.path) if life.path.exists() else []
        with self._lock:
            self.kills += 1
            self.changes += sum(len(each.changes) for each in found if each.outcome is Outcome.ACKNOWLEDGED)


class Program:
    """A program that lives lives, to be started in the main thread: it ends with that."""

    def __init__(self) -> None:
        command = tied([sys.executable, "-m", "tests.faults.client"])
        self._process = subprocess.Popen(
            command, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._input, self._output = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)

    def end(self) -> None:
        """End it; nobody lives then."""
        self._input.close()
        self._process.wait()
        self._output.close()

    def live(self, life: Life) -> None:
        """Have a life begin, and end as planned. Raises ClientFailed when it ends otherwise."""
        self._input.write(msgspec.json.encode(life) + b"\n")
        deadline = time.monotonic() + LIFE_SECONDS_MAX
        client = self._number_before(deadline)
        try:
            if life.death.point is Point.OUTSIDE:
                self._wait_for_size(life, deadline)
                os.kill(client, signal.SIGKILL)
            status = self._number_before(deadline)
        except ClientFailed:
            os.kill(client, signal.SIGKILL)
            raise
        if status != -signal.SIGKILL:
            raise ClientFailed(f"life {life.path.stem} ended by itself, with status {status}")

    def _wait_for_size(self, life: Life, deadline: float) -> None:
        while not life.path.exists() or life.path.stat().st_size < life.death.after:
            if select.select([self._output], [], [], POLL_SECONDS)[0]:
                return  # it has ended by itself; its process id is kept until its program has said so
            if time.monotonic() > deadline:
                raise ClientFailed(f"life {life.path.stem} stands still at {life.death}")

    def _number_before(self, deadline: float) -> int:
        if not select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise ClientFailed("a client stands still")
        line = self._output.readline()
        if not line:
            raise ClientFailed(f"the clients' program ended with status {self._process.wait()}")
        return int(line)
