"""`<data>/desk.json`: where the desk of a data folder is while it runs, so that other commands find its servers.

It looks like {"pid": 17, "started": 1731000000.25, "address": "http://127.0.0.1:8000",
"addresses": {"REDIS_URL": ..., "CLICKHOUSE_URL": ..., "DATABASE_URL": ..., "DUCKDB_PATH": ...}, "pids": {"redis": 18}}.
It is replaced whole, readable by its owner only (the addresses hold passwords), and removed at exit. A reader believes
it only while the process of that pid and start time lives. `<data>/desk.lock` is locked for as long as the desk lives.
"""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from paperdesk.drafts import replacing
from paperdesk.errors import ConfigurationError

FILE_NAME = "desk.json"
LOCK_NAME = "desk.lock"


class DeskRunning(ConfigurationError):
    """Another desk already runs on this data folder."""


@dataclass(frozen=True)
class Desk:
    """A running desk: its own pid and start (Unix seconds), web address, server addresses, pids by process name."""

    pid: int
    started: float
    address: str
    addresses: dict[str, str] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)


def write_desk(data: Path, desk: Desk) -> None:
    """Replace the desk file of `data` in one step. Raises OSError, when the disk is full: it is as it was then."""
    with replacing(data / FILE_NAME) as draft:
        draft.write_text(json.dumps(asdict(desk), indent=1))


def remove_desk(data: Path) -> None:
    """Remove the desk file of `data`, if there is one."""
    (data / FILE_NAME).unlink(missing_ok=True)


def running_desk(data: Path) -> Desk | None:
    """Return the desk that runs on `data`, or None when there is none or its file is a dead desk's."""
    try:
        desk = Desk(**json.loads((data / FILE_NAME).read_text()))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, TypeError):
        return None
    return desk if _is_alive(desk.pid, desk.started) else None


def _is_alive(pid: int, started: float) -> bool:
    """A pid is used again after a while; with its start time it names one process."""
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1.0
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def desk_lock(data: Path) -> Iterator[None]:
    """Hold the one desk place of `data`. Raises DeskRunning; the kernel frees the lock whatever ends the process."""
    data.mkdir(parents=True, exist_ok=True)
    with open(data / LOCK_NAME, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = running_desk(data)
            where = f" (pid {other.pid}, {other.address})" if other else ""
            raise DeskRunning(f"a desk already runs on {data}{where}; stop it, or give another --data") from error
        yield
