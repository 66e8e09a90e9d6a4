"""The DuckDB file's own tables, and the migration of all of them to the models' schema."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from results.domain.canonical import Column
from results.stores.changes import Change, Dialect, Plan, StoredColumn, joined, plan_table
from results.stores.schema import TABLES, Table, duckdb_add_column, duckdb_ddl, duckdb_type, duckdb_view, quoted

WATERMARK_DDL = """CREATE TABLE watermark (
  epoch VARCHAR NOT NULL, stream_id VARCHAR NOT NULL, seq BIGINT NOT NULL, moved_at TIMESTAMP NOT NULL
)"""
REJECTED_DDL = """CREATE TABLE rejected_entry (
  stream_id VARCHAR NOT NULL, table_name VARCHAR NOT NULL, "row" VARCHAR NOT NULL, reason VARCHAR NOT NULL,
  rejected_at TIMESTAMP NOT NULL
)"""
OWN_TABLES = {"watermark": WATERMARK_DDL, "rejected_entry": REJECTED_DDL}
COLUMNS_QUERY = """SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal ORDER BY table_name, column_index"""


def plan(connection: duckdb.DuckDBPyConnection) -> Plan:
    """What the file lacks. Empty when it is up to date."""
    return plan_of(_stored(connection))


def plan_of(stored: Mapping[str, Mapping[str, StoredColumn]]) -> Plan:
    """What a file with these tables and columns lacks; an empty mapping is a file that is not there yet."""
    own = [Change(f"DuckDB: create {name}", statement) for name, statement in OWN_TABLES.items() if name not in stored]
    tables = [
        plan_table(DIALECT, table, stored.get(table.log_name), stored.get(table.name, {})) for table in TABLES.values()
    ]
    return joined([Plan(tuple(own)), *tables])


def migrate(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Make all additions in one transaction and return them as sentences; a second call returns none.

    Raises DestructiveChange, and changes nothing, when the models ask for anything else.
    """
    wanted = plan(connection)
    wanted.check()
    connection.begin()
    try:
        for change in wanted.changes:
            connection.execute(change.statement).fetchall()
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return wanted.lines


def _stored(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, StoredColumn]]:
    tables: dict[str, dict[str, StoredColumn]] = {}
    for table, column, kind, nullable in connection.execute(COLUMNS_QUERY).fetchall():
        tables.setdefault(table, {})[column] = StoredColumn(kind, nullable)
    return tables


def _create_log(table: Table) -> list[str]:
    return duckdb_ddl(table)[:-1]


def _add_column(table: Table, column: Column) -> list[str]:
    return [duckdb_add_column(table, column)]


def _allow_null(table: Table, column: Column) -> list[str]:
    return [f"ALTER TABLE {quoted(table.log_name)} ALTER COLUMN {quoted(column.name)} DROP NOT NULL"]


DIALECT = Dialect("DuckDB", duckdb_type, _create_log, duckdb_view, _add_column, _allow_null)
