"""The durable stores as the verifier reads them: part by part, so that no question holds the log or the memory.

A part is the rows of one table and UTC day whose keys begin with some hexadecimal digits; a day of many rows has many.
With `recompute`, every column is read and its row's hash made from the values; without, only the hash that is kept.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, Protocol

import duckdb
import msgspec
import pyarrow
from django.db.models import Count

from results.domain.canonical import HASH_COLUMN
from results.pipeline.batches import in_batches
from results.pipeline.canonical_rows import Row, rows_of_arrow
from results.pipeline.mirror import model_of
from results.pipeline.newest import newest_rows
from results.pipeline.verify.fingerprints import (
    Fingerprint,
    RowMark,
    canonical_row,
    fingerprint_of_hashes,
    fingerprint_of_sums,
    marked,
)
from results.stores.clickhouse import KEYS_PER_QUESTION, ClickHouse
from results.stores.schema import Table, quoted

Marks = dict[str, RowMark]
MARK_COLUMNS = ("version", HASH_COLUMN)
ROWS_PER_PART = 4_000  # all columns of them leave DuckDB in some 30 ms, and are hashed in 100
DIGITS_MAX, UUID_DIGITS = 3, 32
KEYS_PER_STATEMENT = 500


class Part(msgspec.Struct, frozen=True):
    """The rows of a table and UTC day whose key, as text, begins with `prefix`."""

    table: Table
    day: datetime.date
    prefix: str = ""


def parts_of(table: Table, day: datetime.date, rows: int) -> list[Part]:
    """The day in parts of some ROWS_PER_PART rows. Only UUIDs can be told apart by their first digits."""
    is_uuid = next(column.kind for column in table.columns if column.name == table.key) == "uuid"
    digits = 0
    while is_uuid and digits < DIGITS_MAX and rows > ROWS_PER_PART * 16**digits:
        digits += 1
    return [Part(table, day, "".join(prefix)) for prefix in product("0123456789abcdef", repeat=digits)]


class Source(Protocol):
    """A store that keeps every durable row."""

    name: str

    def days(self, table: Table, day: datetime.date | None) -> dict[datetime.date, int]:
        """How many rows it has of each UTC day, or of this one; of a log, how many versions."""

    def fingerprint(self, part: Part) -> Fingerprint:
        """The fingerprint of the hashes that it keeps of the part's newest rows, added up by the store itself."""

    def marks(self, part: Part, recompute: bool) -> Marks:
        """The marks of the part's newest rows, by key."""

    def duplicates(self, part: Part) -> int:
        """How many rows of the part are copies of a version that is there already; no reader sees them."""

    def rows(self, table: Table, keys: Sequence[str]) -> dict[str, Row]:
        """The newest rows of these keys in canonical form, as far as it has them, with the hash that it keeps."""


class DuckRows:
    """The durable log, through a connection that the caller holds."""

    name = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def days(self, table: Table, day: datetime.date | None) -> dict[datetime.date, int]:
        """The days in the log."""
        query = f"SELECT day, count(*) FROM {quoted(table.log_name)}{' WHERE day = ?' if day else ''} GROUP BY day"
        return dict(self._connection.execute(query, [day] if day else []).fetchall())

    def fingerprint(self, part: Part) -> Fingerprint:
        """Over the newest versions."""
        key = quoted(part.table.key)
        query = (
            "SELECT count(*), bit_xor(hash), sum((hash >> 32) & 4294967295), sum(hash & 4294967295), max(version) FROM "
            f"(SELECT arg_max(row_hash, (version, seq)) AS hash, max(version) AS version "
            f"FROM {quoted(part.table.log_name)} WHERE {_duck_condition(part)} GROUP BY {key})"
        )
        return fingerprint_of_sums(self._connection.execute(query, [part.day]).fetchall()[0])

    def marks(self, part: Part, recompute: bool) -> Marks:
        """The newest versions, with their seq."""
        return marks_of_log(part.table, self.fetch(part, recompute))

    def fetch(self, part: Part, recompute: bool) -> pyarrow.Table:
        """What `marks_of_log` makes marks of; the log is held for no longer than this."""
        key = quoted(part.table.key)
        query = (
            f"SELECT {_listed(_names(part.table, recompute))}, seq FROM {quoted(part.table.log_name)} "
            f"WHERE {_duck_condition(part)} "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY version DESC, seq DESC) = 1"
        )
        return self._connection.sql(query, params=[part.day]).to_arrow_table()

    def duplicates(self, part: Part) -> int:
        """Of all versions."""
        copies = f"count(*) - count(DISTINCT ({quoted(part.table.key)}, version))"
        query = f"SELECT {copies} FROM {quoted(part.table.log_name)} WHERE {_duck_condition(part)}"
        return int(self._connection.execute(query, [part.day]).fetchall()[0][0])

    def rows(self, table: Table, keys: Sequence[str]) -> dict[str, Row]:
        """The newest versions."""
        return newest_rows(self._connection, {table.name: keys})[table.name]


class DjangoRows:
    """The mirrored tables, and those that are born in Django."""

    name = "django"

    def days(self, table: Table, day: datetime.date | None) -> dict[datetime.date, int]:
        """The days in the mirror."""
        rows = model_of(table)._default_manager.order_by()
        chosen = rows.filter(day=day) if day else rows
        return dict(chosen.values_list("day").annotate(rows=Count("pk")))

    def fingerprint(self, part: Part) -> Fingerprint:
        """Read row by row: SQLite cannot xor."""
        return fingerprint_of_hashes(self._of(part).values_list(HASH_COLUMN, "version").iterator())

    def marks(self, part: Part, recompute: bool) -> Marks:
        """The rows of the mirror."""
        names = _names(part.table, recompute)
        found = self._of(part).values_list(*names)
        return _by_key(_mark(part.table, names, values) for values in found.iterator())

    def duplicates(self, part: Part) -> int:
        """None: the key is unique."""
        return 0

    def rows(self, table: Table, keys: Sequence[str]) -> dict[str, Row]:
        """The rows of the mirror."""
        names = [column.name for column in table.columns]
        objects = model_of(table)._default_manager
        found = (objects.filter(pk__in=some).values(*names) for some in in_batches(keys, KEYS_PER_STATEMENT))
        return _rows_by_key(table, (values for some in found for values in some))

    def _of(self, part: Part) -> Any:
        found = model_of(part.table)._default_manager.filter(day=part.day).order_by()
        return found.filter(pk__range=_between(part)) if part.prefix else found


class ClickHouseRows:
    """ClickHouse, through its FINAL views. `client` gives the client, or raises ClickHouseAway."""

    name = "clickhouse"

    def __init__(self, client: Callable[[], ClickHouse]) -> None:
        self._client = client

    def days(self, table: Table, day: datetime.date | None) -> dict[datetime.date, int]:
        """The days in ClickHouse."""
        condition = " WHERE day = {day:Date32}" if day else ""
        query = f"SELECT day, count() FROM {quoted(table.log_name)}{condition} GROUP BY day"
        return dict(self._client().rows(query, {"day": day} if day else {}))

    def fingerprint(self, part: Part) -> Fingerprint:
        """Over the newest versions."""
        query = (
            "SELECT count(), groupBitXor(hash), sum(bitShiftRight(hash, 32)), sum(bitAnd(hash, 4294967295)), "
            f"max(version) FROM (SELECT reinterpretAsUInt64(row_hash) AS hash, version FROM {quoted(part.table.name)} "
            f"WHERE {_clickhouse_condition(part)})"
        )
        return fingerprint_of_sums(self._client().rows(query, _parameters(part))[0])

    def marks(self, part: Part, recompute: bool) -> Marks:
        """The newest versions."""
        names = _names(part.table, recompute)
        query = f"SELECT {_listed(names)} FROM {quoted(part.table.name)} WHERE {_clickhouse_condition(part)}"
        found = self._client().rows(query, _parameters(part))
        return _by_key(_mark(part.table, names, values) for values in found)

    def duplicates(self, part: Part) -> int:
        """Of all versions that no merge has taken away yet."""
        copies = f"count() - uniqExact({quoted(part.table.key)}, version)"
        query = f"SELECT {copies} FROM {quoted(part.table.log_name)} WHERE {_clickhouse_condition(part)}"
        return int(self._client().rows(query, _parameters(part))[0][0])

    def rows(self, table: Table, keys: Sequence[str]) -> dict[str, Row]:
        """The newest versions."""
        names = [column.name for column in table.columns]
        query = f"SELECT {_listed(names)} FROM {quoted(table.name)} WHERE {quoted(table.key)} IN %(keys)s"
        found = (self._client().rows(query, {"keys": some}) for some in in_batches(keys, KEYS_PER_QUESTION))
        return _rows_by_key(table, (dict(zip(names, values, strict=True)) for some in found for values in some))


def marks_of_log(table: Table, fetched: pyarrow.Table) -> Marks:
    """The marks of rows of the log."""
    seqs = fetched.column("seq").to_pylist()
    names = fetched.column_names[:-1]
    rows = rows_of_arrow(fetched.select(names))
    return _by_key(_mark(table, names, row.values(), seq) for row, seq in zip(rows, seqs, strict=True))


def _names(table: Table, recompute: bool) -> list[str]:
    return [column.name for column in table.columns] if recompute else [table.key, *MARK_COLUMNS]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))


def _duck_condition(part: Part) -> str:
    """Of the day, given as a parameter, and of the prefix."""
    first, last = _between(part)
    between = f" AND {quoted(part.table.key)} BETWEEN CAST('{first}' AS UUID) AND CAST('{last}' AS UUID)"
    return "day = ?" + (between if part.prefix else "")


def _between(part: Part) -> tuple[uuid.UUID, uuid.UUID]:
    """The first and the last UUID of the prefix: an index finds what is between them, and not a beginning of a text."""
    first, last = (uuid.UUID(part.prefix.ljust(UUID_DIGITS, digit)) for digit in "0f")
    return first, last


def _clickhouse_condition(part: Part) -> str:
    prefixed = f" AND startsWith(toString({quoted(part.table.key)}), {{prefix:String}})"
    return "day = {day:Date32}" + (prefixed if part.prefix else "")


def _parameters(part: Part) -> dict[str, Any]:
    return {"day": part.day, "prefix": part.prefix}


def _mark(table: Table, names: Sequence[str], values: Iterable[Any], seq: int = 0) -> RowMark:
    row = dict(zip(names, values, strict=True))
    if len(names) == len(table.columns):
        return marked(table, row, seq)
    return RowMark(str(row[table.key]), row["version"], row[HASH_COLUMN], None, seq)


def _by_key(marks: Iterable[RowMark]) -> Marks:
    return {mark.key: mark for mark in marks}


def _rows_by_key(table: Table, found: Iterable[dict[str, Any]]) -> dict[str, Row]:
    rows = (canonical_row(table, values) for values in found)
    return {str(row[table.key]): row for row in rows}
