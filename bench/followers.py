"""From the durable log into what follows it: ClickHouse against a bare `insert_arrow` of the same rows, the Django
tables against a bare bulk insert of them.

Ours reads slices of the log, writes each, confirms it, and moves the mark, until the follower has everything; into
ClickHouse every key is asked for after its insert. The bare ones have the rows in memory: one `insert_arrow` for each
table over the same HTTP, one `executemany` in one transaction of SQLite.
"""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import Any

import pyarrow
from clickhouse_connect.driver import Client
from django.core.management import call_command
from django.db import connection as database
from django.db import transaction

from bench.log_append import ENTRIES, NOW_US, Log, filled
from bench.measure import Action, Ratio, ratio_of, seconds_of
from paperdesk.embedded.redis_server import running_redis
from results.models import FollowerWatermark
from results.pipeline.canonical_rows import rows_of_arrow
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.log_slice import next_slices
from results.pipeline.mirror import DjangoTables, fields_of, model_of
from results.pipeline.sync import Follower
from results.stores import duck
from results.stores.clickhouse import ClickHouse
from results.stores.clickhouse_wire import connected
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table, quoted
from tests.results.stores.made import EmbeddedProcess, drop_database

WRITTEN = (TABLES["trade_result"], TABLES["result_metrics"])


def run_clickhouse(turns: int) -> list[Ratio]:
    """Rows a second into an empty database."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis") as url:
        log = Log(Path(folder) / "log", filled(url))
        log.drain()
        blocks = _blocks(log.gate)
        server = EmbeddedProcess(Path(folder) / "clickhouse")
        try:
            pairs = [_clickhouse_rates(server, log.gate, blocks, turn % 2 == 0) for turn in range(turns + 1)]
        finally:
            server.stop()
    words = (f"{ENTRIES:,} rows of the log, confirmed", "insert_arrow, once for each table")
    return [ratio_of("DuckDB to ClickHouse", *words, pairs[1:], 0.6, at_least=True, unit="rows/s")]


def _clickhouse_rates(
    server: EmbeddedProcess, gate: Gate, blocks: dict[str, pyarrow.Table], bare_first: bool
) -> tuple[float, float]:
    store, other = _database(server), _database(server)
    follower = ClickHouseTables(lambda: store, lambda: gate)
    client = connected(other.address)  # ours is connected too, by `migrate`
    rates = _rates(lambda: follow(follower, gate), lambda: _insert_arrow(client, blocks), bare_first)
    client.close_connections()
    for made in (store, other):
        drop_database(made)
    return rates


def follow(follower: Follower, gate: Gate) -> None:
    """Slices of the log until the follower has everything."""
    confirmed, head = -1, 0
    while confirmed < head:
        marks = {follower.name: follower.marks()}
        with gate.write() as connection:
            head = duck.head(connection)
            found = next_slices(connection, marks, {follower.name: follower.seqs_per_slice})[follower.name]
        assert found is not None, "there is nothing to follow"
        follower.write(found, NOW_US)
        confirmed = found.mark.seq


def _blocks(gate: Gate) -> dict[str, pyarrow.Table]:
    with gate.read() as connection:
        return {table.name: duck.read_between(connection, table, 0, ENTRIES) for table in WRITTEN}


def _database(server: EmbeddedProcess) -> ClickHouse:
    store = ClickHouse(server.url(f"bench_{uuid.uuid4().hex}"))
    store.migrate()
    return store


def _insert_arrow(client: Client, blocks: dict[str, pyarrow.Table]) -> None:
    for table in WRITTEN:
        client.insert_arrow(quoted(table.log_name), blocks[table.name])


def run_django(turns: int) -> list[Ratio]:
    """Rows a second into empty tables of the default database, SQLite."""
    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis") as url:
        log = Log(Path(folder) / "log", filled(url))
        log.drain()
        rows = {
            table.name: _parameters(table, block)
            for table, block in zip(WRITTEN, _blocks(log.gate).values(), strict=True)
        }
        pairs = [
            _rates(lambda: follow(DjangoTables(), log.gate), lambda: _bulk_insert(rows), turn % 2 == 0, _empty)
            for turn in range(turns + 1)
        ]
        _empty()
    words = (f"{ENTRIES:,} rows of the log, as newest versions", "executemany, one transaction")
    return [ratio_of("DuckDB to the Django tables", *words, pairs[1:], at_least=True, unit="rows/s")]


def _empty() -> None:
    for table in WRITTEN:
        model_of(table)._default_manager.all().delete()
    FollowerWatermark.objects.filter(name=DjangoTables.name).delete()


def _parameters(table: Table, block: pyarrow.Table) -> list[list[Any]]:
    """The rows as SQLite takes them."""
    fields = model_of(table)._meta.local_fields
    made = [model_of(table)(**fields_of(table, row)) for row in rows_of_arrow(block)]
    return [[field.get_db_prep_save(field.pre_save(row, True), database) for field in fields] for row in made]


def _bulk_insert(rows: dict[str, list[list[Any]]]) -> None:
    with transaction.atomic(), database.cursor() as cursor:
        for name, parameters in rows.items():
            fields = model_of(TABLES[name])._meta.local_fields
            names, places = ", ".join(quoted(field.column) for field in fields), ", ".join(["%s"] * len(fields))
            cursor.executemany(f"INSERT INTO {quoted(name)} ({names}) VALUES ({places})", parameters)


def _rates(ours: Action, bare: Action, bare_first: bool, before_each: Action = lambda: None) -> tuple[float, float]:
    """Rows a second of both."""
    seconds = {}
    for action in (bare, ours) if bare_first else (ours, bare):
        before_each()
        seconds[action] = seconds_of(action)
    return ENTRIES / seconds[ours], ENTRIES / seconds[bare]
