"""Which stream entries are rows of a durable table, and what becomes of the others.

An entry is `table`, `id`, `version`, `row` (see `trading.stores.outbox`). One that is not whole, of no known table,
whose row hash is not the hash of its row, or that not every store can hold, is a dead letter: kept in
`paperdesk:dead_letters` with its reason, once while the operation is remembered, and not in the way of the rest.
Source: ruling 27.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from results.domain.canonical import HASH_COLUMN, row_hash
from results.pipeline.limits import misfit
from results.pipeline.stream import StreamEntry
from results.stores.rows import Entry
from results.stores.schema import Table
from trading.stores import keys
from trading.stores.outbox import row_of_text
from trading.stores.step import Step, StepRunner

ENTRY, RECONCILIATION = "entry", "reconciliation"  # what a dead letter of the stream was meant to become
REQUIRED = (b"table", b"id", b"version", b"row")


class DeadLetter(msgspec.Struct, frozen=True):
    """An entry that no durable store takes, and why."""

    entry: StreamEntry
    reason: str
    kind: str = ENTRY


def sorted_out(entries: Iterable[StreamEntry], tables: Mapping[str, Table]) -> tuple[list[Entry], list[DeadLetter]]:
    """The entries that are rows, in order, and the dead letters."""
    rows: list[Entry] = []
    dead: list[DeadLetter] = []
    for entry in entries:
        reason = fault_of(entry.fields, tables)
        if reason:
            dead.append(DeadLetter(entry, reason))
        else:
            table = entry.fields[b"table"].decode()
            rows.append(Entry(stream_id=entry.stream_id, table=table, row=entry.fields[b"row"]))
    return rows, dead


def fault_of(fields: Mapping[bytes, bytes], tables: Mapping[str, Table]) -> str | None:
    """Why the fields are no row of a durable table, in a sentence; None when they are one."""
    missing = [name.decode() for name in REQUIRED if name not in fields]
    if missing:
        return f"the entry has no {', '.join(missing)}"
    name = fields[b"table"].decode(errors="backslashreplace")
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
