"""Rows of the durable log as plain dicts in canonical form, from the Arrow tables that DuckDB and ClickHouse give.

Times are integer microseconds, uuids text, decimals without trailing zeros, dates `datetime.date`.
"""

from __future__ import annotations

from typing import Any

import pyarrow

from results.domain.units import plain

Row = dict[str, Any]


def rows_of_arrow(arrow: pyarrow.Table) -> list[Row]:
    """Every row of the table, all its columns, in canonical form."""
    names = arrow.column_names
    columns = [_values(arrow.column(name)) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pyarrow.ChunkedArray) -> list[Any]:
    if pyarrow.types.is_timestamp(column.type):
        column = column.cast(pyarrow.timestamp("us", column.type.tz)).cast(pyarrow.int64())
    values: list[Any] = column.to_pylist()
    if pyarrow.types.is_decimal(column.type):
        return [None if value is None else plain(value) for value in values]
    return values
