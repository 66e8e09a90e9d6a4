"""Canonical rows: the one form of a durable row that every store can recompute, and its hash.

A canonical row is a dict with exactly the columns of its table, in schema order:
`uuid`/`text` -> str, `decimal` -> Decimal, `integer` -> int, `time` -> int microseconds, `date` -> datetime.date,
`boolean` -> bool, `json` -> compact JSON text, and None where the column is nullable.
Two stores hold the same row if and only if their row hashes are equal (up to 64 bits).
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from results.domain.units import PLACES

UNIT_SEPARATOR = "\x1f"
NULL = "\\N"
HASH_COLUMN = "row_hash"
TEXTS = frozenset({"uuid", "text", "json"})


class Column(msgspec.Struct, frozen=True):
    """One column of a durable table. `kind` is one of uuid, text, decimal, integer, time, date, boolean, json.

    `added`: it came after rows had been written, which have null there.
    """

    name: str
    kind: str
    nullable: bool = False
    added: bool = False


class RowMismatch(ValueError):
    """A row does not have exactly the columns of its table."""


def canonical_text(kind: str, value: Any) -> str:
    """One value as the text that is hashed. Decimals have 12 places, times are integer microseconds."""
    if value is None:
        return NULL
    match kind:
        case "decimal":
            return decimal_text(value)
        case "integer" | "time":
            return str(int(value))
        case "boolean":
            return "1" if value else "0"
        case "date":
            return value.isoformat() if isinstance(value, datetime.date) else str(value)
        case _:
            return str(value)


def decimal_text(value: Any) -> str:
    """A number with 12 places; there is no negative zero."""
    text = f"{value if type(value) is Decimal else Decimal(value):.{PLACES}f}"
    return "0.000000000000" if text == "-0.000000000000" else text


def row_hash(columns: Sequence[Column], row: Mapping[str, Any]) -> int:
    """The row's hash as a signed 64-bit integer: 8 bytes of BLAKE2b over the canonical texts.

    Covers every column but `row_hash` itself, and added columns only where they have a value: the rows of before keep
    their hash. Raises RowMismatch when a column is missing or unknown.
    """
    texts = []
    unknown = len(row) - (HASH_COLUMN in row)
    for column in columns:
        name, kind = column.name, column.kind
        if name == HASH_COLUMN:
            continue
        value = row.get(name)
        unknown -= 1
        if value is None:
            if not column.nullable or name not in row:
                raise _mismatch(columns, row)
            if not column.added:
                texts.append(NULL)
        elif kind == "decimal":
            texts.append(decimal_text(value))
        else:
            texts.append(value if kind in TEXTS and type(value) is str else canonical_text(kind, value))
    if unknown:
        raise _mismatch(columns, row)
    digest = hashlib.blake2b(UNIT_SEPARATOR.join(texts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _mismatch(columns: Sequence[Column], row: Mapping[str, Any]) -> RowMismatch:
    hashed = [column for column in columns if column.name != HASH_COLUMN]
    names, given = {column.name for column in hashed}, row.keys() - {HASH_COLUMN}
    if names != given:
        return RowMismatch(f"missing columns {sorted(names - given)}, unknown columns {sorted(given - names)}")
    empty = [column.name for column in hashed if row[column.name] is None and not column.nullable]
    return RowMismatch(f"no value for the columns {empty}")


def sealed(columns: Sequence[Column], row: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the row, in schema order, with its `row_hash` filled in."""
    hashed = row_hash(columns, row)
    return {column.name: hashed if column.name == HASH_COLUMN else row[column.name] for column in columns}
