"""Canonical rows: the one form of a durable row that every store can recompute, and its hash.

A canonical row is a dict with exactly the columns of its table, in schema order:
`uuid`/`text` -> str, `decimal` -> Decimal, `integer` -> int, `time` -> int microseconds, `date` -> datetime.date,
`boolean` -> bool, `json` -> compact JSON text, and None where the column is nullable.
Two stores hold the same row if and only if their row hashes are equal (up to 64 bits).
"""

from __future__ import annotations

import datetime
import hashlib
import operator
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from results.domain.units import PLACES, text_of

UNIT_SEPARATOR = "\x1f"
NULL = "\\N"
FILLED_UP = ["." + "0" * PLACES, *("0" * (PLACES - places) for places in range(1, PLACES + 1))]
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
    return _hash_of(texts)


class Sealer:
    """Seals the rows of one table as Redis keeps them, in one pass: each decimal becomes text only once."""

    def __init__(self, columns: Sequence[Column]) -> None:
        hashed = [column for column in columns if column.name != HASH_COLUMN]
        self._columns = columns
        self._names = [column.name for column in columns]
        self._hash_place = self._names.index(HASH_COLUMN)
        self._count = len(hashed)
        self._values_of = operator.itemgetter(*(column.name for column in hashed))
        self._decimals = [place for place, column in enumerate(hashed) if column.kind == "decimal"]
        self._others = [(place, each.kind) for place, each in enumerate(hashed) if each.kind not in (*TEXTS, "decimal")]
        self._added = {place for place, column in enumerate(hashed) if column.added}
        self._required = {place for place, column in enumerate(hashed) if not column.nullable}

    def sealed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row in schema order with its `row_hash`, decimals and dates as text. Raises RowMismatch like it."""
        try:
            values = list(self._values_of(row))
        except KeyError:
            raise _mismatch(self._columns, row) from None
        if len(row) - (HASH_COLUMN in row) != self._count:
            raise _mismatch(self._columns, row)
        texts = values.copy()
        for place in self._decimals:
            value = values[place]
            if value is not None:
                values[place] = text = text_of(value)
                places = len(text.partition(".")[2])
                is_plain = places <= PLACES and text[:2] != "-0"
                texts[place] = text + FILLED_UP[places] if is_plain else decimal_text(value)
        for place, kind in self._others:
            value = values[place]
            if type(value) is int and kind != "boolean":
                texts[place] = str(value)
            elif value is not None:
                texts[place] = canonical_text(kind, value)
                if kind == "date":
                    values[place] = texts[place]
        if None in texts:
            texts = self._with_nulls(texts, row)
        values.insert(self._hash_place, _hash_of(texts))
        return dict(zip(self._names, values, strict=True))

    def _with_nulls(self, texts: list[Any], row: Mapping[str, Any]) -> list[str]:
        places = {place for place, text in enumerate(texts) if text is None}
        if places & self._required:
            raise _mismatch(self._columns, row)
        left_out = places & self._added
        return [NULL if text is None else text for place, text in enumerate(texts) if place not in left_out]


def _hash_of(texts: Sequence[str]) -> int:
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
