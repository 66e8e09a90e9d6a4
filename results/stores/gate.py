"""The gate before the DuckDB file: the only module that opens it.

DuckDB lets one process write or many read, never both. Whoever wants in takes a place at the turnstile, then the room:

    FILE.gate   turnstile, flock, held while one waits for the room: a waiting writer stops new readers
    FILE.room   flock, shared by readers, exclusive for the writer, held while the file is open

Each thread keeps an empty DuckDB in memory, to which the file is attached as long as it is open: to make a DuckDB takes
12 ms, to attach a file 1 ms. It is forgotten when anything goes wrong with it, and in the child of a fork.

Invariants: the file is open only inside `with`, and only in the process and thread that entered (a connection that
crosses a fork loses acknowledged rows). Nobody opens FILE itself in any other way: closing such a handle would drop
DuckDB's own lock, and a second writer would then destroy data in silence.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import duckdb

from results.stores.failures import WarehouseBusy, WarehouseMissing, WarehouseUnusable

# The longest slice that anybody may hold the file is some 100 ms, so 10 s are many turns; a page never waits here.
WAIT_SECONDS_MAX = 10.0
PAUSE_SECONDS = 0.002
CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "256MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
# At its end DuckDB merges what was appended into whole row groups, for which it takes all the memory that it may have,
# some 300 MB; with less it is as fast.
MEMORY_AT_CLOSE = "128MB"
LOCK_CONFLICT = "Could not set lock on file"
ALIAS, HOME = "warehouse", "memory"  # the file, and the empty DuckDB


class Gate:
    """The way to one DuckDB file. Cheap to make; nothing is opened before `write` or `read`."""

    def __init__(self, path: Path, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self.path = Path(path)
        self._wait_seconds_max = wait_seconds_max

    @contextlib.contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The only open connection to the file, which is made if it is not there. Closed, and so checkpointed, at exit.

        Raises WarehouseBusy when it is not free within the timeout, WarehouseUnusable when it is no DuckDB file.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = self._deadline()
        with self._lock_file("gate") as turnstile, self._lock_file("room") as room:
            self._take(turnstile, fcntl.LOCK_EX, deadline)
            self._take(room, fcntl.LOCK_EX, deadline)
            with self._attached(False, deadline) as connection:
                yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection, beside other readers. For one short query: it holds up the writer.

        Raises WarehouseMissing when there is no file yet, WarehouseBusy when it is not free within the timeout.
        """
        if not self.path.exists():
            raise WarehouseMissing(f"{self.path} is not there yet; `manage.py warehouse migrate` makes it")
        deadline = self._deadline()
        with self._lock_file("room") as room:
            with self._lock_file("gate") as turnstile:
                self._take(turnstile, fcntl.LOCK_EX, deadline)
                self._take(room, fcntl.LOCK_SH, deadline)
            with self._attached(True, deadline) as connection:
                yield connection

    def _deadline(self) -> float:
        return time.monotonic() + self._wait_seconds_max

    def _lock_file(self, suffix: str) -> IO[bytes]:
        if self.path.is_dir():
            raise WarehouseUnusable(f"{self.path} is a folder; the DuckDB file must be a file")
        return open(self.path.with_name(f"{self.path.name}.{suffix}"), "ab")

    def _take(self, lock: IO[bytes], mode: int, deadline: float) -> None:
        """Lock, or raise WarehouseBusy. The pause is uneven, so that two who wait do not keep step."""
        while True:
            try:
                fcntl.flock(lock, mode | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self._pause(deadline, "others are reading or writing it")

    @contextlib.contextmanager
    def _attached(self, read_only: bool, deadline: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of this thread's DuckDB, to which the file is attached, and by default meant."""
        instance = _taken()
        connection = instance.cursor()
        try:
            self._attach(connection, read_only, deadline)
            yield connection
            _detach(connection)
        except BaseException:  # whatever it was: the file is closed with the DuckDB that it happened to
            connection.close()
            instance.close()
            raise
        connection.close()
        _kept.instance, _kept.pid = instance, os.getpid()

    def _attach(self, connection: duckdb.DuckDBPyConnection, read_only: bool, deadline: float) -> None:
        path = str(self.path).replace("'", "''")
        while True:
            try:
                connection.execute(f"ATTACH '{path}' AS {ALIAS} ({'READ_ONLY' if read_only else 'READ_WRITE'})")
                connection.execute(f"USE {ALIAS}")
                return
            except duckdb.IOException as error:
                if LOCK_CONFLICT not in str(error):
                    reason = str(error).splitlines()[0]
                    raise WarehouseUnusable(f"{self.path} cannot be opened: {reason}") from error
                self._pause(deadline, str(error).splitlines()[0])

    def _pause(self, deadline: float, reason: str) -> None:
        if time.monotonic() >= deadline:
            raise WarehouseBusy(f"{self.path} was not free within {self._wait_seconds_max:g} s: {reason}")
        time.sleep(PAUSE_SECONDS * (0.5 + random.random()))


class _Kept(threading.local):
    """This thread's DuckDB, and the process that made it."""

    instance: duckdb.DuckDBPyConnection | None = None
    pid = 0


_kept = _Kept()


# Of a parent process: never used, and never ended, because its threads are not here.
_inherited: list[duckdb.DuckDBPyConnection] = []


def _taken() -> duckdb.DuckDBPyConnection:
    """A DuckDB that nobody else uses: the kept one, which is not kept any more, or a new one."""
    instance, _kept.instance = _kept.instance, None
    if instance is not None and _kept.pid != os.getpid():
        _inherited.append(instance)
        instance = None
    return instance or duckdb.connect(config=CONFIGURATION)


def _detach(connection: duckdb.DuckDBPyConnection) -> None:
    """Close the file, which checkpoints it. What was not committed is gone, as with any connection that is closed."""
    with contextlib.suppress(duckdb.TransactionException):
        connection.rollback()
    connection.execute(f"SET memory_limit = '{MEMORY_AT_CLOSE}'")
    connection.execute(f"USE {HOME}")
    connection.execute(f"DETACH {ALIAS}")
    connection.execute(f"SET memory_limit = '{CONFIGURATION['memory_limit']}'")
