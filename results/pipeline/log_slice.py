"""A slice of the durable log: all rows with after_seq < seq <= mark.seq, frozen, so that a follower that tries again
later writes the same batch again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import msgspec
import pyarrow

from results.stores import duck
from results.stores.marks import Mark
from results.stores.schema import TABLES

SEQS_PER_SLICE = 2_000  # a read of some 10 ms, a write of some 100 ms in SQLite


class LogSlice(msgspec.Struct, frozen=True):
    """Rows of the log by table, in order of seq, and the mark that a follower keeps once it has them."""

    after_seq: int
    mark: Mark
    tables: dict[str, pyarrow.Table]

    @property
    def row_count(self) -> int:
        """How many rows there are in all tables."""
        return sum(int(rows.num_rows) for rows in self.tables.values())


def next_slices(
    connection: duckdb.DuckDBPyConnection, marks: Mapping[str, Sequence[Mark]]
) -> dict[str, LogSlice | None]:
    """By follower's name what it has to write next, or None when it has everything.

    Followers that stand at the same place, as they mostly do, share one slice.
    """
    head = duck.head(connection)
    resumed: dict[tuple[Mark, ...], int] = {}
    slices: dict[int, LogSlice | None] = {}
    found: dict[str, LogSlice | None] = {}
    for name, given in marks.items():
        identity = tuple(given)
        if identity not in resumed:
            resumed[identity] = duck.resume(connection, given)
        after_seq = resumed[identity]
        if after_seq not in slices:
            slices[after_seq] = _slice_after(connection, after_seq, head)
        found[name] = slices[after_seq]
    return found


def _slice_after(connection: duckdb.DuckDBPyConnection, after_seq: int, head: int) -> LogSlice | None:
    if after_seq >= head:
        return None
    last_seq = min(head, after_seq + SEQS_PER_SLICE)
    tables = {name: duck.read_between(connection, table, after_seq, last_seq) for name, table in TABLES.items()}
    filled = {name: rows for name, rows in tables.items() if rows.num_rows}
    return LogSlice(after_seq, duck.mark_of(connection, last_seq), filled)
