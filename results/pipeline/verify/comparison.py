"""What differs between the durable log and another store, on one UTC day of one table. Pure.

A row that a store lacks, or has in an older version, is only behind while the store has not confirmed the row's place
in the log; everything else is a difference, and is named.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from results.domain.canonical import canonical_text
from results.pipeline.canonical_rows import Row
from results.pipeline.verify.fingerprints import RowMark
from results.stores.schema import Table

LOG = "duckdb"


class Kind(StrEnum):
    """In what way a row differs from the log's."""

    MISSING = "missing"
    EXTRA = "extra"
    OLDER = "older"
    NEWER = "newer"
    DIFFERENT = "different"
    CORRUPT = "corrupt"


class Cell(msgspec.Struct, frozen=True):
    """A column in which two copies of a row differ: what `store` has, and what the other copy has, as text."""

    column: str
    here: str
    there: str


class Difference(msgspec.Struct, frozen=True):
    """One row that is not the same in `store` as in the log, or whose hash is not that of its values. `cells` are told
    of the rows that are named; `other` is the store whose copy they are compared with."""

    table: str
    day: datetime.date
    store: str
    key: str
    kind: Kind
    sentence: str
    other: str = ""
    cells: tuple[Cell, ...] = ()


class Comparison(msgspec.Struct, frozen=True):
    """The differences, and the keys that are merely behind."""

    differences: list[Difference]
    behind: set[str]


class Subject(msgspec.Struct, frozen=True):
    """What is compared: a table's day in one store."""

    table: str
    day: datetime.date
    store: str

    def difference(self, key: str, kind: Kind, sentence: str) -> Difference:
        """A difference of this subject."""
        return Difference(self.table, self.day, self.store, key, kind, sentence)


def compare(
    subject: Subject, log: Mapping[str, RowMark], marks: Mapping[str, RowMark], confirmed_seq: int
) -> Comparison:
    """Compare a store that should have everything up to `confirmed_seq` with the log."""
    differences = [
        subject.difference(
            key, Kind.EXTRA, f"{subject.store} has version {marks[key].version}, the log has no such row"
        )
        for key in marks.keys() - log.keys()
    ]
    behind: set[str] = set()
    for key, expected in log.items():
        found = marks.get(key)
        if expected.seq > confirmed_seq and (found is None or found.version < expected.version):
            behind.add(key)
        elif found is None:
            sentence = f"the log has version {expected.version}, {subject.store} has no such row"
            differences.append(subject.difference(key, Kind.MISSING, sentence))
        else:
            differences += unlike(subject, expected, found)
    return Comparison(differences + corrupt(subject, marks), behind)


def compare_hot(
    subject: Subject, log: Mapping[str, RowMark], hot: Mapping[str, RowMark], waiting: frozenset[str]
) -> Comparison:
    """Compare rows that are still in Redis with the log; `waiting` are keys whose entries the log has yet to take."""
    differences: list[Difference] = []
    behind: set[str] = set()
    for key, found in hot.items():
        expected = log.get(key)
        if key in waiting and (expected is None or expected.version < found.version):
            behind.add(key)
        elif expected is None:
            sentence = f"{subject.store} has version {found.version}, the log has no such row"
            differences.append(subject.difference(key, Kind.EXTRA, sentence))
        else:
            differences += unlike(subject, expected, found)
    return Comparison(differences + corrupt(subject, hot), behind)


def unlike(subject: Subject, expected: RowMark, found: RowMark) -> list[Difference]:
    """The difference between two marks of one row, if there is one. A row that is corrupt here is told as that; the
    log's may be what it keeps or what its values say, so that a corrupt log does not make every other store differ."""
    if found.stored != found.hash:
        return []
    if found.version != expected.version:
        kind = Kind.OLDER if found.version < expected.version else Kind.NEWER
        sentence = f"{subject.store} has version {found.version}, the log has {expected.version}"
    elif found.hash not in (expected.stored, expected.hash):
        kind = Kind.DIFFERENT
        sentence = f"version {found.version} hashes to {found.hash} in {subject.store}, to {expected.stored} in the log"
    else:
        return []
    return [subject.difference(found.key, kind, sentence)]


def cells_of(table: Table, here: Row, there: Row) -> tuple[Cell, ...]:
    """The columns in which two canonical rows differ."""
    texts = (
        (column.name, canonical_text(column.kind, here[column.name]), canonical_text(column.kind, there[column.name]))
        for column in table.columns
    )
    return tuple(Cell(*each) for each in texts if each[1] != each[2])


def corrupt(subject: Subject, marks: Mapping[str, RowMark]) -> list[Difference]:
    """The rows whose kept hash is not the hash of their values."""
    return [
        subject.difference(
            key, Kind.CORRUPT, f"row_hash is {mark.stored}, the values of version {mark.version} hash to {mark.hash}"
        )
        for key, mark in marks.items()
        if mark.stored != mark.hash
    ]
