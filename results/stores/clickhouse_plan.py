"""What ClickHouse has of the schema, and the plan of what it lacks (see `clickhouse_ddl` for the statements)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from results.domain.canonical import Column
from results.stores.changes import Change, Dialect, Plan, StoredColumn, joined, plan_table
from results.stores.clickhouse_ddl import (
    MARKS_TABLE,
    clickhouse_add_column,
    clickhouse_ddl,
    clickhouse_marks_ddl,
    clickhouse_view,
    local_name,
    on_cluster,
)
from results.stores.schema import TABLES, Table, clickhouse_nullable, clickhouse_type, quoted

STORE = "ClickHouse"
COLUMNS_QUERY = """SELECT table, name, type FROM system.columns WHERE database = {database:String}
ORDER BY table, position"""
NULLABLE = "Nullable("


def database_ddl(database: str, cluster: str | None) -> str:
    """The statement that makes the database."""
    return f"CREATE DATABASE IF NOT EXISTS {quoted(database)}{on_cluster(cluster)}"


def plan(rows: Iterable[tuple[str, str, str]], cluster: str | None) -> Plan:
    """What the database lacks; `rows` are those of COLUMNS_QUERY: table, column, type.

    The marks come last: where they are, all tables are, however the migration ended.
    """
    stored: dict[str, dict[str, StoredColumn]] = {}
    for table, column, kind in rows:
        stored.setdefault(table, {})[column] = _stored(kind)
    dialect = _dialect(cluster)
    marks = [] if MARKS_TABLE in stored else clickhouse_marks_ddl(cluster)
    own = Plan(tuple(Change(f"{STORE}: create {MARKS_TABLE}", statement) for statement in marks))
    tables = [
        plan_table(dialect, table, stored.get(table.log_name), stored.get(table.name, {})) for table in TABLES.values()
    ]
    return joined([*tables, own])


def _stored(kind: str) -> StoredColumn:
    """`Nullable(String)` as the type String that may be null."""
    if kind.startswith(NULLABLE):
        return StoredColumn(kind.removeprefix(NULLABLE).removesuffix(")"), True)
    return StoredColumn(kind, False)


def _dialect(cluster: str | None) -> Dialect:
    return Dialect(
        STORE,
        clickhouse_type,
        partial(_create_log, cluster),
        partial(clickhouse_view, cluster=cluster),
        partial(clickhouse_add_column, cluster=cluster),
        partial(_allow_null, cluster),
    )


def _create_log(cluster: str | None, table: Table) -> list[str]:
    return clickhouse_ddl(table, cluster)[:-1]


def _allow_null(cluster: str | None, table: Table, column: Column) -> list[str]:
    names = [table.log_name] if cluster is None else [local_name(table.log_name), table.log_name]
    change = f"MODIFY COLUMN {quoted(column.name)} {clickhouse_nullable(column)}"
    return [f"ALTER TABLE {quoted(name)}{on_cluster(cluster)} {change}" for name in names]
