"""The servers of a replay: a Redis and a ClickHouse of its own, on a data folder that every replay makes anew.

The folder bears a marker file. Only a folder with it, or an empty one, is ever emptied: what is in any other stays,
and the replay is refused.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paperdesk.embedded import roster
from paperdesk.embedded.desk_file import desk_lock
from paperdesk.embedded.ports import free_port
from paperdesk.embedded.redis_server import redis_url
from paperdesk.embedded.supervisor import Supervisor
from paperdesk.embedded.tied import tied
from paperdesk.errors import ConfigurationError

MARKER = "replay.json"
MADE_BY_SETTINGS = frozenset({"secret_key"})  # every command that is given a data folder makes it
INTERRUPTED = 130
STOP_SECONDS_MAX = 15.0


def prepare_folder(folder: Path, files: Sequence[str]) -> None:
    """Makes `folder` an empty one of a replay of `files`. Raises ConfigurationError if it holds something else."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"--data {folder} is not a folder")
    if folder.exists():
        found = {entry.name for entry in folder.iterdir()}
        if found - MADE_BY_SETTINGS and MARKER not in found:
            raise ConfigurationError(
                f"--data {folder} holds something that no replay made; name an empty or a new folder"
            )
        with desk_lock(folder):
            shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text(json.dumps({"files": list(files)}) + "\n")


@contextlib.contextmanager
def replay_servers(folder: Path, said: io.StringIO) -> Iterator[Mapping[str, str]]:
    """Serves `folder` for the length of a `with` block and gives the variables for a process that uses it.

    What the servers say goes to `said`. Raises ProgramFailed when one does not start, Stopped on Ctrl-C.
    """
    supervisor = Supervisor(said)
    supervisor.stop_on_signals()
    ports = {"redis": free_port(), "clickhouse": free_port()}
    addresses = {
        "PAPERDESK_DATA": str(folder),
        "REDIS_URL": redis_url(ports["redis"]),
        "CLICKHOUSE_URL": roster.clickhouse_url(ports["clickhouse"]),
        "DATABASE_URL": f"sqlite:///{folder}/paperdesk.sqlite3",
        "DUCKDB_PATH": str(folder / "paperdesk.duckdb"),
    }
    environment = roster.child_environment(addresses)
    try:
        with desk_lock(folder):
            supervisor.launch(roster.redis_program(folder / "redis", ports["redis"]))
            supervisor.launch(roster.clickhouse_program(folder / "clickhouse", ports["clickhouse"], environment))
            supervisor.wait_until_ready()
            yield environment
    finally:
        supervisor.stop()


def run_there(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs `manage.py ARGUMENTS` with these variables, on our own terminal; its exit status."""
    child = subprocess.Popen(tied([sys.executable, roster.MANAGE, *arguments]), env=dict(environment))
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(STOP_SECONDS_MAX)
