"""The part of a sync that takes in what other programs wrote: retries that staff asked for, the sweep, dead letters."""

from __future__ import annotations

import time
from collections.abc import Callable

import duckdb
import msgspec
from redis import Redis

from results.pipeline.foreign.letters import LetterBook
from results.pipeline.foreign.sweep import Sweep, wanted_by
from results.pipeline.log_writer import Written
from results.pipeline.newest import newest_rows
from results.pipeline.reconcile.reconciler import Reconciler
from results.pipeline.report import FollowerState, SweepState, state_after
from results.stores.gate import Gate

SECONDS_MAX = 1.5  # of the 3 s between two syncs, while much is to be taken in

Append = Callable[[duckdb.DuckDBPyConnection], Written]


class TakenIn(msgspec.Struct, frozen=True):
    """How many records were decided, how many wait for the log; what the log took meanwhile, if it was opened."""

    decided: int
    postponed: int
    written: Written | None


class Intake:
    """Takes in records of other programs. Keeps its place between turns."""

    def __init__(self, client: Redis, gate: Gate, reconciler: Reconciler) -> None:
        self.sweep = Sweep(client)
        self.letters = LetterBook(client, self.sweep.store, reconciler)
        self._gate = gate

    def once(self, append: Append, at_us: int) -> TakenIn:
        """One turn, longer while there is something to take in. `append` brings the log up to the stream: only beside a
        log that has all of its entries can a record be judged; until then it is found again at the next turn.

        Raises PaperDeskError, duckdb.Error, OSError, django.db.DatabaseError, redis.RedisError.
        """
        self.letters.retry(at_us)
        until = time.monotonic() + SECONDS_MAX
        taken = self._some(append, at_us)
        while taken.decided and self.sweep.is_under_way and time.monotonic() < until:
            more = self._some(append, at_us)
            taken = TakenIn(taken.decided + more.decided, more.postponed, more.written or taken.written)
        return taken

    def _some(self, append: Append, at_us: int) -> TakenIn:
        cases = self.sweep.look(at_us)
        if not cases:
            return TakenIn(self.sweep.settle([], {}, at_us), 0, None)
        with self._gate.write() as connection:
            written = append(connection)
            newest = newest_rows(connection, wanted_by(cases)) if written.is_level else None
        if newest is None:
            return TakenIn(0, len(cases), written)
        return TakenIn(self.sweep.settle(cases, newest, at_us), 0, written)

    def state(self, before: FollowerState | None, postponed: int, error: str | None, at_us: int) -> SweepState:
        """How the sweep does, for pages and alarms."""
        counts = self.sweep.counts()
        state = state_after(before, str(counts.seen), postponed, error, at_us)
        told = {**msgspec.structs.asdict(state), **msgspec.structs.asdict(counts)}
        return SweepState(**told, incomplete=self.sweep.waiting)
