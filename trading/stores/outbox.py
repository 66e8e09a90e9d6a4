"""The outbox: one stream entry per version of a durable row, written in the step that made it.

An entry is flat text: `table`, `id` (the row's key), `version`, and `row`, the canonical row as one JSON
object with its columns in schema order: decimals and uuids as strings, times as integer microseconds, dates
"YYYY-MM-DD".
Invariant: `row["row_hash"]` is `results.domain.canonical.row_hash` of the row.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from results.domain.canonical import Column, Sealer
from results.domain.units import text_of
from trading.stores.errors import StoreError

Row = dict[str, Any]


class TableShape(Protocol):
    """What the outbox needs to know of a durable table."""

    @property
    def name(self) -> str:
        """The table's name in every store."""

    @property
    def key(self) -> str:
        """The name of its key column."""

    @property
    def columns(self) -> Sequence[Column]:
        """Its canonical columns, in schema order."""


class UnknownTable(StoreError):
    """A row was meant for a table that the schema does not have."""


class Outbox:
    """Makes stream entries of canonical rows, by the schema it was given."""

    def __init__(self, tables: Mapping[str, TableShape]) -> None:
        self._tables = tables
        self._sealers: dict[str, Sealer] = {}

    def table(self, name: str) -> TableShape:
        """The shape of a table. Raises UnknownTable."""
        if name not in self._tables:
            raise UnknownTable(f"no durable table is called {name!r}; there are {sorted(self._tables)}")
        return self._tables[name]

    def sealed(self, table: str, row: Row) -> Row:
        """The canonical row in schema order with its hash, decimals and dates as text.

        Raises UnknownTable, or results.domain.canonical.RowMismatch when the row has not exactly the columns.
        """
        sealer = self._sealers.get(table)
        if sealer is None:
            sealer = self._sealers[table] = Sealer(self.table(table).columns)
        return sealer.sealed(row)

    def entry(self, table: str, row: Row) -> dict[str, str]:
        """The stream entry of a canonical row, sealed with its hash. Raises like `sealed`."""
        return self.entry_of_sealed(table, self.sealed(table, row))

    def entry_of_sealed(self, table: str, row: Row) -> dict[str, str]:
        """The stream entry of a row that `sealed` gave."""
        return {
            "table": table,
            "id": str(row[self.table(table).key]),
            "version": str(row["version"]),
            "row": msgspec.json.encode(row).decode(),
        }


def row_text(row: Mapping[str, Any]) -> str:
    """A canonical row as compact JSON; decimals become strings with the digits they have."""
    plain = {name: text_of(value) if type(value) is Decimal else value for name, value in row.items()}
    return msgspec.json.encode(plain).decode()


def row_of_text(columns: Sequence[Column], text: str | bytes) -> Row:
    """The inverse of `row_text`: the canonical row, values in the types of its columns.

    A row that was written before a column was added has null there. Raises msgspec.DecodeError, KeyError or ValueError
    when the text is not such a row.
    """
    values: dict[str, Any] = {column.name: None for column in columns if column.added}
    values |= msgspec.json.decode(text, type=dict[str, Any])
    return {column.name: _canonical_value(column.kind, values[column.name]) for column in columns}


def _canonical_value(kind: str, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case "decimal":
            return Decimal(value)
        case "date":
            return datetime.date.fromisoformat(value)
        case _:
            return value
