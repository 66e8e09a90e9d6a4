"""The durable stores as the verifier reads them: the days of a table, and the marks of a day's newest rows.

With `recompute`, every column is read and its row's hash made from the values; without, only the hash that is kept.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, Protocol

import duckdb

from results.pipeline.fingerprints import RowMark, marked
from results.pipeline.mirror import model_of
from results.stores.clickhouse import ClickHouse
from results.stores.schema import Table, quoted

Marks = dict[str, RowMark]
MARK_COLUMNS = ("version", "row_hash")


class Source(Protocol):
    """A store that keeps every durable row."""

    name: str

    def days(self, table: Table) -> set[datetime.date]:
        """The UTC days of which it has rows."""

    def marks(self, table: Table, day: datetime.date, recompute: bool) -> Marks:
        """The marks of the day's newest rows, by key."""


class DuckRows:
    """The durable log, through a connection that the caller holds."""

    name = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def days(self, table: Table) -> set[datetime.date]:
        """The days in the log."""
        found = self._connection.execute(f"SELECT DISTINCT day FROM {quoted(table.log_name)}").fetchall()
        return {day for (day,) in found}

    def marks(self, table: Table, day: datetime.date, recompute: bool) -> Marks:
        """The newest versions, with their seq."""
        names = _names(table, recompute)
        query = f"SELECT seq, {_listed(names)} FROM {quoted(table.name)} WHERE day = ?"
        found = self._connection.execute(query, [day]).fetchall()
        return _by_key(_mark(table, names, values, seq) for seq, *values in found)


class DjangoRows:
    """The mirrored tables."""

    name = "django"

    def days(self, table: Table) -> set[datetime.date]:
        """The days in the mirror."""
        rows = model_of(table)._default_manager.order_by().values_list("day", flat=True)
        return set(rows.distinct())

    def marks(self, table: Table, day: datetime.date, recompute: bool) -> Marks:
        """The rows of the mirror."""
        names = _names(table, recompute)
        found = model_of(table)._default_manager.filter(day=day).order_by().values_list(*names)
        return _by_key(_mark(table, names, values) for values in found.iterator())


class ClickHouseRows:
    """ClickHouse, through its FINAL views. `client` gives the client, or raises ClickHouseAway."""

    name = "clickhouse"

    def __init__(self, client: Callable[[], ClickHouse]) -> None:
        self._client = client

    def days(self, table: Table) -> set[datetime.date]:
        """The days in ClickHouse."""
        return {day for (day,) in self._client().rows(f"SELECT DISTINCT day FROM {quoted(table.log_name)}")}

    def marks(self, table: Table, day: datetime.date, recompute: bool) -> Marks:
        """The newest versions."""
        names = _names(table, recompute)
        query = f"SELECT {_listed(names)} FROM {quoted(table.name)} WHERE day = {{day:Date32}}"
        found = self._client().rows(query, {"day": day})
        return _by_key(_mark(table, names, values) for values in found)


def _names(table: Table, recompute: bool) -> list[str]:
    return [column.name for column in table.columns] if recompute else [table.key, *MARK_COLUMNS]


def _listed(names: list[str]) -> str:
    return ", ".join(map(quoted, names))


def _mark(table: Table, names: list[str], values: Any, seq: int = 0) -> RowMark:
    row = dict(zip(names, values, strict=True))
    if len(names) == len(table.columns):
        return marked(table, row, seq)
    return RowMark(str(row[table.key]), row["version"], row["row_hash"], None, seq)


def _by_key(marks: Any) -> Marks:
    return {mark.key: mark for mark in marks}
