"""The newest durable version of rows, as the log has it.

It is what a record of another program is the next version of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb

from results.pipeline.canonical_rows import Row, rows_of_arrow
from results.stores import duck
from results.stores.schema import TABLES, Table

Newest = Mapping[str, Mapping[str, Row]]


def newest_rows(
    connection: duckdb.DuckDBPyConnection, wanted: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, Row]]:
    """The canonical rows by table and key; a key that the log does not have is left out. The keys are UUIDs as text."""
    return {name: _of_table(connection, TABLES[name], sorted(set(ids))) for name, ids in wanted.items()}


def _of_table(connection: duckdb.DuckDBPyConnection, table: Table, ids: list[str]) -> dict[str, Row]:
    if not ids:
        return {}
    found = duck.read_newest(connection, table, ids).select([column.name for column in table.columns])
    return {str(row[table.key]): row for row in rows_of_arrow(found)}
