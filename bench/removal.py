"""Retention: result hashes that every store has are removed from Redis, against reading and removing them without a
look at any store.

Ours compares each hash, field by field, with the newest version in the log, and that one's hash with those in the
Django tables and in ClickHouse, over HTTP; the script that removes it compares what was read once more. By the wall.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from django.core.management import call_command

from bench.followers import follow
from bench.foreign_writers import RESULT, Desk
from bench.measure import Ratio, ratio_of, seconds_of
from paperdesk.embedded.redis_server import running_redis
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.keep.confirmed import ConfirmedRows
from results.pipeline.keep.retention import Limits, Retention
from results.pipeline.mirror import DjangoTables
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from tests.results.stores.made import EmbeddedProcess

HASHES = 2_000
SECONDS_MAX = 3_600.0


def run(turns: int) -> list[Ratio]:
    """Rates in hashes a second."""
    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis") as url:
        desk = Desk(redis.Redis.from_url(url), Gate(Path(folder) / "log.duckdb"))
        server = EmbeddedProcess(Path(folder) / "clickhouse")
        try:
            store = ClickHouse(server.url("bench"))
            store.migrate()
            followers = DjangoTables(), ClickHouseTables(lambda: store, lambda: desk.gate)
            confirmed = ConfirmedRows(desk.gate, followers, lambda: store)
            retention = Retention(desk.client, confirmed, Limits(age_us=0, hashes_max=HASHES))
            pairs = []
            for turn in range(turns + 1):
                desk.write(HASHES, f"{turn}.5")
                desk.settle()
                for follower in followers:
                    follow(follower, desk.gate)
                pairs.append((HASHES / seconds_of(lambda: _retain(retention)), HASHES / _bare_seconds(desk.client)))
        finally:
            server.stop()
    words = (f"{HASHES:,} hashes, compared with every store", "HGETALL and DEL of each in pipelines")
    return [ratio_of("retention", *words, pairs[1:], at_least=True, unit="hashes/s")]


def _retain(retention: Retention) -> None:
    retained = retention.once(time.time_ns() // 1_000, SECONDS_MAX)
    assert retained.removed == HASHES, retained


def _bare_seconds(client: redis.Redis) -> float:
    names, pipeline = [f"bare:{number}" for number in range(HASHES)], client.pipeline(transaction=False)
    whole: Any = RESULT
    for name in names:
        pipeline.hset(name, mapping=whole)
    pipeline.execute()

    def remove() -> None:
        for name in names:
            pipeline.hgetall(name)
        pipeline.execute()
        for name in names:
            pipeline.delete(name)
        pipeline.execute()

    return seconds_of(remove)
