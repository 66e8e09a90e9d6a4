"""One schema: the durable tables as Arrow, DuckDB and ClickHouse see them, derived from the Django models.

    name in every store   trade_result       newest version of each row (Django: the table; elsewhere: a view)
    the log behind it     trade_result_log   every version, append-only, in DuckDB and ClickHouse

A log has the canonical columns of the model and three of its own: `seq` (grows by one per row over the whole DuckDB
file), `stream_id`, `ingested_at`. `day` never changes, so a row's versions share a partition of ClickHouse.
Source: rulings 1 and 23.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import msgspec
import pyarrow
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from paperdesk.mirror import INGESTION_COLUMNS, MirroredModel
from results.domain.canonical import Column

LOG_COLUMNS = (Column("seq", "integer"), Column("stream_id", "text"), Column("ingested_at", "time"))
# The first class that fits decides: a DateTimeField is a DateField too.
KIND_OF_FIELD: tuple[tuple[type[models.Field], str], ...] = (
    (models.UUIDField, "uuid"),
    (models.DecimalField, "decimal"),
    (models.BooleanField, "boolean"),
    (models.IntegerField, "integer"),
    (models.DateTimeField, "time"),
    (models.DateField, "date"),
    (models.JSONField, "json"),
    (models.CharField, "text"),
    (models.TextField, "text"),
)
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


class Table(msgspec.Struct, frozen=True):
    """A durable table: its name in every store, the name of its key column, its canonical columns in model order."""

    name: str
    key: str
    columns: tuple[Column, ...]

    @property
    def log_name(self) -> str:
        """The table that holds every version."""
        return f"{self.name}_log"

    @property
    def log_columns(self) -> tuple[Column, ...]:
        """The canonical columns, then `seq`, `stream_id`, `ingested_at`."""
        return self.columns + LOG_COLUMNS


def table_of(model: type[models.Model]) -> Table:
    """The table of one mirrored model. Raises ImproperlyConfigured for a field of a kind that no store knows."""
    fields = [field for field in model._meta.local_fields if field.column not in INGESTION_COLUMNS]
    key = model._meta.pk
    columns = tuple(Column(field.column, _kind(field), field.null) for field in fields)
    return Table(model._meta.db_table, str(key.column), columns)


def _kind(field: models.Field) -> str:
    for field_class, kind in KIND_OF_FIELD:
        if isinstance(field, field_class):
            return kind
    raise ImproperlyConfigured(f"{field.model.__name__}.{field.name}: no durable store knows a {type(field).__name__}")


@cache
def _tables() -> dict[str, Table]:
    mirrored = [model for model in apps.get_models() if issubclass(model, MirroredModel)]
    return {table.name: table for table in sorted(map(table_of, mirrored), key=lambda table: table.name)}


class _Tables(Mapping[str, Table]):
    """The durable tables of all installed apps by name, read from the models at first use."""

    def __getitem__(self, name: str) -> Table:
        return _tables()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_tables())

    def __len__(self) -> int:
        return len(_tables())


TABLES: Mapping[str, Table] = _Tables()


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
