"""One schema: the durable tables as Arrow, DuckDB and ClickHouse see them, derived from the Django models.

    name in every store   trade_result       newest version of each row (Django: the table; elsewhere: a view)
    the log behind it     trade_result_log   every version, append-only, in DuckDB and ClickHouse

A log has the canonical columns of the model and three of its own: `seq` (grows by one per row over the whole DuckDB
file), `stream_id`, `ingested_at`. `day` never changes, so a row's versions share a partition of ClickHouse.
Source: rulings 1 and 23.
"""

from __future__ import annotations

import pyarrow

from paperdesk.tables import LOG_COLUMNS as LOG_COLUMNS
from paperdesk.tables import TABLES as TABLES
from paperdesk.tables import Table as Table
from paperdesk.tables import table_of as table_of
from results.domain.canonical import Column

ARROW_TYPE = {
    "uuid": pyarrow.string(),
    "text": pyarrow.string(),
    "json": pyarrow.string(),
    "decimal": pyarrow.decimal128(38, 12),
    "integer": pyarrow.int64(),
    "time": pyarrow.timestamp("us"),
    "date": pyarrow.date32(),
    "boolean": pyarrow.bool_(),
}
DUCKDB_TYPE = {
    "uuid": "UUID",
    "text": "VARCHAR",
    "json": "VARCHAR",
    "decimal": "DECIMAL(38,12)",
    "integer": "BIGINT",
    "time": "TIMESTAMP",
    "date": "DATE",
    "boolean": "BOOLEAN",
}
CLICKHOUSE_TYPE = {
    "uuid": "UUID",
    "text": "String",
    "json": "String",
    "decimal": "Decimal(38, 12)",
    "integer": "Int64",
    "time": "DateTime64(6, 'UTC')",
    "date": "Date32",
    "boolean": "Bool",
}


def arrow_schema(table: Table) -> pyarrow.Schema:
    """The log's columns as Arrow types; times are UTC without a zone, uuids text."""
    return pyarrow.schema(
        [pyarrow.field(column.name, ARROW_TYPE[column.kind], column.nullable) for column in table.log_columns]
    )


def duckdb_type(column: Column) -> str:
    """The column's type in DuckDB."""
    return DUCKDB_TYPE[column.kind]


def clickhouse_type(column: Column) -> str:
    """The column's type in ClickHouse, whether it may be null or not."""
    return CLICKHOUSE_TYPE[column.kind]


def clickhouse_nullable(column: Column) -> str:
    """The column's type in ClickHouse with room for null."""
    return f"Nullable({clickhouse_type(column)})"


def quoted(name: str) -> str:
    """A name of a table or column for DuckDB or ClickHouse (both take double quotes)."""
    return '"' + name.replace('"', '""') + '"'


def column_list(table: Table) -> str:
    """The log's columns, quoted, separated by commas."""
    return ", ".join(quoted(column.name) for column in table.log_columns)


def duckdb_ddl(table: Table) -> list[str]:
    """The statements that make log and view in DuckDB. No keys and no indexes: the log is only ever appended to."""
    nullability = {True: "", False: " NOT NULL"}
    columns = ",\n  ".join(
        f"{quoted(column.name)} {duckdb_type(column)}{nullability[column.nullable]}" for column in table.log_columns
    )
    return [f"CREATE TABLE {quoted(table.log_name)} (\n  {columns}\n)", duckdb_view(table)]


def duckdb_view(table: Table) -> str:
    """The view of newest versions: of each key the row with the highest version, of equal ones the later."""
    return (
        f"CREATE OR REPLACE VIEW {quoted(table.name)} AS\nSELECT {column_list(table)} FROM {quoted(table.log_name)}\n"
        f"WHERE seq IN (SELECT arg_max(seq, (version, seq)) FROM {quoted(table.log_name)} "
        f"GROUP BY {quoted(table.key)})"
    )


def duckdb_add_column(table: Table, column: Column) -> str:
    """The statement that adds a column. Rows of before have no value there, so it is nullable in the log."""
    return f"ALTER TABLE {quoted(table.log_name)} ADD COLUMN {quoted(column.name)} {duckdb_type(column)}"
