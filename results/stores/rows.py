"""Outbox rows (JSON objects) as Arrow columns, exactly.

    {"result_id": "123e…", "lot_size": "1.5", "executed_at": 1742638560000000, "day": "2025-03-22", …}

Arrow parses a whole batch at once (some hundred thousand rows a second); only when it finds fault is each row looked
at alone, so that one bad row is named and the others go through.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO

import msgspec
import pyarrow
import pyarrow.compute
import pyarrow.json

from results.domain.canonical import Column
from results.stores.schema import ARROW_TYPE, Table

# JSON has no type for these: they come as the named one and are cast.
WIRE_TYPE = {**ARROW_TYPE, "time": pyarrow.int64(), "date": pyarrow.string()}
BLOCK_BYTES = 1 << 20
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class MalformedRow(ValueError):
    """A row that is not exactly one of its table; the sentence says why."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of the outbox stream that carries a row: `row` is the JSON text as it came."""

    stream_id: str
    table: str
    row: bytes


def columns_of(table: Table, rows: Sequence[bytes]) -> pyarrow.Table:
    """The canonical columns of the rows, in order. Raises MalformedRow when any of them is not a row of the table."""
    try:
        parsed = pyarrow.json.read_json(BytesIO(b"\n".join(rows)), _read_options(rows), _parse_options(table))
        if parsed.num_rows != len(rows):
            raise MalformedRow(f"{parsed.num_rows} JSON objects in {len(rows)} rows")
        return _checked(table, parsed)
    except pyarrow.ArrowException as error:
        raise MalformedRow(f"{table.name}: {error}") from error


def _checked(table: Table, parsed: pyarrow.Table) -> pyarrow.Table:
    columns = []
    for column in table.columns:
        values = parsed.column(column.name).cast(ARROW_TYPE[column.kind])
        if values.null_count and not column.nullable:
            raise MalformedRow(f"{table.name}: no value for {column.name}")
        if column.kind == "uuid":
            _check_uuids(table, column, values)
        columns.append(values)
    made = pyarrow.Table.from_arrays(columns, names=[column.name for column in table.columns])
    made.validate(full=True)
    return made


def _check_uuids(table: Table, column: Column, values: pyarrow.ChunkedArray) -> None:
    matches = pyarrow.compute.match_substring_regex(values, UUID_PATTERN)
    if pyarrow.compute.min(matches).as_py() is False:
        raise MalformedRow(f"{table.name}: {column.name} is not a lower-case UUID")


def _read_options(rows: Sequence[bytes]) -> pyarrow.json.ReadOptions:
    longest = max(map(len, rows), default=0)
    return pyarrow.json.ReadOptions(use_threads=False, block_size=max(BLOCK_BYTES, 2 * longest))


@cache
def _parse_options(table: Table) -> pyarrow.json.ParseOptions:
    schema = pyarrow.schema([(column.name, WIRE_TYPE[column.kind]) for column in table.columns])
    return pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
