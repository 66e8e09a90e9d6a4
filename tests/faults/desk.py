"""A whole desk of real processes in a folder of its own, whose stores are reached through proxies that break.

    servers     Redis, ClickHouse, perhaps PostgreSQL, under a supervisor (`tests.faults.servers`)
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
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from redis import Redis

from paperdesk.embedded.desk_file import running_desk
from paperdesk.embedded.ports import free_port
from paperdesk.embedded.redis_server import redis_url
from paperdesk.embedded.roster import clickhouse_url
from paperdesk.embedded.supervisor import STEADY_SECONDS
from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR, ENV_FILE, KNOWN
from tests.faults.disk import full, no_longer_files
from tests.faults.postgres import postgres_url
from tests.faults.proxy import Proxy
from tests.faults.servers import PIDS

START_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 40.0
POLL_SECONDS = 0.05
SERVERS = ("redis", "clickhouse")  # of every desk
SQLITE, POSTGRES = "sqlite", "postgres"
ANSWER_SECONDS_MAX = 2.0  # of a server that is asked directly


class DeskFailed(Exception):
    """The desk or its servers did not start, or ended by themselves; the last lines are in the sentence."""


class DeskEnded(DeskFailed):
    """The desk or its servers ended by themselves."""


class Desk:
    """The processes of one desk under test, between `__enter__` and `__exit__`."""

    def __init__(self, folder: Path, has_disk: bool = False, database: str = SQLITE) -> None:
        """`has_disk`: the data folder is a disk of its own. `database`: "sqlite", or "postgres" for a server."""
        self.folder = folder
        self.has_disk = has_disk
        self.data = folder / "data"
        self.servers = SERVERS if database == SQLITE else (*SERVERS, POSTGRES)
        self.ports = {name: free_port() for name in (*self.servers, "web")}
        self.proxies = {name: Proxy(self.ports[name]) for name in self.servers}
        self.sound = self._environment(self.ports)
        self.environment = self._environment({name: proxy.port for name, proxy in self.proxies.items()})
        self.redis = Redis(port=self.ports["redis"], socket_timeout=ANSWER_SECONDS_MAX)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ending = contextlib.ExitStack()
        self._is_ending = threading.Event()

    def __enter__(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True)
        try:
            for proxy in self.proxies.values():
                self._ending.enter_context(proxy)
            ports = [f"{name}={self.ports[name]}" for name in self.servers]
            self._start("servers", [sys.executable, "-m", "tests.faults.servers", str(self.data), *ports])
            self._await("servers", "ready\n")
            self._start("desk", [sys.executable, "manage.py", "desk", "--json", "--port", str(self.ports["web"])])
            self._await("desk", '"addresses"')
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end_rests()
        for process in reversed(self._processes.values()):
            self._end(process)
        self._processes.clear()
        self._ending.close()

    @property
    def address(self) -> str:
        """Where the web is."""
        return f"http://127.0.0.1:{self.ports['web']}"

    def rest(self, seconds: float) -> None:
        """Wait. Raises DeskFailed when the desk is being stopped."""
        if self._is_ending.wait(seconds):
            raise DeskFailed("the desk is being stopped")

    def end_rests(self) -> None:
        """Whoever rests is woken: nothing more is to be done to this desk."""
        self._is_ending.set()

    def living(self, name: str) -> psutil.Process:
        """The process of a program that lives; one that was killed starts again first. Raises DeskFailed."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.Error, KeyError):
                process = psutil.Process(self.pids()[name])
                if process.ppid() in self._supervisors() and process.status() != psutil.STATUS_ZOMBIE:
                    return process
            self.rest(POLL_SECONDS)
        raise DeskFailed(f"{name} does not start again: {self.last_lines('desk')}")

    def wait_until_steady(self, name: str) -> None:
        """Wait until a program has lived long enough for its supervisor to restart it at once. Raises DeskFailed."""
        born = self.living(name).create_time()
        self.rest(max(0.0, born + STEADY_SECONDS + 1.0 - time.time()))

    def _supervisors(self) -> list[int]:
        return [process.pid for process in self._processes.values()]

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

    def beside(
        self, command: list[str], log: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start another program of the desk's kind beside it, on its addresses, with some more variables."""
        given = {**self.environment, **(environment or {})}
        with open(self.log(log), "ab") as output:
            return subprocess.Popen(tied(command), cwd=BASE_DIR, env=given, stdout=output, stderr=subprocess.STDOUT)

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

    def _environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        sqlite = f"sqlite:///{self.data / 'db.sqlite3'}"
        kept = {name: value for name, value in os.environ.items() if name not in KNOWN and name != ENV_FILE}
        return {
            **kept,
            ENV_FILE: os.devnull,
            "DJANGO_SETTINGS_MODULE": "paperdesk.settings",
            "PAPERDESK_DATA": str(self.data),
            "PAPERDESK_FEED": "synthetic",
            "REDIS_URL": redis_url(ports["redis"]),
            "CLICKHOUSE_URL": clickhouse_url(ports["clickhouse"]),
            "DATABASE_URL": postgres_url(ports[POSTGRES]) if POSTGRES in ports else sqlite,
            "DUCKDB_PATH": str(self.data / "paperdesk.duckdb"),
        }
