"""A durable table and period as a file, Parquet or CSV: the newest version of each row, from the log.

Rows are chosen by `day`, the UTC day of their first version, and written day by day. The log is read in slices, between
which the sync has the file; what is at or below the watermark that is read first never changes, so the file is of that
moment. In CSV a text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay numbers.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import duckdb
import msgspec
import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from results.domain.errors import PaperDeskError
from results.stores import duck
from results.stores.failures import WarehouseBusy
from results.stores.gate import Gate
from results.stores.schema import ARROW_TYPE, Table, quoted

PARQUET, CSV = "parquet", "csv"
FORMATS = (PARQUET, CSV)
ROWS_PER_SLICE = 20_000  # some 50 ms of the file, 20 MB
KEYS_PER_QUESTION = 200_000  # whose newest versions are found at once
WANTED = "wanted"
FORMULA = r"^[=+\-@\t\r]"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
UTC_TIME = pyarrow.timestamp("us", "UTC")

Say = Callable[[int, int], None]


class ExportRefused(PaperDeskError):
    """The file cannot be written there."""


class Exported(msgspec.Struct, frozen=True):
    """What was written: rows, the first and last day that had some, the log's last seq."""

    rows: int
    first_day: datetime.date | None
    last_day: datetime.date | None
    seq: int


class Sink(Protocol):
    """A file under construction."""

    def write_table(self, rows: pyarrow.Table) -> None:
        """Append rows."""


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
        with _sink(draft, table, file_format) as sink:
            for day, count in counts.items():
                for rows in _newest_of(gate, table, day, count, seq):
                    sink.write_table(_as_csv(table, rows) if file_format == CSV else rows)
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
    return found.cast(_schema(table))


def _schema(table: Table) -> pyarrow.Schema:
    """The canonical columns; times have their zone, UTC."""
    kinds = {**ARROW_TYPE, "time": UTC_TIME}
    return pyarrow.schema([pyarrow.field(column.name, kinds[column.kind]) for column in table.columns])


@contextlib.contextmanager
def _sink(file: Path, table: Table, file_format: str) -> Iterator[Sink]:
    if file_format == PARQUET:
        with pyarrow.parquet.ParquetWriter(file, _schema(table), compression="zstd") as writer:
            yield writer
        return
    times = {column.name for column in table.columns if column.kind == "time"}
    schema = pyarrow.schema(
        [pyarrow.field(field.name, pyarrow.string() if field.name in times else field.type) for field in _schema(table)]
    )
    with pyarrow.csv.CSVWriter(file, schema) as writer:
        yield writer


def _as_csv(table: Table, rows: pyarrow.Table) -> pyarrow.Table:
    """Times as ISO-8601 with Z, and no text that a spreadsheet would calculate."""
    kinds: dict[str, Callable[[Any], Any]] = {"time": _iso, "text": _harmless, "json": _harmless}
    columns = [kinds.get(column.kind, _as_it_is)(rows[column.name]) for column in table.columns]
    return pyarrow.table(dict(zip(rows.column_names, columns, strict=True)))


def _iso(times: pyarrow.ChunkedArray) -> Any:
    return pyarrow.compute.strftime(times, format=TIME_FORMAT)


def _harmless(texts: pyarrow.ChunkedArray) -> Any:
    dangerous = pyarrow.compute.match_substring_regex(texts, FORMULA)
    return pyarrow.compute.if_else(dangerous, pyarrow.compute.binary_join_element_wise("'", texts, ""), texts)


def _as_it_is(column: pyarrow.ChunkedArray) -> Any:
    return column
