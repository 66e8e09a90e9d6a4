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
    return {name: _of_table(connection, TABLES[name], set(ids), TABLES[name].key) for name, ids in wanted.items()}


def newest_rows_by(
    connection: duckdb.DuckDBPyConnection, name: str, column: str, wanted: Iterable[str]
) -> dict[str, Row]:
    """The canonical rows of a table, by key, that have one of these UUIDs in `column`."""
    ids = set(wanted)
    found = _of_table(connection, TABLES[name], ids, column)
    return {key: row for key, row in found.items() if row[column] in ids}


def _of_table(connection: duckdb.DuckDBPyConnection, table: Table, ids: set[str], column: str) -> dict[str, Row]:
    if not ids:
        return {}
    found = duck.read_newest(connection, table, sorted(ids), column)
    return {str(row[table.key]): row for row in rows_of_arrow(found.select([each.name for each in table.columns]))}
