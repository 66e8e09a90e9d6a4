"""What always holds of the sweep, in any order of foreign writes, sweeps, restarts and retries: everything seen is
accepted or set aside, and what stands in Redis at the end is the newest durable version or an open dead letter."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paperdesk.embedded.ports import free_port
from results.domain.tolerances import Tolerances
from results.models import DeadLetter, DeadLetterState, FollowerWatermark
from results.pipeline.foreign.sweep import wanted_by
from results.pipeline.newest import newest_rows
from results.pipeline.reconcile.reconciler import Reconciler
from results.pipeline.sync import Sync
from results.stores import duck
from results.stores.gate import Gate
from results.stores.schema import TABLES
from tests.trading.stores import made
from tests.trading.stores.test_crash import servers, start_redis
from trading.stores import keys, wire
from trading.stores.hashes import is_ours, row_of_hash

__all__ = ["servers"]

NOW_US = 1_731_000_000_000_000
IDS = ("123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174001")
TRADES = ("550e8400-e29b-41d4-a716-446655440000", "660e8400-e29b-41d4-a716-446655440001")
TABLE_OF = {"result": "trade_result", "result_metrics": "result_metrics", "reconciliation": "trade_reconciliation"}
WHOLE: dict[str, dict[str, str]] = {
    "result": {
        "trade_id": TRADES[0], "symbol": "EURUSD", "direction": "buy", "lot_size": "1.5", "execution_price": "1.1234",
        "state": "executed", "executed_at": "2025-03-22T10:16:00Z",
    },
    "result_metrics": {"broker_latency_ms": "50", "created_at": "2025-03-22T10:16:05Z"},
    "reconciliation": {
        "reconciliation_status": "failed", "rejection_reason": "Slippage too high; " * 5,  # kept as a hash table
        "reconciled_at": "2025-03-22T10:17:00Z",
    },
}  # fmt: skip
FIELDS = {
    "result": ("pnl", "state", "executed_at"),
    "result_metrics": ("broker_latency_ms", "created_at"),
    "reconciliation": ("discrepancy", "rejection_reason"),
}
VALUES = ("1", "2.5", "much", "failed", "pending", "2025-03-22T10:18:00Z", "x" * 300)
LOSSES = ("52.5", "much", "52.5 no symbol")
LEG_OUTS = "strategy:leg_out_events"

HASHES = [*(f"{beginning}:{IDS[0]}" for beginning in TABLE_OF), "result:not-an-id"]
hashes = st.sampled_from([HASHES[0], *HASHES])  # what happens to one of them more than once is what matters
foreign_writes = st.one_of(
    st.tuples(st.sampled_from(["writes", "writes", "begins", "unsets", "deletes", "mistypes"]), hashes, st.none()),
    st.tuples(st.just("changes"), hashes, st.tuples(st.integers(0, 2), st.sampled_from(VALUES))),
    st.tuples(st.sampled_from(["opens", "closes"]), st.sampled_from(TRADES), st.sampled_from(["5000.0", "many"])),
    st.tuples(st.just("pushes"), st.sampled_from([*TRADES, "no-id"]), st.sampled_from(LOSSES)),
)
sweeps = st.tuples(
    st.sampled_from(["look", "settle", "sync", "later", "later", "restart", "retry_all", "forget_gone"]),
    st.none(),
    st.none(),
)


class World:
    """Other programs at their keyboards, staff who ask for retries, and a sync that may stop anywhere."""

    def __init__(self, client: redis.Redis, gate: Gate) -> None:
        self.client, self.gate = client, gate
        self.now_us = NOW_US
        client.hset(keys.PORTFOLIOS, "strategy", b"{}")
        self.restart()

    def restart(self, *_: object) -> None:
        """The process that syncs is another one."""
        self.sync_ = Sync(
            self.client, self.gate, (), Reconciler(self.client, Tolerances, self.gate), lambda: self.now_us
        )
        self.sweep = self.sync_.intake.sweep
        self.cases: list[Any] = []

    def writes(self, key: str, _: object) -> None:
        """A whole hash, as the documents' commands write it."""
        if self.client.type(key) in (b"hash", b"none"):
            fields: Any = WHOLE[key.partition(":")[0]]
            self.client.hset(key, mapping=fields)

    def begins(self, key: str, _: object) -> None:
        """The first field of a hash."""
        if self.client.type(key) in (b"hash", b"none"):
            field, value = next(iter(WHOLE[key.partition(":")[0]].items()))
            self.client.hset(key, field, value)

    def changes(self, key: str, how: tuple[int, str]) -> None:
        """One field, whether the value suits it or not."""
        names = FIELDS[key.partition(":")[0]]
        if self.client.type(key) in (b"hash", b"none"):
            self.client.hset(key, names[how[0] % len(names)], how[1])

    def unsets(self, key: str, _: object) -> None:
        """A required field is removed."""
        if self.client.type(key) == b"hash":
            self.client.hdel(key, *list(WHOLE[key.partition(":")[0]])[-1:])

    def deletes(self, key: str, _: object) -> None:
        """The record is gone."""
        self.client.delete(key)

    def mistypes(self, key: str, _: object) -> None:
        """Something else stands under the key."""
        self.client.set(key, "a text")

    def opens(self, trade_id: str, size: str) -> None:
        """A trade under a portfolio's keys; with a size that is none, malformed."""
        self._set_trade("active", "trade_active.json", trade_id, size)

    def closes(self, trade_id: str, size: str) -> None:
        """Its closed record."""
        self._set_trade("closed", "trade_closed.json", trade_id, size)
        self.client.delete(f"strategy:trades:active:{trade_id}")

    def _set_trade(self, kind: str, document: str, trade_id: str, size: str) -> None:
        text = made.document(document).decode().replace("550e8400-e29b-41d4-a716-446655440000", trade_id)
        text = text.replace('"position_size_usd": 5000.0', f'"position_size_usd": {size}')
        self.client.set(f"strategy:trades:{kind}:{trade_id}", text)

    def pushes(self, trade_id: str, loss: str) -> None:
        """A leg-out event; without a symbol it can only be taken once its trade is known."""
        event = {**msgspec.json.decode(made.document("leg_out_event.json")), "trade_id": trade_id}
        if loss.endswith("no symbol"):
            del event["symbol"]
        loss = loss.split()[0]
        self.client.lpush(LEG_OUTS, msgspec.json.encode(event).replace(b'loss":52.5', f'loss":{loss}'.encode()))

    def look(self, *_: object) -> None:
        """The sweep reads, in as little time as it may."""
        self.cases = self.sweep.look(self.now_us, seconds_max=0.0)

    def settle(self, *_: object) -> None:
        """The sweep decides what it read, however long ago, if the log has everything that the stream had."""
        with self.gate.write() as connection:
            if duck.watermark(connection).stream_id == self.sync_.stream.state().last_id or not self.client.exists(
                keys.OUTBOX
            ):
                self.sweep.settle(self.cases, newest_rows(connection, wanted_by(self.cases)), self.now_us)
        self.cases = []

    def sync(self, *_: object) -> None:
        """Turns of the sync until nothing is left."""
        while not self.sync_.once().is_settled:
            pass

    def later(self, *_: object) -> None:
        """The next sync of the beat."""
        self.now_us += 3_000_000
        self.sync()

    def retry_all(self, *_: object) -> None:
        """Staff ask for another try of whatever is open."""
        DeadLetter.objects.filter(state=DeadLetterState.OPEN).update(state=DeadLetterState.ASKED)

    def forget_gone(self, *_: object) -> None:
        """What the sweep does every few passes."""
        self.sweep.store.forget_gone()

    def counted(self) -> tuple[int, int, int, int]:
        """Seen, accepted, set aside; open dead letters. Read by nobody else before."""
        counts = self.sweep.store.counts()
        assert counts.seen == counts.accepted + counts.set_aside
        return counts.seen, counts.accepted, counts.set_aside, counts.open

    def check_the_end(self) -> None:
        """Everything is decided, and every record that stands is durable or has an open dead letter."""
        for _ in range(3):
            self.later()
        counted, letters = self.counted(), DeadLetter.objects.count()
        self.restart()
        for _ in range(2):
            self.later()
        assert (self.counted(), DeadLetter.objects.count()) == (counted, letters), "a sweep of nothing new"
        set_aside: Any = self.client.hgetall(keys.SET_ASIDE)
        waiting = DeadLetter.objects.filter(state=DeadLetterState.OPEN)
        assert {letter.key: letter.id for letter in waiting} == {
            name.decode(): letter.decode() for name, letter in set_aside.items()
        }
        newest = self._newest()
        for raw in self.client.scan_iter():
            self._check_record(raw.decode(), raw in set_aside, newest)

    def _check_record(self, key: str, is_set_aside: bool, newest: dict[tuple[str, str], tuple[int, int]]) -> None:
        beginning, _, row_id = key.partition(":")
        if beginning in TABLE_OF and not is_set_aside:
            table = TABLES[TABLE_OF[beginning]]
            fields: Any = self.client.hgetall(key)
            row = row_of_hash(table, key, row_id, fields)
            assert is_ours(table, row, fields), key
            assert newest[table.name, row_id] == (row["version"], int(fields[b"row_hash"]))
        if key.startswith("strategy:trades:") and not is_set_aside:
            raw: Any = self.client.get(key)
            trade = wire.decode_trade(raw, key, "strategy")
            assert ("paper_trade", trade.id) in newest

    def _newest(self) -> dict[tuple[str, str], tuple[int, int]]:
        found: dict[tuple[str, str], tuple[int, int]] = {}
        with self.gate.read() as connection:
            for name, table in TABLES.items():
                rows = connection.execute(f"SELECT {table.key}, version, row_hash FROM {table.log_name} ORDER BY seq")
                for row_id, version, row_hash in rows.fetchall():
                    before = found.get((name, str(row_id)), (0, 0))
                    assert version == before[0] + 1, f"versions of {name} {row_id} have a gap or repeat"
                    found[name, str(row_id)] = (version, row_hash)
        return found


@pytest.fixture
def world_of(redis_client: redis.Redis, tmp_path: Path, db: None) -> Iterator[Callable[[], World]]:
    """Makes a world over an empty Redis, an empty log and no dead letters."""
    numbers = itertools.count()

    def make() -> World:
        redis_client.flushall()
        DeadLetter.objects.all().delete()
        FollowerWatermark.objects.all().delete()
        gate = Gate(tmp_path / f"{next(numbers)}.duckdb")
        with gate.write() as connection:
            duck.migrate(connection)
        return World(redis_client, gate)

    yield make


LATER, RETRY = ("later", None, None), ("retry_all", None, None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(st.lists(st.one_of(foreign_writes, foreign_writes, sweeps), min_size=5, max_size=30))
@example([("begins", HASHES[0], None), LATER, LATER, ("writes", HASHES[0], None)])
@example([("begins", HASHES[0], None), LATER, LATER, ("deletes", HASHES[0], None), RETRY, LATER])
@example([("mistypes", HASHES[0], None), LATER, ("deletes", HASHES[0], None)])
@example([("pushes", "no-id", "1"), LATER, RETRY, ("pushes", "no-id", "1")])
@example([("pushes", TRADES[0], "52.5 no symbol"), LATER, ("opens", TRADES[0], "1"), LATER, RETRY, LATER])
@example([("opens", TRADES[0], "many"), LATER, RETRY, ("closes", TRADES[0], "1")])
def test_whatever_is_seen_is_accepted_or_set_aside_and_nothing_is_lost(
    world_of: Callable[[], World], done: list[tuple[str, Any, Any]]
) -> None:
    world = world_of()
    for name, first, second in done:
        getattr(world, name)(first, second)
        world.counted()
    world.check_the_end()


def test_a_restart_of_redis_or_of_the_worker_changes_nothing_and_loses_nothing(
    tmp_path: Path, db: None, servers: list[subprocess.Popen[bytes]]
) -> None:
    port, gate = free_port(), Gate(tmp_path / "log.duckdb")
    with gate.write() as connection:
        duck.migrate(connection)
    world = World(start_redis(tmp_path, port, servers), gate)
    good, bad = f"reconciliation:{IDS[0]}", f"reconciliation:{IDS[1]}"
    world.writes(good, None)
    world.writes(bad, None)
    world.changes(bad, (0, "much"))
    for number in range(150):  # so many fields that Redis keeps them in an order of each start
        world.client.hset(good, f"note {number}", number)
        world.client.hset(bad, f"note {number}", number)
    world.sync()
    assert world.counted() == (2, 1, 1, 1)
    for forget in (lambda: None, world.restart):  # first the worker goes on, then it is another one
        servers[-1].kill()
        servers[-1].wait()
        start_redis(tmp_path, port, servers)
        forget()
        world.later()
        assert world.counted() == (2, 1, 1, 1)
    servers[-1].kill()
    servers[-1].wait()
    start_redis(tmp_path, port, servers)
    world.changes(good, (0, "0.5"))
    world.restart()
    world.sync()
    assert world.counted() == (3, 2, 1, 1)
    world.check_the_end()
