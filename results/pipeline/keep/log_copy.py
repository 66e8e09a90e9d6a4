"""The durable log as Parquet files, and back: one file a table with every version, in order of `seq`.

What is at or below the watermark that is read first never changes, so the copy is of that moment although it is read
in slices, between which the sync has the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow
import pyarrow.parquet

from results.domain.errors import PaperDeskError
from results.stores import duck
from results.stores.duck_plan import OWN_TABLES
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table, arrow_schema, quoted

SEQS_PER_SLICE = 20_000  # some 50 ms of the file, 20 MB
ROWS_PER_BATCH = 10_000  # some 10 MB; of fills with much evidence several times that
BUILDING_MEMORY = "128MB"  # DuckDB would keep what it has written up to its limit; nobody reads it yet
SUFFIX = ".parquet"
READ = "read"


class LogChanged(PaperDeskError):
    """The log was rewritten while it was copied: another try is needed."""

    retryable = True


class CopiedLog(msgspec.Struct, frozen=True):
    """Where the log stood, and how many versions of each table were copied."""

    mark: duck.Watermark
    rows: dict[str, int]


def copy_log(gate: Gate, folder: Path, say: Callable[[int, int], None]) -> CopiedLog:
    """Write the log as it is now into `folder`; `say` is told the seq reached and the last one.

    Raises WarehouseMissing, WarehouseBusy, LogChanged.
    """
    folder.mkdir(parents=True)
    with gate.read() as connection:
        mark = duck.watermark(connection)
        for name in OWN_TABLES:
            pyarrow.parquet.write_table(connection.table(name).to_arrow_table(), folder / f"{name}{SUFFIX}")
    with contextlib.ExitStack() as files:
        writers = {
            name: files.enter_context(_writer(folder / f"{table.log_name}{SUFFIX}", table))
            for name, table in TABLES.items()
        }
        rows = dict.fromkeys(TABLES, 0)
        for last_seq, tables in _slices(gate, mark.seq):
            for name, arrow in tables.items():
                writers[name].write_table(arrow)
                rows[name] += arrow.num_rows
            say(last_seq, mark.seq)
    if rows != _counted(gate, mark.seq):
        raise LogChanged("the log was rewritten while it was copied; try again")
    return CopiedLog(mark, rows)


def build_log(folder: Path, gate: Gate, rows: Mapping[str, int], say: Callable[[str], None]) -> None:
    """Make the DuckDB file behind `gate`, which is not there yet, of what `copy_log` wrote.

    Raises PaperDeskError when the files have columns that this version does not know, or not the `rows` told.
    """
    with gate.write() as connection:
        connection.execute(f"SET memory_limit = '{BUILDING_MEMORY}'").fetchall()
        duck.migrate(connection)
        for name in OWN_TABLES:
            connection.execute(f"DELETE FROM {quoted(name)}").fetchall()
            _load(connection, name, folder / f"{name}{SUFFIX}")
        for name, table in TABLES.items():
            file = folder / f"{table.log_name}{SUFFIX}"
            say(table.log_name)
            loaded = _load(connection, table.log_name, file) if file.exists() else 0
            if loaded != rows.get(name, 0):
                raise LogChanged(f"{file.name} has {loaded} rows, the archive says {rows.get(name, 0)}")


def _writer(file: Path, table: Table) -> pyarrow.parquet.ParquetWriter:
    schema = pyarrow.schema([field.with_nullable(True) for field in arrow_schema(table)])
    return pyarrow.parquet.ParquetWriter(file, schema, compression="zstd")


def _slices(gate: Gate, last_seq: int) -> Iterator[tuple[int, dict[str, pyarrow.Table]]]:
    """The last seq of each slice, and its rows of those tables that have some."""
    for after_seq in range(0, last_seq, SEQS_PER_SLICE):
        until = min(after_seq + SEQS_PER_SLICE, last_seq)
        with gate.read() as connection:
            found = {name: duck.read_between(connection, table, after_seq, until) for name, table in TABLES.items()}
        yield until, {name: arrow for name, arrow in found.items() if arrow.num_rows}


def _counted(gate: Gate, last_seq: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, table in TABLES.items():
        query = f"SELECT count(*) FROM {quoted(table.log_name)} WHERE seq <= ?"
        with gate.read() as connection:
            counts[name] = int(connection.execute(query, [last_seq]).fetchall()[0][0])
    return counts


def _load(connection: duckdb.DuckDBPyConnection, name: str, file: Path) -> int:
    """Insert the rows of a file into a table; how many. Columns that the file lacks are null."""
    known = {row[0] for row in connection.execute(f"DESCRIBE {quoted(name)}").fetchall()}
    source: Any = pyarrow.parquet.ParquetFile(file)
    columns = source.schema_arrow.names
    unknown = sorted(set(columns) - known)
    if unknown:
        raise LogChanged(f"{file.name} has the columns {', '.join(unknown)}, which this version does not know")
    names = ", ".join(map(quoted, columns))
    loaded = 0
    for batch in source.iter_batches(ROWS_PER_BATCH):  # each a transaction: nobody else sees this file yet
        connection.register(READ, pyarrow.Table.from_batches([batch]))
        connection.execute(f"INSERT INTO {quoted(name)} ({names}) SELECT {names} FROM {READ}").fetchall()
        connection.unregister(READ)
        loaded += batch.num_rows
    return loaded
