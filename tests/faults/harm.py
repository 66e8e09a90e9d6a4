"""What is done to a desk under test: each kind of fault and whom it can strike.

A fault begins and ends within its function, which returns how many single faults that was. Several may go on at
once, in threads. Recovery is counted by groups: from a kill on, or from the end of a freeze or of a fault on the wire.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import psycopg
from redis.exceptions import RedisError

from paperdesk.embedded import roster
from results.pipeline.loss import Loss, Losses
from results.stores import duck
from results.stores.gate import Gate
from tests.faults import clock
from tests.faults.desk import Desk, DeskFailed
from tests.faults.malformed import write_malformed
from tests.faults.plan import Kind as WireKind
from tests.faults.plan import Seeded
from trading.stores import keys
from trading.stores.holds import Holds

PROGRAMS = ("engine", "monitor", "warehouse", "beat", "web")
SERVERS = ("redis", "clickhouse", "postgres")  # the last one only where it has the Django tables

FROZEN_SECONDS = (1.0, 8.0)  # beyond the 5 s of a lease, too
REFUSED_SECONDS = (0.3, 4.0)
HELD_SECONDS = (0.5, 7.0)  # beyond the 5 s that a client waits, too
STORM_SECONDS = (2.0, 4.0)
# Redis has hundreds of exchanges a second, the others a few or some tens.
STORM_FRACTION = {"redis": 0.08, "clickhouse": 0.3, "postgres": 0.1}
SECOND_SECONDS = (5.0, 9.0)  # a second process needs some 3 s to begin
FULL_SECONDS = (1.0, 5.0)
MALFORMED_SECONDS = 5.0  # an incomplete record is set aside after 2 s, at a sync
CLOCK_STEP_SECONDS = (1, 600)
STEPPED_SECONDS = (2.0, 6.0)
STEPPED_BESIDE_SECONDS = (9.0, 12.0)  # a second engine takes over after the 5 s of a lease
ENDED_SECONDS_MAX = 30.0
REPEATED_ROWS = 4_000  # two batches
OLDER_SECONDS = (4.0, 8.0)  # what is lost has partly become durable
COPIES_MAX = 5
NOTICED_SECONDS_MAX = 600.0
ACCEPT_SECONDS_MAX = 120.0


CLOCK_STEP, EMPTIED = "clock step", "emptied"


class Harm(msgspec.Struct, frozen=True):
    """One fault of the plan."""

    kind: str
    target: str

    @property
    def group(self) -> str:
        """kill, freeze, wire, other or loss."""
        return KINDS[self.kind].group

    def do(self, desk: Desk, chance: random.Random) -> int:
        """Do it to the desk; how many single faults it was."""
        return KINDS[self.kind].do(desk, self.target, chance)


def kill(desk: Desk, target: str, chance: random.Random) -> int:
    """SIGKILL: nothing is finished, nothing is closed."""
    _all(desk.living(target), signal.SIGKILL)
    return 1


def freeze(desk: Desk, target: str, chance: random.Random) -> int:
    """SIGSTOP for a while: connections stay open, and nobody answers."""
    with frozen(desk, target):
        desk.rest(chance.uniform(*FROZEN_SECONDS))
    return 1


@contextlib.contextmanager
def frozen(desk: Desk, target: str) -> Iterator[None]:
    """A program is stopped meanwhile, with its children."""
    process = desk.living(target)
    _all(process, signal.SIGSTOP)
    try:
        yield
    finally:
        _all(process, signal.SIGCONT)


def _all(process: psutil.Process, number: int) -> None:
    """Send a signal to a process and its children; some may have ended meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)


def cut(desk: Desk, target: str, chance: random.Random) -> int:
    """All connections to a server are lost."""
    desk.proxies[target].cut()
    return 1


def refuse(desk: Desk, target: str, chance: random.Random) -> int:
    """A server cannot be reached for a while."""
    desk.proxies[target].refuse()
    desk.rest(chance.uniform(*REFUSED_SECONDS))
    desk.proxies[target].accept()
    return 1


def hold(desk: Desk, target: str, chance: random.Random) -> int:
    """Connections stand and nothing passes for a while: half-open, for whoever waits."""
    desk.proxies[target].freeze()
    desk.rest(chance.uniform(*HELD_SECONDS))
    desk.proxies[target].thaw()
    return 1


def storm(desk: Desk, target: str, chance: random.Random) -> int:
    """A bad network: of all exchanges some are cut, refused, delayed, come in drops, or lose their reply."""
    proxy = desk.proxies[target]
    proxy.follow(Seeded(chance.getrandbits(32), STORM_FRACTION[target], tuple(WireKind)))
    desk.rest(chance.uniform(*STORM_SECONDS))
    proxy.pass_all()
    return len(proxy.log)


def second(desk: Desk, target: str, chance: random.Random) -> int:
    """A second process of a kind beside the first, until it is stopped or killed."""
    with beside(desk, target) as process:
        desk.rest(chance.uniform(*SECOND_SECONDS))
        process.send_signal(chance.choice((signal.SIGTERM, signal.SIGKILL)))
        process.wait(ENDED_SECONDS_MAX)
    return 1


@contextlib.contextmanager
def beside(desk: Desk, target: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A second process of a kind, killed at the end."""
    programs = [*roster.desk_programs(0, desk.environment), roster.warehouse_program(desk.environment)]
    command = next(each.command for each in programs if each.name == target)
    process = desk.beside(command, "beside", environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def fill_disk(desk: Desk, target: str, chance: random.Random) -> int:
    """The disk of all data is full for a while."""
    with desk.full_disk():
        desk.rest(chance.uniform(*FULL_SECONDS))
    return 1


def step_clock(desk: Desk, target: str, chance: random.Random) -> int:
    """A clock is set, forward or back, and is right again some seconds later: that of Redis, or that of a second
    process, which works while the first one stands still."""
    seconds = chance.choice((-1, 1)) * chance.randint(*CLOCK_STEP_SECONDS)
    if target == "redis":
        redis_clock = clock.clock_of(desk.data, target)
        clock.step(redis_clock, seconds)
        try:
            desk.rest(chance.uniform(*STEPPED_SECONDS))
        finally:
            clock.step(redis_clock, clock.RIGHT)
        desk.rest(clock.READ_AGAIN_SECONDS)
        return 1
    its_clock = clock.clock_of(desk.data, target)
    variables = clock.steppable({}, its_clock)
    clock.step(its_clock, seconds)
    with frozen(desk, target), beside(desk, target, **variables):
        desk.rest(chance.uniform(*STEPPED_BESIDE_SECONDS))
    return 1


def jump_ids(desk: Desk, target: str, chance: random.Random) -> int:
    """The stream goes on from an id of the future, as it does after a clock that was ahead."""
    last: Any = desk.redis.xrevrange(keys.OUTBOX, count=1)
    ahead = int(last[0][0].partition(b"-")[0]) + 1_000 * chance.randint(*CLOCK_STEP_SECONDS)
    desk.redis.xadd(keys.OUTBOX, {"table": "written by a clock that was ahead"}, id=f"{ahead}-0")
    return 1


def replay(desk: Desk, target: str, chance: random.Random) -> int:
    """The reconciler forgets its place in the outbox and begins from 0."""
    desk.redis.delete(keys.RECONCILE_POSITION)
    return 1


def repeat(desk: Desk, target: str, chance: random.Random) -> int:
    """The Django tables' mark is set back: the last batches are written a second time."""
    with Gate(desk.data / "paperdesk.duckdb").read() as log:
        mark = duck.mark_of(log, max(1, duck.head(log) - REPEATED_ROWS))
    set_back = "UPDATE follower_watermark SET seq = {0}, mark = {0} WHERE name = {0}"
    told = [mark.seq, mark.row, target]
    if "postgres" in desk.servers:
        with psycopg.connect(desk.sound["DATABASE_URL"]) as server:
            server.execute(set_back.format("%s"), told)
    else:
        with contextlib.closing(sqlite3.connect(desk.data / "db.sqlite3", timeout=20)) as file, file:
            file.execute(set_back.format("?"), told)
    return 1


def write_nonsense(desk: Desk, target: str, chance: random.Random) -> int:
    """Records and entries that nobody can read. Their writer takes the records away again."""
    written = write_malformed(desk.redis, target, chance.getrandbits(32))
    desk.rest(MALFORMED_SECONDS)
    if written:
        desk.redis.delete(*written)
    return 1


def begin_epoch(desk: Desk, target: str, chance: random.Random) -> int:
    """The outbox is told to be another one: whoever follows it reads it from its start."""
    before = Losses(desk.redis).last()
    desk.redis.set(keys.OUTBOX_EPOCH, str(uuid.UUID(int=chance.getrandbits(128), version=4)))
    _accept_what_is_left(desk, before)
    return 1


def restore(desk: Desk, target: str, chance: random.Random) -> int:
    """Redis is killed, and comes back with its files of some seconds ago (ruling 29). A person accepts the loss."""
    folder, copy = desk.data / "redis" / "appendonlydir", desk.folder / "copy"
    noted = desk.redis.get(keys.OUTBOX_READ)
    _copy(folder, copy)
    desk.rest(chance.uniform(*OLDER_SECONDS))
    while desk.redis.get(keys.OUTBOX_READ) == noted:  # nothing would be lost yet
        desk.require_running()
        desk.rest(1.0)
    before = Losses(desk.redis).last()
    with desk.without_supervisor():
        kill(desk, "redis", chance)
        shutil.rmtree(folder)
        shutil.move(copy, folder)
    _accept_what_is_left(desk, before)
    return 1


def _copy(folder: Path, copy: Path) -> None:
    """Copy a folder of Redis, which may be rewriting its files."""
    for _ in range(COPIES_MAX):
        try:
            shutil.copytree(folder, copy)
        except (shutil.Error, FileNotFoundError):
            shutil.rmtree(copy)
        else:
            return
    raise DeskFailed(f"{folder} changes all the time")


def restore_with_clock(desk: Desk, target: str, chance: random.Random) -> int:
    """The same while the stream goes on from an id of the future: the copy gives ids again that were given."""
    jump_ids(desk, target, chance)
    return 1 + restore(desk, target, chance)


def empty(desk: Desk, target: str, chance: random.Random) -> int:
    """Redis is killed, and comes back with nothing. A person accepts the loss."""
    before = Losses(desk.redis).last()
    with desk.without_supervisor():
        kill(desk, "redis", chance)
        shutil.rmtree(desk.data / "redis" / "appendonlydir")
    _accept_what_is_left(desk, before)
    return 1


def _accept_what_is_left(desk: Desk, before: Loss | None) -> None:
    """Wait until another loss was noticed and looked into, and accept it for portfolios that are still held."""
    deadline = time.monotonic() + NOTICED_SECONDS_MAX
    while not _is_looked_into(desk, before):
        if time.monotonic() > deadline:
            raise DeskFailed(f"the loss was not looked into within {NOTICED_SECONDS_MAX:.0f} s")
        desk.require_running()
        desk.rest(1.0)
    if held := sorted(Holds(desk.redis).of_loss()):
        done = desk.manage("accept_loss", *held, "--json", timeout=ACCEPT_SECONDS_MAX)
        if done.returncode:
            raise DeskFailed(f"accept_loss {' '.join(held)} failed: {done.stderr[-2000:]}")


def _is_looked_into(desk: Desk, before: Loss | None) -> bool:
    try:
        loss = Losses(desk.redis).last()
    except RedisError:
        return False
    return loss is not None and loss.is_settled and (before is None or loss.epoch != before.epoch)


class Kind(msgspec.Struct, frozen=True):
    """A kind of fault: its group, whom it can strike, and how."""

    group: str
    targets: Sequence[str]
    do: Callable[[Desk, str, random.Random], int]


KINDS: dict[str, Kind] = {
    "kill": Kind("kill", (*PROGRAMS, *SERVERS), kill),
    "freeze": Kind("freeze", (*PROGRAMS, *SERVERS), freeze),
    "cut": Kind("wire", SERVERS, cut),
    "refuse": Kind("wire", SERVERS, refuse),
    "hold": Kind("wire", SERVERS, hold),
    "storm": Kind("wire", SERVERS, storm),
    "second": Kind("other", ("engine", "monitor", "warehouse", "beat"), second),
    "disk full": Kind("other", ("data",), fill_disk),
    CLOCK_STEP: Kind("other", ("redis", "engine", "monitor", "warehouse"), step_clock),
    "ids ahead": Kind("other", ("redis",), jump_ids),
    "replay from 0": Kind("other", ("reconcile",), replay),
    "batch twice": Kind("other", ("django",), repeat),
    "malformed": Kind("other", ("records", "entries", "commands"), write_nonsense),
    "new epoch": Kind("loss", ("outbox",), begin_epoch),
    "older copy": Kind("loss", ("redis",), restore),
    "older copy and clock": Kind("loss", ("redis",), restore_with_clock),
    EMPTIED: Kind("loss", ("redis",), empty),
}
# After these the versions of rows jump, so they come last, when no client is at work and all that was acknowledged is
# in the log. An emptied Redis only on request (--kinds), because it hides what else might be missing in it.
LAST = tuple(name for name, kind in KINDS.items() if kind.group == "loss")
