"""What is done to a desk under test: each kind of fault, whom it can strike, and the seeded order of them.

A fault begins and ends within its function, which returns how many single faults that was. `GROUPS` says by which
target the recovery is judged: from a kill on, or from the end of a freeze or of a fault on the wire.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from paperdesk.embedded import roster
from results.stores import duck
from results.stores.gate import Gate
from tests.faults.desk import SERVERS, Desk
from tests.faults.malformed import write_malformed
from tests.faults.plan import Kind, Seeded
from trading.stores import keys

PROGRAMS = ("engine", "monitor", "warehouse", "beat", "web")
DO = dict[str, tuple[str, Sequence[str], Callable[[Desk, str, random.Random], int]]]

FROZEN_SECONDS = (1.0, 8.0)  # beyond the 5 s of a lease, too
REFUSED_SECONDS = (0.3, 4.0)
HELD_SECONDS = (0.5, 7.0)  # beyond the 5 s that a client waits, too
STORM_SECONDS = (2.0, 4.0)
STORM_FRACTION = {"redis": 0.05, "clickhouse": 0.3}  # Redis has hundreds of exchanges a second, ClickHouse a few
SECOND_SECONDS = (5.0, 9.0)  # a second process needs some 3 s to begin
FULL_SECONDS = (1.0, 5.0)
MALFORMED_SECONDS = 5.0  # an incomplete record is set aside after 2 s, at a sync
CLOCK_STEP_MS = (1_000, 600_000)
REPEATED_ROWS = 4_000  # two batches
OLDER_SECONDS = (4.0, 8.0)  # what is lost has partly become durable
NOTICED_SECONDS = 10.0  # two turns of the sync, and the comparison
ACCEPT_SECONDS_MAX = 120.0


class Harm(msgspec.Struct, frozen=True):
    """One fault of the plan."""

    kind: str
    target: str

    @property
    def group(self) -> str:
        """kill, freeze, wire, other or loss."""
        return KINDS[self.kind][0]

    def do(self, desk: Desk, chance: random.Random) -> int:
        """Do it to the desk; how many single faults it was."""
        return KINDS[self.kind][2](desk, self.target, chance)


def kill(desk: Desk, target: str, chance: random.Random) -> int:
    """SIGKILL: nothing is finished, nothing is closed."""
    os.kill(desk.pids()[target], signal.SIGKILL)
    return 1


def freeze(desk: Desk, target: str, chance: random.Random) -> int:
    """SIGSTOP for a while: connections stay open, and nobody answers."""
    pid = desk.pids()[target]
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(chance.uniform(*FROZEN_SECONDS))
    finally:
        os.kill(pid, signal.SIGCONT)
    return 1


def cut(desk: Desk, target: str, chance: random.Random) -> int:
    """All connections to a server are lost."""
    desk.proxies[target].cut()
    return 1


def refuse(desk: Desk, target: str, chance: random.Random) -> int:
    """A server cannot be reached for a while."""
    desk.proxies[target].refuse()
    time.sleep(chance.uniform(*REFUSED_SECONDS))
    desk.proxies[target].accept()
    return 1


def hold(desk: Desk, target: str, chance: random.Random) -> int:
    """Connections stand and nothing passes for a while: half-open, for whoever waits."""
    desk.proxies[target].freeze()
    time.sleep(chance.uniform(*HELD_SECONDS))
    desk.proxies[target].thaw()
    return 1


def storm(desk: Desk, target: str, chance: random.Random) -> int:
    """A bad network: of all exchanges some are cut, refused, delayed, come in drops, or lose their reply."""
    proxy = desk.proxies[target]
    proxy.follow(Seeded(chance.getrandbits(32), STORM_FRACTION[target], tuple(Kind)))
    time.sleep(chance.uniform(*STORM_SECONDS))
    proxy.pass_all()
    return len(proxy.log)


def second(desk: Desk, target: str, chance: random.Random) -> int:
    """A second process of a kind beside the first, until it is stopped or killed."""
    programs = [*roster.desk_programs(0, desk.environment), roster.warehouse_program(desk.environment)]
    command = next(each.command for each in programs if each.name == target)
    process = desk.beside(command, "beside")
    time.sleep(chance.uniform(*SECOND_SECONDS))
    process.send_signal(chance.choice((signal.SIGTERM, signal.SIGKILL)))
    process.wait(30)
    return 1


def fill_disk(desk: Desk, target: str, chance: random.Random) -> int:
    """The disk of all data is full for a while."""
    with desk.full_disk():
        time.sleep(chance.uniform(*FULL_SECONDS))
    return 1


def step_clock(desk: Desk, target: str, chance: random.Random) -> int:
    """Redis's clock was ahead for a moment and was set back: its stream goes on from an id of the future."""
    last: Any = desk.redis.xrevrange(keys.OUTBOX, count=1)
    ahead = int(last[0][0].partition(b"-")[0]) + chance.randint(*CLOCK_STEP_MS)
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
    with contextlib.closing(sqlite3.connect(desk.data / "db.sqlite3", timeout=20)) as tables, tables:
        tables.execute("UPDATE follower_watermark SET seq = ?, mark = ? WHERE name = ?", [mark.seq, mark.row, target])
    return 1


def write_nonsense(desk: Desk, target: str, chance: random.Random) -> int:
    """Records and entries that nobody can read. Their writer takes the records away again."""
    written = write_malformed(desk.redis, target, chance.getrandbits(32))
    time.sleep(MALFORMED_SECONDS)
    if written:
        desk.redis.delete(*written)
    return 1


def begin_epoch(desk: Desk, target: str, chance: random.Random) -> int:
    """The outbox is told to be another one: whoever follows it reads it from its start."""
    desk.redis.set(keys.OUTBOX_EPOCH, str(uuid.UUID(int=chance.getrandbits(128), version=4)))
    _accept_what_is_left(desk)
    return 1


def restore(desk: Desk, target: str, chance: random.Random) -> int:
    """Redis is killed, and comes back with its files of some seconds ago (ruling 29). A person accepts the loss."""
    folder, copy = desk.data / "redis" / "appendonlydir", desk.folder / "copy"
    shutil.copytree(folder, copy)
    time.sleep(chance.uniform(*OLDER_SECONDS))
    with desk.without_supervisor():
        kill(desk, "redis", chance)
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)
    _accept_what_is_left(desk)
    return 1


def _accept_what_is_left(desk: Desk) -> None:
    """Wait until the loss was noticed and looked into, and accept it for portfolios that are still held."""
    time.sleep(NOTICED_SECONDS)
    told = json.loads(desk.manage("accept_loss", "--json", timeout=ACCEPT_SECONDS_MAX).stdout or "{}")
    if held := sorted(told.get("held", {})):
        desk.manage("accept_loss", *held, "--json", timeout=ACCEPT_SECONDS_MAX)


KINDS: DO = {
    "kill": ("kill", (*PROGRAMS, *SERVERS), kill),
    "freeze": ("freeze", (*PROGRAMS, *SERVERS), freeze),
    "cut": ("wire", SERVERS, cut),
    "refuse": ("wire", SERVERS, refuse),
    "hold": ("wire", SERVERS, hold),
    "storm": ("wire", SERVERS, storm),
    "second": ("other", ("engine", "monitor", "warehouse", "beat"), second),
    "disk full": ("other", ("data",), fill_disk),
    "clock step": ("other", ("redis",), step_clock),
    "replay from 0": ("other", ("reconcile",), replay),
    "batch twice": ("other", ("django",), repeat),
    "malformed": ("other", ("records", "entries", "commands"), write_nonsense),
    "new epoch": ("loss", ("outbox",), begin_epoch),
    "older copy": ("loss", ("redis",), restore),
}
# After these the versions of rows jump, so they come last, when no client is at work and all that was acknowledged is
# in the log. Only on request (--kinds): after an older copy was put back, a person reads what check_invariants tells.
LAST = tuple(kind for kind, (group, _, _) in KINDS.items() if group == "loss")
KILLS_PER_OTHER = 2


def plan(chance: random.Random, kinds: Sequence[str]) -> Iterator[Harm]:
    """Faults without end: each comes once, in any order, before it comes again; two kills before any other."""
    kills = _dealt(chance, [Harm("kill", target) for target in KINDS["kill"][1]])
    rest = [kind for kind in kinds if kind != "kill" and kind not in LAST]
    others = _dealt(chance, [Harm(kind, target) for kind in rest for target in KINDS[kind][1]])
    while True:
        yield from (next(kills) for _ in range(KILLS_PER_OTHER))
        yield from itertools.islice(others, 1)


def _dealt(chance: random.Random, cards: Sequence[Harm]) -> Iterator[Harm]:
    while cards:
        yield from chance.sample(cards, len(cards))
