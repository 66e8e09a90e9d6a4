"""The engine: chdb on one directory, a connection of its own for each request.

    DIR/lock         flock of the process that has it      DIR/engine.xml   the engine's configuration, written at start
    DIR/store/       ClickHouse's files                    DIR/incoming/    request bodies past the bound in memory

chdb is small because it is told to be: caches of a few MiB, background pools of one or two threads, no system logs.
Settings and the current database live in a request's connection (it costs 0.3 ms) and end with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import chdb
import msgspec

from results.stores.embedded.failures import UNKNOWN_SETTING, from_engine, refused
from results.stores.embedded.statements import InsertHead, answer_format

CONFIGURATION = """<clickhouse>
  <mark_cache_size>16777216</mark_cache_size>
  <primary_index_cache_size>8388608</primary_index_cache_size>
  <index_mark_cache_size>4194304</index_mark_cache_size>
  <query_condition_cache_size>4194304</query_condition_cache_size>
  <compiled_expression_cache_size>8388608</compiled_expression_cache_size>
  <max_server_memory_usage>805306368</max_server_memory_usage>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
  </merge_tree>
</clickhouse>
"""
# Bounds of one request that says nothing else: two cores, half of the memory, and a query ends within a minute.
SETTINGS = {
    "max_threads": "2",
    "max_insert_threads": "1",
    "max_memory_usage": "402653184",
    "max_execution_time": "60",
    "log_queries": "0",
}
TAG = "log_comment"  # a setting without effect that system.processes shows
# Of these formats the pieces, one behind the other, are what the whole is; others have a beginning and an end.
STREAMED = frozenset({"Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow"})
SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PIECE_BYTES = 1 << 20
NOT_IN_A_PATH = frozenset("?&#%")  # the path is part of a connection string


class FolderUnusable(Exception):
    """Another process has this directory open, or the engine cannot start on it; the sentence says which."""


class Request(msgspec.Struct):
    """One statement. `insert` and `body` come together: the head of an INSERT, and its bytes from where it ends.

    `tag` names it, so that it can be killed.
    """

    statement: str
    parameters: dict[str, str] = {}
    settings: dict[str, str] = {}
    database: str = ""
    default_format: str = "TabSeparated"
    insert: InsertHead | None = None
    body: IO[bytes] | None = None
    tag: str = ""

    @property
    def answer_format(self) -> str | None:
        """The format of its rows, or None when it returns none."""
        return None if self.insert else answer_format(self.statement, self.default_format)


class Answer(msgspec.Struct):
    """The bytes in `format` (None: the statement returns no rows) and ClickHouse's summary, numbers as text."""

    body: bytes
    format: str | None
    summary: dict[str, str]


class Engine:
    """The engine on one directory. `execute` may be called from several threads at once."""

    def __init__(self, folder: Path) -> None:
        self.incoming = folder / "incoming"
        self._folder = folder
        self._lock: IO[str] | None = None
        self._keeper: Any = None

    def open(self) -> None:
        """Take the directory and start the engine on it. Raises FolderUnusable, OSError."""
        if NOT_IN_A_PATH & set(str(self._folder)):
            raise FolderUnusable(f"{self._folder}: chdb takes no path with any of {''.join(sorted(NOT_IN_A_PATH))}")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._folder / "lock")
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir()
        (self._folder / "engine.xml").write_text(CONFIGURATION)
        try:
            self._keeper = self._connect()
        except (chdb.ChdbError, RuntimeError) as error:
            raise FolderUnusable(f"{self._folder}: the engine does not start: {error}") from error

    def close(self) -> None:
        """Stop the engine and give the directory back."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def execute(self, request: Request) -> Answer:
        """Run one statement to its end. Raises StatementFailed with ClickHouse's code."""
        started_ns = time.monotonic_ns()
        with self._connected(request) as connection:
            return _run(connection, request, started_ns)

    def stream(self, request: Request) -> Generator[Answer, None, None]:
        """The rows of a statement that returns some, in a format of STREAMED, as they come. Raises StatementFailed, at
        the first piece or at a later one. Closing the iterator ends the statement."""
        started_ns, form = time.monotonic_ns(), request.answer_format
        with self._connected(request) as connection:
            rows = connection.send_query(request.statement, form, params=request.parameters)
            try:
                for piece in rows:
                    yield Answer(bytes(piece.bytes()), form, _summary(started_ns, read_rows=piece.rows_read()))
            finally:
                rows.close()

    def kill(self, tag: str) -> None:
        """End the statement of this tag, if it runs."""
        with contextlib.closing(self._connect()) as connection:
            connection.query(f"KILL QUERY WHERE Settings['{TAG}'] = {_quoted(tag)}")

    @contextlib.contextmanager
    def _connected(self, request: Request) -> Iterator[Any]:
        """A connection with the request's settings and database; the engine's errors become StatementFailed."""
        try:
            with contextlib.closing(self._connect()) as connection:
                connection.query(_set_statement({**SETTINGS, **request.settings, TAG: request.tag}))
                if request.database:
                    connection.query(f"USE {_quoted(request.database, '`')}")
                yield connection
        except (chdb.ChdbError, RuntimeError) as error:
            raise from_engine(error) from error

    def _connect(self) -> Any:
        return chdb.connect(f"{self._folder / 'store'}?config-file={self._folder / 'engine.xml'}")


def _run(connection: Any, request: Request, started_ns: int) -> Answer:
    if request.insert is not None and request.body is not None:
        written = _insert(connection, request.insert, request.body)
        return Answer(b"", None, _summary(started_ns, written_rows=written.rows_written))
    form = request.answer_format
    result = connection.query(request.statement, form or request.default_format, params=request.parameters)
    body = bytes(result.bytes())
    summary = _summary(started_ns, read_rows=result.rows_read(), written_rows=result.rows_written())
    return Answer(body, form, summary)


def _insert(connection: Any, head: InsertHead, body: IO[bytes]) -> Any:
    """Hand the bytes to the engine piece by piece; without `finish` nothing is written."""
    with connection.send_insert(head.statement, head.format) as inserter:
        while piece := body.read(PIECE_BYTES):
            inserter.append(piece)
        return inserter.finish()


def _summary(started_ns: int, *, read_rows: int = 0, written_rows: int = 0) -> dict[str, str]:
    return {
        "read_rows": str(read_rows),
        "written_rows": str(written_rows),
        "result_rows": str(read_rows or written_rows),
        "elapsed_ns": str(time.monotonic_ns() - started_ns),
    }


def _set_statement(settings: Mapping[str, str]) -> str:
    for name in settings:
        if SETTING_NAME.fullmatch(name) is None:
            raise refused(UNKNOWN_SETTING, f"Unknown setting {name!r}", "UNKNOWN_SETTING")
    return "SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items())


def _quoted(text: str, mark: str = "'") -> str:
    escaped = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
    return f"{mark}{escaped}{mark}"


def _locked(path: Path) -> IO[str]:
    """The lock file, open and locked until it is closed or the process ends."""
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise FolderUnusable(f"{path.parent} is in use by another embedded ClickHouse (process {owner})") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
