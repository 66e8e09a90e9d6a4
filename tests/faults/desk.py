"""A whole desk of real processes in a folder of its own, whose stores are reached through proxies that break.

    servers     Redis and ClickHouse under a supervisor (`tests.faults.servers`)
    proxies     one before each, which only the desk and its clients use
    desk        `manage.py desk` with the synthetic feed, told the proxies' addresses

Whoever watches asks the servers themselves, on `sound` addresses. Nothing outlives the process that made this.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis

from paperdesk.embedded.desk_file import running_desk
from paperdesk.embedded.ports import free_port
from paperdesk.embedded.redis_server import redis_url
from paperdesk.embedded.roster import clickhouse_url
from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR, ENV_FILE, KNOWN
from tests.faults.disk import full, no_longer_files
from tests.faults.proxy import Proxy
from tests.faults.servers import PIDS

START_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 40.0
POLL_SECONDS = 0.05
SERVERS = ("redis", "clickhouse")
ANSWER_SECONDS_MAX = 2.0  # of a server that is asked directly


class DeskFailed(Exception):
    """The desk or its servers did not start, or ended by themselves; the last lines are in the sentence."""


class DeskEnded(DeskFailed):
    """The desk or its servers ended by themselves."""


class Desk:
    """The processes of one desk under test, between `__enter__` and `__exit__`."""

    def __init__(self, folder: Path, has_disk: bool = False) -> None:
        """`has_disk`: the data folder is a disk of its own."""
        self.folder = folder
        self.has_disk = has_disk
        self.data = folder / "data"
        self.ports = {"redis": free_port(), "clickhouse": free_port(), "web": free_port()}
        self.proxies = {name: Proxy(self.ports[name]) for name in SERVERS}
        self.sound = self._environment(self.ports["redis"], self.ports["clickhouse"])
        self.environment = self._environment(self.proxies["redis"].port, self.proxies["clickhouse"].port)
        self.redis = Redis(port=self.ports["redis"], socket_timeout=ANSWER_SECONDS_MAX)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True)
        try:
            for proxy in self.proxies.values():
                self._ending.enter_context(proxy)
            ports = [str(self.ports[name]) for name in SERVERS]
            self._start("servers", [sys.executable, "-m", "tests.faults.servers", str(self.data), *ports])
            self._await("servers", "ready\n")
            self._start("desk", [sys.executable, "manage.py", "desk", "--json", "--port", str(self.ports["web"])])
            self._await("desk", '"addresses"')
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in reversed(self._processes.values()):
            self._end(process)
        self._processes.clear()
        self._ending.close()

    @property
    def address(self) -> str:
        """Where the web is."""
        return f"http://127.0.0.1:{self.ports['web']}"

    def pids(self) -> Mapping[str, int]:
        """The process ids of all programs by name, as their supervisors told last. Raises DeskFailed."""
        self.require_running()
        desk = running_desk(self.data)
        if desk is None:
            raise DeskFailed(f"the desk has no file: {self.last_lines('desk')}")
        servers: dict[str, int] = json.loads((self.data / PIDS).read_text())
        return {**desk.pids, **servers}

    def require_running(self) -> None:
        """Raises DeskEnded when the desk or its servers have ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise DeskEnded(f"{name} ended with status {process.returncode}: {self.last_lines(name)}")

    def log(self, name: str) -> Path:
        """The file with the lines of `servers` or `desk`."""
        return self.folder / f"{name}.log"

    def last_lines(self, name: str) -> str:
        """Its last lines."""
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-8:])

    @contextlib.contextmanager
    def without_supervisor(self) -> Iterator[None]:
        """The servers' supervisor restarts nothing meanwhile."""
        process = self._processes["servers"]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def full_disk(self) -> contextlib.AbstractContextManager[None]:
        """The disk is full meanwhile, for all processes or for the one that writes most (`tests.faults.disk`)."""
        return full(self.data) if self.has_disk else no_longer_files(self.pids()["warehouse"])

    def stop(self) -> None:
        """Stop the desk as Ctrl-C does; the servers stay."""
        self._end(self._processes.pop("desk"))

    def manage(self, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` beside the desk, on the sound addresses."""
        return self.python("manage.py", *words, timeout=timeout)

    def python(self, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run Python beside the desk, on the sound addresses."""
        command = tied([sys.executable, *words])
        return subprocess.run(command, cwd=BASE_DIR, env=self.sound, capture_output=True, text=True, timeout=timeout)

    def beside(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        """Start another program of the desk's kind beside it, on its addresses."""
        with open(self.log(log), "ab") as output:
            return subprocess.Popen(
                tied(command), cwd=BASE_DIR, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self, name: str, command: list[str]) -> None:
        with open(self.log(name), "wb") as log:
            self._processes[name] = subprocess.Popen(
                tied(command),
                cwd=BASE_DIR,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C reaches the harness alone, which then stops them in order
            )

    def _await(self, name: str, words: str) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while words not in self.log(name).read_text(errors="replace"):
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise DeskFailed(f"{name} did not start: {self.last_lines(name)}")
            time.sleep(POLL_SECONDS)

    def _environment(self, redis_port: int, clickhouse_port: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in KNOWN and name != ENV_FILE}
        return {
            **kept,
            ENV_FILE: os.devnull,
            "DJANGO_SETTINGS_MODULE": "paperdesk.settings",
            "PAPERDESK_DATA": str(self.data),
            "PAPERDESK_FEED": "synthetic",
            "REDIS_URL": redis_url(redis_port),
            "CLICKHOUSE_URL": clickhouse_url(clickhouse_port),
            "DATABASE_URL": f"sqlite:///{self.data / 'db.sqlite3'}",
            "DUCKDB_PATH": str(self.data / "paperdesk.duckdb"),
        }
