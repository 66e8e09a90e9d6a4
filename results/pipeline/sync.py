"""One sync: take in what other programs wrote, reconcile what closed, append what is new to the log, and let each
follower of the log catch up.

Each part fails on its own: the others go on, the report and `paperdesk:sync` say since when it is away and how much
waits, and it catches up at a later sync. Whatever a sync does may run twice at once, or be killed anywhere, and then
be done again: nothing is lost or doubled. Nothing to do costs some round trips to Redis, more with the number of hot
hashes; DuckDB is not opened then. The log comes first: what it has is safe, and no follower's slowness holds it up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import duckdb
import msgspec
from django.db import DatabaseError
from redis import Redis

from results.domain.errors import PaperDeskError
from results.pipeline.entries import DeadLetterBox
from results.pipeline.follower import Follower, marks_of
from results.pipeline.intake import Intake
from results.pipeline.log_slice import LogSlice, next_slices
from results.pipeline.log_writer import LogWriter, Progress, Written
from results.pipeline.loss import Losses
from results.pipeline.rebuild import Rebuild
from results.pipeline.reconcile.reconciler import Reconciler
from results.pipeline.relay import Relay, Relayed
from results.pipeline.report import FollowerState, SyncReport, publish, publish_backlog, published, state_after
from results.pipeline.stream import START, OutboxStream, StreamState, order_of
from results.stores.duck import Watermark
from results.stores.gate import Gate
from results.stores.marks import Mark
from trading.stores.step import StepRunner

BATCHES_PER_TURN = 4  # of 2,000 entries: others wait for the log no longer than some 200 ms
SECONDS_MAX = 2.0  # the next sync is due after 3 s; what is left then waits for it
RECONCILE_SECONDS, APPEND_SECONDS = 0.4, 1.4  # while the stream is long; then the followers have their turn
RELAY, SWEEP, RECONCILE, DUCKDB = Relay.name, "sweep", "reconcile", "duckdb"
RECONCILE_FAILURES = (PaperDeskError, DatabaseError)
DUCKDB_FAILURES = (PaperDeskError, duckdb.Error, OSError)
SWEEP_FAILURES = (*DUCKDB_FAILURES, DatabaseError)


def no_progress(_point: str, _count: int) -> None:
    """Nobody watches."""


class Sync:
    """Keeps positions between calls. One per process; nothing is opened before `once`."""

    def __init__(
        self,
        client: Redis,
        gate: Gate,
        followers: Sequence[Follower],
        reconciler: Reconciler,
        now_us: Callable[[], int],
    ) -> None:
        self.client = client
        self.gate = gate
        self.followers = followers
        self.reconciler = reconciler
        self.relay = Relay(client)
        self.intake = Intake(client, gate, reconciler)
        self.now_us = now_us
        self.stream = OutboxStream(client)
        self.losses = Losses(client)
        self.rebuild = Rebuild(client, gate)
        self.dead_letters = DeadLetterBox(StepRunner(client))
        self.log: Known | None = None
        self.positions: dict[str, int] = {}
        self.has_backlog = True  # or one before had it
        self.is_level = False  # whether the last turn left every follower with everything and none in trouble

    def once(self, progress: Progress = no_progress, seconds_max: float = SECONDS_MAX) -> SyncReport:
        """Do what there is to do, for about `seconds_max` at most, and publish how far everybody is.

        `progress` is told the name of each point passed and a count. Raises redis.RedisError when Redis is away.
        """
        self.is_level = False
        report = _Turn(self, progress, time.monotonic() + seconds_max).run()
        publish(self.client, report.followers)
        self.has_backlog = publish_backlog(self.client, report.followers, self.has_backlog, report.at_us)
        self.is_level = report.is_level
        return report


class Known(msgspec.Struct, frozen=True):
    """What a process last saw of the log: the stream as it was then, and the log's watermark."""

    stream: StreamState
    mark: Watermark
    is_level: bool


class _Turn:
    """One call of `Sync.once`."""

    def __init__(self, sync: Sync, progress: Progress, deadline: float) -> None:
        self.sync = sync
        self.progress = progress
        self.deadline = deadline
        self.started = time.monotonic()
        self.at_us = sync.now_us()
        self.stream = sync.stream.state()
        self.errors: dict[str, str] = {}
        self.changed: dict[str, int] = {}
        self.relayed = Relayed(0, 0)
        self.swept = self.unswept = self.reconciled = self.appended = self.letters = self.rebuilt = 0
        self.epoch_began = False

    def run(self) -> SyncReport:
        """Everything, in order."""
        self._relay()
        self._take_in()
        self._reconcile()
        while self._one_round() and time.monotonic() < self.deadline:
            pass
        self._rebuild()
        self._file_letters()
        if self.changed:
            self._relay()  # cases of review that came with the Django tables' rows
        return SyncReport(
            at_us=self.at_us,
            epoch=self.stream.epoch,
            epoch_began=self.epoch_began,
            relayed=self.relayed.added,
            swept=self.swept,
            reconciled=self.reconciled,
            appended=self.appended,
            dead_letters=self.letters,
            rebuilt=self.rebuilt,
            changed=self.changed,
            trimmed=self._trim(),
            followers=self._states(),
            duration_ms=round((time.monotonic() - self.started) * 1000, 3),
        )

    def _relay(self) -> None:
        try:
            relayed = self.sync.relay.once(self.stream.epoch)
        except self.sync.relay.failures as error:
            self.errors[RELAY] = _sentence(error)
            return
        self.relayed = Relayed(self.relayed.added + relayed.added, relayed.waiting)
        self._look_again(relayed.added)
        self.progress(RELAY, relayed.added)

    def _take_in(self) -> None:
        try:
            taken = self.sync.intake.once(self._append, self.at_us)
        except SWEEP_FAILURES as error:
            self.errors[SWEEP] = _sentence(error)
            return
        self.swept, self.unswept = taken.decided, taken.postponed
        if taken.written:
            self._note(taken.written)
        self._look_again(self.swept)
        self.progress(SWEEP, self.swept)

    def _look_again(self, written: int) -> None:
        if written:
            self.stream = self.sync.stream.state()  # what was written is synced right away

    def _rebuild(self) -> None:
        if not self._log_is_level():
            return
        try:
            self.rebuilt = self.sync.rebuild.once(self.stream.epoch, self.deadline)
        except DUCKDB_FAILURES as error:
            self.errors.setdefault(DUCKDB, _sentence(error))
        self.progress("rebuilt", self.rebuilt)

    def _file_letters(self) -> None:
        try:
            self.sync.intake.letters.file(self.at_us)
        except DatabaseError as error:
            self.errors.setdefault(SWEEP, _sentence(error))

    def _append(self, connection: duckdb.DuckDBPyConnection) -> Written:
        writer = LogWriter(self.sync.stream, self.sync.losses, self.sync.dead_letters, self.progress)
        return writer.write(connection, BATCHES_PER_TURN, self.at_us)

    def _reconcile(self) -> None:
        try:
            until = time.monotonic() + RECONCILE_SECONDS
            self.reconciled = self.sync.reconciler.follow(self.stream, self.at_us, min(until, self.deadline))
        except RECONCILE_FAILURES as error:
            self.errors[RECONCILE] = _sentence(error)
        self._look_again(self.reconciled)
        self.progress(RECONCILE, self.reconciled)

    def _one_round(self) -> bool:
        """Append some, and give each follower that is behind and answers its next slice. Whether more remains."""
        marks = self._marks_of_those_behind()
        if self._log_is_level() and not marks:
            return False
        slices = self._slices(marks)
        until = min(self.deadline, self.started + APPEND_SECONDS)
        while not self._log_is_level() and DUCKDB not in self.errors and time.monotonic() < until:
            self._slices({})
        for follower in self.sync.followers:
            if follower.name in slices:
                self._write(follower, slices[follower.name])
        return DUCKDB not in self.errors and bool(slices or not self._log_is_level())

    def _log_is_level(self) -> bool:
        log = self.sync.log
        return log is not None and log.stream == self.stream and log.is_level

    def _marks_of_those_behind(self) -> dict[str, Sequence[Mark]]:
        found: dict[str, Sequence[Mark]] = {}
        for follower in self.sync.followers:
            if follower.name in self.errors or self._has_everything(follower):
                continue
            try:
                found[follower.name] = marks_of(follower)
            except follower.failures as error:
                self.errors[follower.name] = _sentence(error)
        return found

    def _has_everything(self, follower: Follower) -> bool:
        log = self.sync.log
        if log is None or log.stream != self.stream:
            return False
        return self.sync.positions.get(follower.name) == log.mark.seq

    def _slices(self, marks: dict[str, Sequence[Mark]]) -> dict[str, LogSlice]:
        """Append what is new, and read the next slice of each follower; the log is held for no longer than that."""
        sync = self.sync
        try:
            with sync.gate.write() as connection:
                written = self._append(connection)
                slices = next_slices(connection, marks, {each.name: each.seqs_per_slice for each in sync.followers})
        except DUCKDB_FAILURES as error:
            self.errors[DUCKDB] = _sentence(error)
            return {}
        self._note(written)
        for name, found in slices.items():
            sync.positions[name] = found.after_seq if found else written.mark.seq
        return {name: found for name, found in slices.items() if found}

    def _note(self, written: Written) -> None:
        self.stream = written.stream
        self.sync.log = Known(written.stream, written.mark, written.is_level)
        self.appended += written.rows
        self.letters += written.dead_letters
        self.epoch_began = self.epoch_began or written.epoch_began

    def _write(self, follower: Follower, log: LogSlice) -> None:
        name = follower.name
        try:
            self.changed[name] = self.changed.get(name, 0) + follower.write(log, self.at_us)
        except follower.failures as error:
            self.errors[name] = _sentence(error)
            return
        self.sync.positions[name] = log.mark.seq
        self.progress(name, log.row_count)

    def _trim(self) -> int:
        """Remove what both readers of the stream have; only after a turn that wrote something."""
        log = self.sync.log
        if not self.appended or log is None or self.errors.keys() & {DUCKDB, RECONCILE}:
            return 0
        confirmed = min(log.mark.stream_id, self.sync.reconciler.position(self.stream.epoch), key=order_of)
        return self.sync.stream.trim_behind(confirmed)

    def _states(self) -> dict[str, FollowerState]:
        before = published(self.sync.client) if self.errors or self.sync.log is None else {}
        stream_positions = {
            RECONCILE: self.sync.reconciler.position(self.stream.epoch),
            DUCKDB: self.sync.log.mark.stream_id if self.sync.log else _position(before, DUCKDB, START),
        }
        states = {RELAY: state_after(before.get(RELAY), "", self.relayed.waiting, self.errors.get(RELAY), self.at_us)}
        states[SWEEP] = self.sync.intake.state(before.get(SWEEP), self.unswept, self.errors.get(SWEEP), self.at_us)
        for name, position in stream_positions.items():
            lag = 0 if order_of(position) >= order_of(self.stream.last_id) else self.sync.stream.count_after(position)
            states[name] = state_after(before.get(name), position, lag, self.errors.get(name), self.at_us)
        head = self.sync.log.mark.seq if self.sync.log else 0
        for follower in self.sync.followers:
            name = follower.name
            seq = self.sync.positions.get(name, int(_position(before, name, "0")))
            lag = max(0, head - seq)
            states[name] = state_after(before.get(name), str(seq), lag, self.errors.get(name), self.at_us)
        return states


def _position(before: Mapping[str, FollowerState], name: str, otherwise: str) -> str:
    return before[name].position if name in before else otherwise


def _sentence(error: Exception) -> str:
    first_line = str(error).splitlines()[0] if str(error) else ""
    return first_line if isinstance(error, PaperDeskError) and first_line else f"{type(error).__name__}: {first_line}"
