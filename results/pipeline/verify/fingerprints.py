"""Fingerprints: what is compared of the rows of one table and UTC day, instead of the rows.

A row's mark is its key, version, the hash that the store keeps of it, and the hash of the values that the store gives
(only when they were read: a hash that was merely copied proves nothing). A day's fingerprint is the count of rows, the
xor and the sums of both 32-bit halves of their hashes, and the newest version: the same rows give the same fingerprint
in any order.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from results.domain.canonical import HASH_COLUMN, Column, row_hash
from results.domain.units import plain, us_of_datetime
from results.stores.schema import Table

LOW_HALF = 0xFFFFFFFF
UNSIGNED = 0xFFFFFFFFFFFFFFFF


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
    """A day of a table in one store; `newest_version` is the highest that any of its rows has, 0 without rows."""

    count: int = 0
    xor: int = 0
    high_sum: int = 0
    low_sum: int = 0
    newest_version: int = 0

    def with_rows_of(self, other: Fingerprint) -> Fingerprint:
        """The fingerprint of both sets of rows together."""
        return Fingerprint(
            self.count + other.count,
            self.xor ^ other.xor,
            self.high_sum + other.high_sum,
            self.low_sum + other.low_sum,
            max(self.newest_version, other.newest_version),
        )


def fingerprint_of(marks: Iterable[RowMark]) -> Fingerprint:
    """The fingerprint of a set of rows."""
    return fingerprint_of_hashes((mark.hash, mark.version) for mark in marks)


def fingerprint_of_hashes(rows: Iterable[tuple[int, int]]) -> Fingerprint:
    """The fingerprint of rows whose hashes and versions are given."""
    count = xor = high = low = newest = 0
    for hashed, version in rows:
        unsigned = hashed & UNSIGNED
        count, xor, high, low = count + 1, xor ^ unsigned, high + (unsigned >> 32), low + (unsigned & LOW_HALF)
        newest = max(newest, version)
    return Fingerprint(count, xor, high, low, newest)


def fingerprint_of_sums(sums: Sequence[int | None]) -> Fingerprint:
    """The fingerprint that a store added up: count, xor, both sums, newest version; null or 0 without rows."""
    count, xor, high, low, newest = (int(each or 0) for each in sums)
    return Fingerprint(count, xor & UNSIGNED, high, low, newest)


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
