"""A client's own list of what it asked for and what was answered, on which no store has any influence.

    {"began": "7:3:12", "changes": [["trade_result", "123e…", 1, -88123…], …]}    before the request is sent
    {"ended": "7:3:12", "outcome": "acknowledged"}                              after the reply was read

One file for each life of a client, one line for each event, written at once: a client that is killed loses at most the
line it is writing. An operation is one atomic request; a change is one new version of a durable row, told by table,
key, version and the hash of its canonical row. What began and did not end may have been done or not ("maybe").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from results.domain.canonical import row_hash
from results.stores.schema import TABLES

SUFFIX = ".jsonl"


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One version of one durable row."""

    table: str
    key: str
    version: int
    row_hash: int


class Outcome(StrEnum):
    """What the client knows. Of `MAYBE` it knows nothing: it must be there wholly or not at all."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    MAYBE = "maybe"


class Operation(msgspec.Struct, frozen=True):
    """One atomic request, and what became of it. `source` is the file that tells of it."""

    id: str
    changes: tuple[Change, ...]
    outcome: Outcome
    source: str


class Contradiction(AssertionError):
    """The list itself is wrong: it tells of one operation in two ways."""


class AcknowledgementList:
    """The list of one life of a client."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)

    def began(self, operation_id: str, changes: Sequence[Change]) -> None:
        """To be called before anything of the operation is sent."""
        self._write({"began": operation_id, "changes": changes})

    def ended(self, operation_id: str, outcome: Outcome) -> None:
        """To be called once the reply was read: acknowledged, or refused and so nowhere."""
        self._write({"ended": operation_id, "outcome": outcome})

    def _write(self, line: Mapping[str, Any]) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")


def change_of(table: str, row: Mapping[str, Any]) -> Change:
    """The change that makes this canonical row; the hash is computed from its values."""
    shape = TABLES[table]
    return Change(table, str(row[shape.key]), row["version"], row_hash(shape.columns, row))


def operations_in(paths: Iterable[Path]) -> dict[str, Operation]:
    """All operations of these lists by id. One that was tried again, by a later life of the client, ended as any of
    them says. Raises Contradiction when two say different things."""
    found: dict[str, Operation] = {}
    for path in sorted(paths):
        for operation in read_list(path):
            before = found.get(operation.id)
            found[operation.id] = operation if before is None else _merged(before, operation)
    return found


def read_list(path: Path) -> list[Operation]:
    """The operations of one life, in the order in which they began; a line that was cut off is none."""
    changes: dict[str, tuple[Change, ...]] = {}
    outcomes: dict[str, Outcome] = {}
    for line in _lines(path):
        if "began" in line:
            changes[line["began"]] = tuple(msgspec.convert(line["changes"], list[Change]))
        else:
            outcomes[line["ended"]] = Outcome(line["outcome"])
    return [Operation(each, made, outcomes.get(each, Outcome.MAYBE), path.name) for each, made in changes.items()]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    whole, _, _cut_off = path.read_bytes().rpartition(b"\n")
    for line in whole.splitlines():
        yield msgspec.json.decode(line, type=dict[str, Any])


def _merged(before: Operation, after: Operation) -> Operation:
    if before.changes != after.changes:
        raise Contradiction(f"operation {after.id} is not the same in {before.source} and in {after.source}")
    known = {before.outcome, after.outcome} - {Outcome.MAYBE}
    if len(known) > 1:
        raise Contradiction(f"operation {after.id} is {before.outcome} in {before.source}, {after.outcome} later")
    return after if after.outcome in known or not known else before
