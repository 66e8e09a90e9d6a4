"""Rows of a table as a file, Parquet or CSV, written piece by piece.

Decimals are exact, times are UTC. In CSV a text that a spreadsheet would take for a formula gets an apostrophe before
it; the column's kind decides, so numbers stay numbers. A Parquet file that was not written to its end cannot be read.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from results.domain.canonical import Column
from results.stores.schema import ARROW_TYPE

PARQUET, CSV = "parquet", "csv"
FORMATS = (PARQUET, CSV)
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
KINDS = {**ARROW_TYPE, "time": pyarrow.timestamp("us", "UTC")}


class TableFile(Protocol):
    """A file under construction."""

    def write_table(self, rows: pyarrow.Table) -> None:
        """Append rows."""


class Drain(io.RawIOBase):
    """A file whose bytes are taken away while it is written."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """How many bytes were written."""
        return self._position

    def write(self, piece: Any) -> int:
        """Append bytes."""
        self._waiting.append(bytes(piece))
        self._position += len(self._waiting[-1])
        return len(self._waiting[-1])

    def taken(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._waiting)
        self._waiting.clear()
        return taken


def file_schema(columns: Sequence[Column]) -> pyarrow.Schema:
    """The columns of a file; times have their zone, UTC."""
    return pyarrow.schema([pyarrow.field(column.name, KINDS[column.kind]) for column in columns])


def arrow_rows(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> pyarrow.Table:
    """Rows of plain values as Arrow columns; uuids become texts. Raises pyarrow.ArrowException."""
    arrays = []
    for place, column in enumerate(columns):
        values = [row[place] for row in rows]
        if column.kind == "uuid":
            values = [None if value is None else str(value) for value in values]
        arrays.append(pyarrow.array(values, KINDS[column.kind]))
    return pyarrow.table(arrays, schema=file_schema(columns))


@contextlib.contextmanager
def table_file(target: Path | Drain, columns: Sequence[Column], file_format: str) -> Iterator[TableFile]:
    """A file of rows with these columns (`file_schema`), complete at the end of the block."""
    schema = file_schema(columns)
    if file_format == PARQUET:
        with pyarrow.parquet.ParquetWriter(target, schema, compression="zstd") as writer:
            yield writer
        return
    texts = {column.name for column in columns if column.kind == "time"}
    fields = [pyarrow.field(each.name, pyarrow.string() if each.name in texts else each.type) for each in schema]
    with pyarrow.csv.CSVWriter(target, pyarrow.schema(fields)) as writer:
        yield _Csv(writer, columns)


class _Csv:
    """Times as ISO-8601 with Z, and no text that a spreadsheet would calculate."""

    def __init__(self, writer: pyarrow.csv.CSVWriter, columns: Sequence[Column]) -> None:
        kinds: dict[str, Callable[[Any], Any]] = {"time": _iso, "text": _harmless, "json": _harmless}
        self._writer = writer
        self._spell = {column.name: kinds.get(column.kind, _as_it_is) for column in columns}

    def write_table(self, rows: pyarrow.Table) -> None:
        spelled = [self._spell[name](rows[name]) for name in rows.column_names]
        self._writer.write_table(pyarrow.table(dict(zip(rows.column_names, spelled, strict=True))))


def _iso(times: pyarrow.ChunkedArray) -> Any:
    return pyarrow.compute.strftime(times, format=TIME_FORMAT)


def _harmless(texts: pyarrow.ChunkedArray) -> Any:
    dangerous = pyarrow.compute.match_substring_regex(texts, FORMULA)
    return pyarrow.compute.if_else(dangerous, pyarrow.compute.binary_join_element_wise("'", texts, ""), texts)


def _as_it_is(column: pyarrow.ChunkedArray) -> Any:
    return column
