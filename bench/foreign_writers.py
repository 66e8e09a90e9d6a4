"""The sweep for records of other programs at 10,000 hot hashes: what a look costs, and how soon a change is durable.

All are processor seconds, of this process and Redis together, which is what an idle machine takes. A look in which
nothing is new is compared with reading every hash without looking at what is in it. Changes are compared with the 5 s
in which they must be durable: the 3 s until the next sync, and what it takes until all are committed in DuckDB.

End to end is by the wall: whole syncs every 3 s, as beat starts them, and a change just behind one of them. A sync with
nothing to do is one of a desk in which nobody has changed anything since the last.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import redis
from django.core.management import call_command

from bench.measure import Action, Ratio, ratio_of
from bench.processor import processor_seconds
from paperdesk.embedded.redis_server import running_redis
from paperdesk.schedule import SYNC_SECONDS
from results.domain.tolerances import Tolerances
from results.pipeline.entries import DeadLetterBox
from results.pipeline.foreign.sweep import Sweep, wanted_by
from results.pipeline.log_writer import LogWriter
from results.pipeline.loss import Losses
from results.pipeline.newest import newest_rows
from results.pipeline.reconcile.reconciler import Reconciler
from results.pipeline.stream import OutboxStream
from results.pipeline.sync import Sync
from results.stores import duck
from results.stores.gate import Gate
from trading.stores import keys
from trading.stores.step import StepRunner

HASHES = 10_000
CHANGED = 1_000
LOOK_LIMIT = 1.0
DURABLE_SECONDS_MAX = 5.0
IDLE_SECONDS_MAX = 0.005
NOW_US = 1_731_000_000_000_000
BATCHES = 100
RESULT = {
    "trade_id": "456e1234-e89b-12d3-a456-426614174123", "symbol": "EURUSD", "direction": "buy", "lot_size": "1.5",
    "execution_price": "1.12340", "requested_price": "1.12345", "slippage": "-0.00005", "pnl": "75.0",
    "commission": "1.5", "fees": "0.5", "state": "executed", "executed_at": "2025-03-22T10:16:00Z",
}  # fmt: skip


def run(turns: int) -> list[Ratio]:
    """A look against reading everything, and as a share of a processor; changes, and an idle sync, against limits."""
    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis") as url:
        desk = Desk(redis.Redis.from_url(url), Gate(Path(folder) / "log.duckdb"))
        desk.write(1, "74.5")
        desk.settle()  # what a process does once: imports, statements
        desk.write(HASHES, "75.0")
        first = SYNC_SECONDS + desk.processor_seconds(desk.settle)
        looks, shares, bursts, whole, idle = [], [], [], [], []
        for turn in range(turns + 1):
            look = desk.processor_seconds(desk.look)
            looks.append((look, desk.processor_seconds(desk.read_all)))
            shares.append((look, SYNC_SECONDS))
            desk.change(CHANGED, f"{turn}.5")
            bursts.append((SYNC_SECONDS + desk.processor_seconds(desk.settle), DURABLE_SECONDS_MAX))
        sync = desk.new_sync()
        for turn in range(turns + 1):
            whole.append((desk.seconds_until_durable(sync, f"{turn}.25"), DURABLE_SECONDS_MAX))
        desk.client.flushall()
        sync = desk.new_sync()
        for _ in range(10 * turns):
            idle.append((desk.processor_seconds(sync.once), IDLE_SECONDS_MAX))
    everything = "HGETALL of each in pipelines"
    return [
        ratio_of("sweep: nothing is new", f"look at {HASHES:,} hashes", everything, looks[1:], LOOK_LIMIT),
        ratio_of("sweep: processor share", f"look at {HASHES:,} hashes", "one processor, 3 s", shares[1:], 0.1),
        ratio_of("sweep: change is durable", f"{CHANGED:,} of {HASHES:,} changed, at worst", "5 s", bursts[1:], 1.0),
        ratio_of("sweep: end to end", f"{CHANGED:,} of {HASHES:,} changed, by the wall", "5 s", whole[1:], 1.0),
        ratio_of("sync: nothing to do", "Sync.once, processor", "5 ms", idle[turns:], 1.0),
        ratio_of("sweep: all at once", f"{HASHES:,} new hashes, to DuckDB", "5 s", [(first, DURABLE_SECONDS_MAX)], 1.0),
    ]


class Desk:
    """Redis with foreign hashes, and the log that they go into."""

    def __init__(self, client: redis.Redis, gate: Gate) -> None:
        self.client, self.gate = client, gate
        self.sweep = Sweep(client)
        self.names = [keys.result(str(uuid.uuid4())) for _ in range(HASHES)]
        with gate.write() as connection:
            duck.migrate(connection)

    def write(self, count: int, pnl: str) -> None:
        """Another program writes whole hashes."""
        pipeline = self.client.pipeline(transaction=False)
        whole: Any = {**RESULT, "pnl": pnl}
        for name in self.names[:count]:
            pipeline.hset(name, mapping=whole)
        pipeline.execute()

    def change(self, count: int, pnl: str) -> None:
        """Another program changes one field of some hashes."""
        pipeline = self.client.pipeline(transaction=False)
        for name in self.names[:count]:
            pipeline.hset(name, "pnl", pnl)
        pipeline.execute()

    def look(self) -> None:
        """A pass of the sweep, in which nothing may be new."""
        assert not self.sweep.look(NOW_US, seconds_max=60.0)

    def read_all(self) -> None:
        """Every hash, as a sweep would read them that does not know what it has seen."""
        found = list(self.client.scan_iter(keys.RESULT_PATTERN, count=1_000))
        for start in range(0, len(found), 500):
            pipeline = self.client.pipeline(transaction=False)
            for name in found[start : start + 500]:
                pipeline.hgetall(name)
            pipeline.execute()

    def settle(self) -> None:
        """Turns until everything is in the log."""
        stream = OutboxStream(self.client)
        writer = LogWriter(
            stream, Losses(self.client), DeadLetterBox(StepRunner(self.client)), lambda _point, _count: None
        )
        while True:
            cases = self.sweep.look(NOW_US)
            with self.gate.write() as connection:
                writer.write(connection, BATCHES, NOW_US)
                newest = newest_rows(connection, wanted_by(cases))
            taken = self.sweep.settle(cases, newest, NOW_US)
            with self.gate.write() as connection:
                writer.write(connection, BATCHES, NOW_US)
            if not taken and not self.sweep.is_under_way:
                return

    def new_sync(self) -> Sync:
        """The sync of a desk that has no followers."""
        reconciler = Reconciler(self.client, Tolerances, self.gate)
        return Sync(self.client, self.gate, [], reconciler, lambda: time.time_ns() // 1_000)

    def seconds_until_durable(self, sync: Sync, pnl: str) -> float:
        """From a change just behind a sync until all of it is in the log, with a sync every 3 s."""
        due = time.monotonic()
        while sync.once().swept:
            pass
        before, started = self._rows(), time.monotonic()
        self.change(CHANGED, pnl)
        while self._rows() < before + CHANGED:
            due = max(due + SYNC_SECONDS, time.monotonic())
            time.sleep(due - time.monotonic())
            sync.once()
        return time.monotonic() - started

    def _rows(self) -> int:
        with self.gate.read() as connection:
            return duck.head(connection)

    def processor_seconds(self, action: Action) -> float:
        """What an action costs here and in Redis."""
        return processor_seconds(self.client, action)
