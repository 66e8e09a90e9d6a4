"""A durable table and period as a file, Parquet or CSV: the newest version of each row, from the log.

Rows are chosen by `day`, the UTC day of their first version, and written day by day. The log is read in slices, between
which the sync has the file; what is at or below the watermark that is read first never changes, so the file is of that
moment.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import msgspec
import pyarrow

from results.domain.errors import PaperDeskError
from results.stores import duck
from results.stores.failures import WarehouseBusy
from results.stores.gate import Gate
from results.stores.schema import Table, quoted
from results.stores.table_files import file_schema, table_file

ROWS_PER_SLICE = 20_000  # some 50 ms of the file, 20 MB
KEYS_PER_QUESTION = 200_000  # whose newest versions are found at once
WANTED = "wanted"

Say = Callable[[int, int], None]


class ExportRefused(PaperDeskError):
    """The file cannot be written there."""


class Exported(msgspec.Struct, frozen=True):
    """What was written: rows, the first and last day that had some, the log's last seq."""

    rows: int
    first_day: datetime.date | None
    last_day: datetime.date | None
    seq: int


def export_table(
    gate: Gate,
    table: Table,
    days: tuple[datetime.date, datetime.date],
    file_format: str,
    target: Path,
    say: Say,
) -> Exported:
    """Write the table's rows of these UTC days, both included, as `target`, which is not there yet; `say` is told the
    rows written, of how many versions. Nothing is left of an export that fails or is stopped.

    Raises ExportRefused, WarehouseMissing, WarehouseBusy, OSError.
    """
    _refuse_target(target)
    with _reading(gate) as connection:
        seq = duck.head(connection)
        counts = _counts(connection, table, days, seq)
    total, written = sum(counts.values()), 0
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with table_file(draft, table.columns, file_format) as file:
            for day, count in counts.items():
                for rows in _newest_of(gate, table, day, count, seq):
                    file.write_table(rows)
                    written += rows.num_rows
                    say(written, total)
        _refuse_target(target)
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(written, min(counts, default=None), max(counts, default=None), seq)


def _refuse_target(target: Path) -> None:
    if target.exists():
        raise ExportRefused(f"{target} exists already; name a file that does not")
    if not target.parent.is_dir():
        raise ExportRefused(f"{target.parent} is not a folder")


@contextlib.contextmanager
def _reading(gate: Gate) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with gate.read() as connection:
            yield connection
    except duckdb.Error as error:
        raise WarehouseBusy(f"the log cannot be read: {error}") from error


def _counts(
    connection: duckdb.DuckDBPyConnection, table: Table, days: tuple[datetime.date, datetime.date], seq: int
) -> dict[datetime.date, int]:
    """How many versions there are of each day, in order."""
    query = (
        f"SELECT day, count(*) FROM {quoted(table.log_name)} WHERE day BETWEEN ? AND ? AND seq <= ? "
        "GROUP BY day ORDER BY day"
    )
    return dict(connection.execute(query, [*days, seq]).fetchall())


def _newest_of(gate: Gate, table: Table, day: datetime.date, count: int, seq: int) -> Iterator[pyarrow.Table]:
    """The newest versions of a day's rows, in slices."""
    parts = count // KEYS_PER_QUESTION + 1
    newest = (
        f"SELECT arg_max(seq, (version, seq)) AS seq FROM {quoted(table.log_name)} "
        f"WHERE day = $1 AND seq <= $2 AND hash({quoted(table.key)}) % $3 = $4 GROUP BY {quoted(table.key)} ORDER BY 1"
    )
    for part in range(parts):
        with _reading(gate) as connection:
            chosen = connection.sql(newest, params=[day, seq, parts, part]).to_arrow_table()
        for start in range(0, chosen.num_rows, ROWS_PER_SLICE):
            with _reading(gate) as connection:
                rows = _rows_at(connection, table, day, chosen.slice(start, ROWS_PER_SLICE))
            yield rows  # the log is free while they are written


def _rows_at(
    connection: duckdb.DuckDBPyConnection, table: Table, day: datetime.date, chosen: pyarrow.Table
) -> pyarrow.Table:
    columns = ", ".join(quoted(column.name) for column in table.columns)
    query = (
        f"SELECT {columns} FROM {quoted(table.log_name)} WHERE day = $1 AND seq BETWEEN $2 AND $3 "
        f"AND seq IN (SELECT seq FROM {WANTED}) ORDER BY seq"
    )
    connection.register(WANTED, chosen)
    first, last = chosen["seq"][0].as_py(), chosen["seq"][-1].as_py()
    found = connection.sql(query, params=[day, first, last]).to_arrow_table()
    connection.unregister(WANTED)
    if found.num_rows != chosen.num_rows:
        raise WarehouseBusy(f"the log of {table.name} was rewritten meanwhile; export once more")
    return found.cast(file_schema(table.columns))
