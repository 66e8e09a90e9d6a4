"""Clients that work and are killed, by the plan of a seed, until there were enough kills and acknowledged changes.

Each slot has one program (`tests.faults.client`) that lives one life after the other; slots work at the same time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from tests.faults.acknowledged import SUFFIX, Operation, Outcome, operations_in, read_list
from tests.faults.forked import SECONDS_MAX, LifeFailed, Program
from tests.faults.lives import Life, Plan, Point, planned

CLIENT = "tests.faults.client"
POLL_SECONDS = 0.001


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
        """Go on until the plan is fulfilled; `meanwhile` is called again and again. Raises LifeFailed."""
        with contextlib.ExitStack() as ending, ThreadPoolExecutor(self.plan.slots) as threads:
            programs = [Program(CLIENT) for _ in range(self.plan.slots)]
            for program in programs:
                ending.callback(program.end)
            slots = [threads.submit(self._slot, slot, program) for slot, program in enumerate(programs)]
            try:
                while not any(slot.done() for slot in slots):
                    meanwhile()
                    concurrent.futures.wait(slots, POLL_SECONDS)
            finally:
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
            self._live(program, life)
            self._count(life)

    def _live(self, program: Program, life: Life) -> None:
        """A life, to its planned end."""
        program.begin(msgspec.json.encode(life))
        if life.death.point is not Point.OUTSIDE:
            program.wait()
            return
        deadline = time.monotonic() + SECONDS_MAX
        while not life.path.exists() or life.path.stat().st_size < life.death.after:
            if program.has_ended(POLL_SECONDS):
                break  # by itself: the program tells how
            if time.monotonic() > deadline:
                raise LifeFailed(f"{life.path.stem} has not got to {life.death.after} bytes in {SECONDS_MAX} s")
        program.kill()

    def _count(self, life: Life) -> None:
        found = read_list(life.path) if life.path.exists() else []
        with self._lock:
            self.kills += 1
            self.changes += sum(len(each.changes) for each in found if each.outcome is Outcome.ACKNOWLEDGED)
