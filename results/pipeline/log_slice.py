"""A slice of the durable log: all rows with after_seq < seq <= mark.seq, frozen, so that a follower that tries again
later writes the same batch again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import duckdb
import msgspec
import pyarrow

from results.stores import duck
from results.stores.marks import Mark

SEQS_PER_SLICE = 2_000  # a read of some 10 ms, a write of some 100 ms in SQLite
NO_SIZES: Mapping[str, int] = {}


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
    connection: duckdb.DuckDBPyConnection, marks: Mapping[str, Sequence[Mark]], sizes: Mapping[str, int] = NO_SIZES
) -> dict[str, LogSlice | None]:
    """By follower's name what it has to write next, or None when it has everything; `sizes` has by name how many seqs
    a slice may span.

    Followers that stand at the same place, as they mostly do, share one slice.
    """
    head = duck.head(connection)
    resumed: dict[tuple[Mark, ...], int] = {}
    slices: dict[tuple[int, int], LogSlice | None] = {}
    found: dict[str, LogSlice | None] = {}
    for name, given in marks.items():
        identity = tuple(given)
        if identity not in resumed:
            resumed[identity] = duck.resume(connection, given)
        after_seq = resumed[identity]
        ends = after_seq, min(head, after_seq + sizes.get(name, SEQS_PER_SLICE))
        if ends not in slices:
            slices[ends] = _slice_between(connection, *ends)
        found[name] = slices[ends]
    return found


def _slice_between(connection: duckdb.DuckDBPyConnection, after_seq: int, last_seq: int) -> LogSlice | None:
    if after_seq >= last_seq:
        return None
    tables = duck.tables_between(connection, after_seq, last_seq)
    rows = {table.name: duck.read_between(connection, table, after_seq, last_seq) for table in tables}
    return LogSlice(after_seq, _mark(rows.values(), last_seq) or duck.mark_of(connection, last_seq), rows)


def _mark(tables: Iterable[pyarrow.Table], last_seq: int) -> Mark | None:
    """The mark that the last of the rows makes; None without rows."""
    ends = [[rows[name][-1].as_py() for name in ("seq", "stream_id", "row_hash")] for rows in tables]
    return Mark(last_seq, "/".join(map(str, max(ends)))) if ends else None
