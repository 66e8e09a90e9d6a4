"""What each store holds of the durable tables: keys, versions and the row hashes that it keeps, table by table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import msgspec
from redis import Redis

from results.pipeline.mirror import model_of
from results.pipeline.verify.hot_rows import HASH_PATTERNS, scanned
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table, quoted
from trading.stores import keys

KEYS_PER_READ = 1_000
MIRRORED = [table for table in TABLES.values() if not table.is_born]

Held = tuple[str, int, int]  # key, version, row_hash


class Contents(msgspec.Struct, frozen=True):
    """The rows of one store by table. The log has every version, as often as it was written; all others have the
    newest ones."""

    store: str
    rows: Mapping[str, list[Held]]


def log_contents(gate: Gate) -> Contents:
    """Every version in DuckDB."""
    with gate.read() as connection:
        rows = {table.name: connection.execute(_query(table, table.log_name)).fetchall() for table in MIRRORED}
    return Contents("duckdb", rows)


def clickhouse_contents(clickhouse: ClickHouse) -> Contents:
    """The newest versions in ClickHouse."""
    rows = {table.name: [(key, v, h) for key, v, h in clickhouse.rows(_query(table, table.name))] for table in MIRRORED}
    return Contents("clickhouse", rows)


def django_contents() -> Contents:
    """The rows of the Django tables."""
    return Contents("django", {table.name: _of_django(table) for table in MIRRORED})


def redis_contents(client: Redis) -> Contents:
    """The hashes in Redis: results, metrics, reconciliations. (Trades are compared by the verifier.)"""
    found: dict[str, list[Held]] = {}
    for table, pattern in HASH_PATTERNS.items():
        names = list(scanned(client, pattern, "hash"))
        batches = (names[start : start + KEYS_PER_READ] for start in range(0, len(names), KEYS_PER_READ))
        found[table] = [held for batch in batches for held in _of_hashes(client, batch)]
    return Contents("redis", found)


def _query(table: Table, name: str) -> str:
    return f"SELECT CAST({quoted(table.key)} AS VARCHAR), version, row_hash FROM {quoted(name)}"


def _of_django(table: Table) -> list[Held]:
    found = model_of(table)._default_manager.order_by().values_list("pk", "version", "row_hash")
    return [(str(key), version, hashed) for key, version, hashed in found.iterator(KEYS_PER_READ)]


def _of_hashes(client: Redis, names: list[str]) -> Iterable[Held]:
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.hmget(name, "version", "row_hash")
    answers = cast("list[tuple[bytes | None, bytes | None]]", pipeline.execute())
    for name, (version, hashed) in zip(names, answers, strict=True):
        if version is not None and hashed is not None:  # another program's until the sweep has adopted it
            yield keys.id_of(name), int(version), int(hashed)
