"""Fingerprints: what is compared of the rows of one table and UTC day, instead of the rows.

A row's mark is its key, version, the hash that the store keeps of it, and the hash of the values that the store gives
(only when they were read: a hash that was merely copied proves nothing). A day's fingerprint is the count of rows and
the xor and the sums of both 32-bit halves of their hashes: the same rows give the same fingerprint in any order.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from results.domain.canonical import HASH_COLUMN, Column, row_hash
from results.domain.units import plain, us_of_datetime
from results.stores.schema import Table

LOW_HALF = 0xFFFFFFFF


class RowMark(msgspec.Struct, frozen=True):
    """One row's newest version in one store. `recomputed` is None when only the stored hash was read; `seq` is the
    row's place in the durable log, where the store knows it."""

    key: str
    version: int
    stored: int
    recomputed: int | None = None
    seq: int = 0

    @property
    def hash(self) -> int:
        """The hash that is compared: of the values, where they were read."""
        return self.stored if self.recomputed is None else self.recomputed


class Fingerprint(msgspec.Struct, frozen=True):
    """A day of a table in one store."""

    count: int
    xor: int
    high_sum: int
    low_sum: int


def fingerprint_of(marks: Iterable[RowMark]) -> Fingerprint:
    """The fingerprint of a set of rows."""
    count = xor = high = low = 0
    for mark in marks:
        unsigned = mark.hash & 0xFFFFFFFFFFFFFFFF
        count, xor, high, low = count + 1, xor ^ unsigned, high + (unsigned >> 32), low + (unsigned & LOW_HALF)
    return Fingerprint(count, xor, high, low)


def marked(table: Table, values: Mapping[str, Any], seq: int = 0) -> RowMark:
    """The mark of a row from its values as the store gave them, in any of the forms that drivers use."""
    row = canonical_row(table, values)
    hashed = row_hash(table.columns, row)
    return RowMark(str(row[table.key]), row["version"], row[HASH_COLUMN], hashed, seq)


def canonical_row(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """A row in canonical form from a driver's values."""
    return {column.name: canonical_value(column, values[column.name]) for column in table.columns}


def canonical_value(column: Column, value: Any) -> Any:
    """A driver's value in canonical form. Times without a zone are UTC."""
    if value is None:
        return None
    if isinstance(value, datetime.datetime):
        return us_of_datetime(value if value.tzinfo else value.replace(tzinfo=datetime.UTC))
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    return bool(value) if column.kind == "boolean" else value
