"""The row hashes of many rows at once: DuckDB makes the canonical texts, column by column, which are then hashed.

Some microseconds a row, where `results.domain.canonical.row_hash` takes fifty; both give the same.
"""

from __future__ import annotations

import hashlib
from functools import cache

import duckdb
import numpy
import pyarrow

from results.domain.canonical import HASH_COLUMN, NULL, UNIT_SEPARATOR, Column
from results.stores.schema import Table, quoted

HASHED = "hashed"


def hashes_agree(connection: duckdb.DuckDBPyConnection, table: Table, columns: pyarrow.Table) -> bool:
    """Whether every row's `row_hash` is that of its other columns, which are in the types of `rows.columns_of`."""
    connection.register(HASHED, columns)
    try:
        texts = connection.sql(_texts_query(table)).to_arrow_table()["text"].cast(pyarrow.binary())
    finally:
        connection.unregister(HASHED)
    digest = hashlib.blake2b
    made = b"".join([digest(text, digest_size=8).digest() for text in texts.to_pylist()])
    return bool(numpy.array_equal(numpy.frombuffer(made, ">i8"), columns[HASH_COLUMN].to_numpy()))


@cache
def _texts_query(table: Table) -> str:
    hashed = [column for column in table.columns if column.name != HASH_COLUMN]
    # concat_ws leaves out nulls, as the hash does with added columns.
    return f"SELECT concat_ws('{UNIT_SEPARATOR}', {', '.join(map(_text, hashed))}) AS text FROM {HASHED}"


def _text(column: Column) -> str:
    name = quoted(column.name)
    whole = {"time": f"epoch_us({name})", "boolean": f"CAST({name} AS TINYINT)"}.get(column.kind, name)
    text = f"CAST({whole} AS VARCHAR)"
    return f"coalesce({text}, '{NULL}')" if column.nullable and not column.added else text
