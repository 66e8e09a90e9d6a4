"""The newest durable version of rows, as the log has it.

It is what a record of another program is the next version of. The log has no index: a question reads the key column
of the whole table once, however many keys it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb
import pyarrow

from results.pipeline.canonical_rows import Row, rows_of_arrow
from results.stores.schema import TABLES, Table, duckdb_type, quoted

WANTED = "wanted"
Newest = Mapping[str, Mapping[str, Row]]


def newest_rows(
    connection: duckdb.DuckDBPyConnection, wanted: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, Row]]:
    """The canonical rows by table and key; a key that the log does not have is left out. The keys are UUIDs as text."""
    return {name: _of_table(connection, TABLES[name], sorted(set(ids))) for name, ids in wanted.items()}


def _of_table(connection: duckdb.DuckDBPyConnection, table: Table, ids: list[str]) -> dict[str, Row]:
    if not ids:
        return {}
    key = quoted(table.key)
    kind = next(duckdb_type(column) for column in table.columns if column.name == table.key)
    columns = ", ".join(quoted(column.name) for column in table.columns)
    connection.register(WANTED, pyarrow.table({"id": ids}))
    query = (
        f"SELECT {columns} FROM {quoted(table.log_name)} WHERE {key} IN (SELECT CAST(id AS {kind}) FROM {WANTED}) "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY version DESC, seq DESC) = 1"
    )
    found = connection.sql(query).to_arrow_table()
    connection.unregister(WANTED)
    return {str(row[table.key]): row for row in rows_of_arrow(found)}
