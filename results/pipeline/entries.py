"""Which stream entries are rows of a durable table, and what becomes of the others.

An entry is `table`, `id`, `version`, `row` (see `trading.stores.outbox`). One that is not whole, of no known table,
whose row hash is not the hash of its row, or that not every store can hold, is a dead letter: kept in
`paperdesk:dead_letters` with its reason, once while the operation is remembered, and not in the way of the rest.
Source: ruling 27.

Many entries of one table are judged at once, in their Arrow columns; only those among which there is a fault are looked
at one by one, for the sentence that says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import msgspec
import pyarrow

from results.domain.canonical import HASH_COLUMN, row_hash
from results.domain.readable import readable
from results.pipeline.limits import all_fit, misfit
from results.pipeline.stream import StreamEntry
from results.stores.row_hashes import hashes_agree
from results.stores.rows import Entry, MalformedRow, columns_of
from results.stores.schema import Table
from trading.stores import keys
from trading.stores.outbox import row_of_text
from trading.stores.step import Step, StepRunner

ENTRY, RECONCILIATION = "entry", "reconciliation"  # what a dead letter of the stream was meant to become
REQUIRED = (b"table", b"id", b"version", b"row")
FEW = 16  # entries, which take less one by one than a question to DuckDB


class DeadLetter(msgspec.Struct, frozen=True):
    """An entry that no durable store takes, and why."""

    entry: StreamEntry
    reason: str
    kind: str = ENTRY


class Sorted(msgspec.Struct, frozen=True):
    """The entries that are rows, in order; the columns of those tables that have no fault; the dead letters."""

    rows: list[Entry]
    columns: dict[str, pyarrow.Table]
    dead: list[DeadLetter]


def sorted_out(
    connection: duckdb.DuckDBPyConnection, entries: Sequence[StreamEntry], tables: Mapping[str, Table]
) -> Sorted:
    """Which entries are rows, and which dead letters. `connection` computes; nothing is read from it or written."""
    by_table: dict[bytes, list[StreamEntry]] = {}
    for entry in entries:
        by_table.setdefault(entry.fields.get(b"table", b""), []).append(entry)
    columns: dict[str, pyarrow.Table] = {}
    faults: dict[str, str] = {}
    for raw_name, of_table in by_table.items():
        name = readable(raw_name)
        whole = _columns_of_all(connection, tables[name], of_table) if name in tables else None
        if whole is not None:
            columns[name] = whole
        else:
            faults |= _faults(connection, tables.get(name), of_table, tables)
    rows = [
        Entry(entry.stream_id, entry.fields[b"table"].decode(), entry.fields[b"row"])
        for entry in entries
        if entry.stream_id not in faults
    ]
    dead = [DeadLetter(entry, faults[entry.stream_id]) for entry in entries if entry.stream_id in faults]
    return Sorted(rows, columns, dead)


def _faults(
    connection: duckdb.DuckDBPyConnection,
    table: Table | None,
    entries: Sequence[StreamEntry],
    tables: Mapping[str, Table],
) -> dict[str, str]:
    """What is wrong with the entries of one table, by stream id; found by halving, since most have no fault."""
    if table is None or len(entries) <= FEW:
        told = ((entry.stream_id, fault_of(entry.fields, tables)) for entry in entries)
        return {stream_id: reason for stream_id, reason in told if reason}
    middle = len(entries) // 2
    parts = [part for part in (entries[:middle], entries[middle:]) if _columns_of_all(connection, table, part) is None]
    return {name: reason for part in parts for name, reason in _faults(connection, table, part, tables).items()}


def _columns_of_all(
    connection: duckdb.DuckDBPyConnection, table: Table, entries: Sequence[StreamEntry]
) -> pyarrow.Table | None:
    """The columns of the rows, if there are many and `fault_of` would find no fault with any of them."""
    if len(entries) <= FEW:
        return None
    try:
        columns = columns_of(table, [entry.fields[b"row"] for entry in entries])
        told = [(entry.fields[b"id"], entry.fields[b"version"]) for entry in entries]
    except (KeyError, MalformedRow):
        return None
    for number, name in enumerate((table.key, "version")):
        if columns[name].cast(pyarrow.string()).cast(pyarrow.binary()).to_pylist() != [each[number] for each in told]:
            return None
    return columns if all_fit(table, columns) and hashes_agree(connection, table, columns) else None


def fault_of(fields: Mapping[bytes, bytes], tables: Mapping[str, Table]) -> str | None:
    """Why the fields are no row of a durable table, in a sentence; None when they are one."""
    missing = [name.decode() for name in REQUIRED if name not in fields]
    if missing:
        return f"the entry has no {', '.join(missing)}"
    name = readable(fields[b"table"])
    if name not in tables:
        return f"there is no table {name!r}"
    try:
        return _fault_of_row(tables[name], fields)
    except (KeyError, TypeError, ArithmeticError, ValueError, msgspec.MsgspecError) as error:
        return f"the row cannot be read as one of {name}: {type(error).__name__} {error}"


def _fault_of_row(table: Table, fields: Mapping[bytes, bytes]) -> str | None:
    given = msgspec.json.decode(fields[b"row"], type=dict[str, object])
    unknown = sorted(given.keys() - {column.name for column in table.columns})
    if unknown:
        return f"the row has columns that {table.name} has not: {unknown}"
    row = row_of_text(table.columns, fields[b"row"])
    for field, column in ((b"id", table.key), (b"version", "version")):
        if fields[field].decode() != str(row[column]):
            return f"{field.decode()} is {fields[field]!r}, the row says {row[column]!r}"
    hashed = row_hash(table.columns, row)
    if hashed != row[HASH_COLUMN]:
        return f"row_hash is {row[HASH_COLUMN]}, the row's own is {hashed}"
    return misfit(table, row)


class DeadLetterBox:
    """Writes `paperdesk:dead_letters`: the entry's own fields, `kind`, `reason`, `source` (its stream id), `epoch`."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner

    def put(self, letters: Sequence[DeadLetter], epoch: str) -> None:
        """Add the letters; a letter added a moment ago is not added again."""
        for letter in letters:
            fields: dict[Any, Any] = {
                **letter.entry.fields,
                b"kind": letter.kind,
                b"reason": letter.reason,
                b"source": letter.entry.stream_id,
                b"epoch": epoch,
            }
            operation = f"dead-letter:{epoch}:{letter.entry.stream_id}"
            self._runner.run(Step(operation).xadd(keys.DEAD_LETTERS, fields))
