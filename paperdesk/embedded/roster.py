"""The programs of a desk: their commands and the variables that they all get."""

import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from paperdesk.embedded.append_only import mend, renewer
from paperdesk.embedded.ports import LOCAL, accepts
from paperdesk.embedded.programs import Program
from paperdesk.embedded.redis_server import answers, redis_command, redis_url
from paperdesk.environment import BASE_DIR

PYTHON = sys.executable
MANAGE = str(BASE_DIR / "manage.py")
PING_SECONDS_MAX = 1.0

# Advice for large servers that snapshot by forking, and a farewell at each stop.
REDIS_QUIET = (
    "Memory overcommit must be enabled",
    "The TCP backlog setting",
    "Transparent Huge Pages",
    "Received SIGTERM scheduling shutdown",
    "is now ready to exit",
)
WORKER_QUIET = ("worker: Warm shutdown",)

# A desk has eight processes on a small machine: few allocator arenas and one thread per numeric library keep them lean.
LEAN = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
    # Celery would import every page and view to check them; `manage.py` checks them when the desk starts.
    "CELERY_SKIP_CHECKS": "1",
}


def child_environment(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of every child: ours, the addresses, and the lean ones where nothing else is set."""
    return {**LEAN, **os.environ, **addresses, "PYTHONPATH": str(BASE_DIR), "PYTHONUNBUFFERED": "1"}


def redis_program(folder: Path, port: int) -> Program:
    """The embedded Redis; ready when its data is loaded. What a full disk does to its file is mended."""
    folder.mkdir(parents=True, exist_ok=True)
    command = redis_command(folder, port)
    return Program(
        "redis",
        command,
        ready=lambda: answers(redis_url(port)),
        serves=True,
        quiet=REDIS_QUIET,
        before=lambda: mend(folder),
        tend=renewer(folder, redis_url(port)),
    )


def clickhouse_url(port: int) -> str:
    """Return the address of the embedded ClickHouse."""
    return f"http://default@{LOCAL}:{port}/paperdesk"


def clickhouse_program(folder: Path, port: int, environment: Mapping[str, str]) -> Program:
    """The embedded ClickHouse; ready when it answers a ping."""
    command = [PYTHON, "-m", "results.stores.embedded", "--data", str(folder), "--port", str(port)]
    return Program("clickhouse", command, environment, ready=lambda: _pings(port), serves=True)


def warehouse_step(environment: Mapping[str, str]) -> Program:
    """The step that brings DuckDB and ClickHouse to the schema of the models."""
    return Program("schema", [PYTHON, MANAGE, "warehouse", "migrate", "--brief"], environment)


def desk_programs(port: int, environment: Mapping[str, str]) -> list[Program]:
    """The web, the engine, the monitor and beat, in the order in which they start.

    They need Redis and the migrated database, and neither DuckDB nor ClickHouse.
    """
    return [
        Program("web", _web(port), environment, ready=lambda: accepts(port)),
        Program("engine", [PYTHON, MANAGE, "run_engine"], environment, may_end=True),
        _worker("monitor", environment),
        Program("beat", _celery("beat"), environment),
    ]


def warehouse_program(environment: Mapping[str, str]) -> Program:
    """The worker that carries results into the durable stores; it starts when their tables are there."""
    return _worker("warehouse", environment)


def _celery(name: str) -> list[str]:
    return [PYTHON, "-m", "paperdesk.embedded.celery_program", name]


def _worker(queue: str, environment: Mapping[str, str]) -> Program:
    return Program(queue, _celery(queue), environment, quiet=WORKER_QUIET)


def _web(port: int) -> list[str]:
    """The web; a browser that is gone is noticed within 40 s, and open pages hold up a stop for at most 2 s."""
    options = {
        "--host": LOCAL,
        "--port": str(port),
        "--lifespan": "off",
        "--log-level": "warning",
        "--ws-ping-interval": "20",
        "--ws-ping-timeout": "20",
        "--timeout-graceful-shutdown": "2",
    }
    words = [word for pair in options.items() for word in pair]
    return [PYTHON, "-m", "uvicorn", *words, "--no-access-log", "--no-server-header", "paperdesk.asgi:application"]


def _pings(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOCAL}:{port}/ping", timeout=PING_SECONDS_MAX) as answer:
            return bool(answer.read() == b"Ok.\n")
    except OSError:
        return False
