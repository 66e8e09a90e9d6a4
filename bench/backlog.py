"""Memory of the sync worker under a backlog: `manage.py sync_results --once` on a stream that nobody has read yet.

Each size has servers and stores of its own: a Redis with so many entries, an empty DuckDB and an empty SQLite; there is
no ClickHouse, so a follower is away too. Resident memory of the process is looked at ten times a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench import log_append
from bench.measure import Ratio, ratio_of
from paperdesk.embedded.redis_server import running_redis
from paperdesk.environment import BASE_DIR, ENV_FILE

LIMIT_MB = 500.0
MEGABYTE = 1_000_000
LOOK_SECONDS = 0.1
SMALLER = 8  # the other backlog has so many times fewer entries


def run(entries: int) -> list[Ratio]:
    """Greatest memory in MB with a backlog of so many entries, against what is promised and against a smaller one."""
    small, large = (greatest_mb(count) for count in (entries // SMALLER, entries))
    words = f"sync worker, {entries:,} entries wait"
    return [
        ratio_of("memory under a backlog", words, "what is promised", [(large, LIMIT_MB)], 1.0, unit="MB"),
        ratio_of("memory by backlog", words, f"{entries // SMALLER:,} entries", [(large, small)], 1.25, unit="MB"),
    ]


def greatest_mb(entries: int) -> float:
    """The most resident memory that the process had until it was through, or had no more time (ten minutes)."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis") as url:
        log_append.filled(url, entries).close()
        own = {"PAPERDESK_DATA": folder, "REDIS_URL": url, ENV_FILE: os.devnull, "PAPERDESK_LOG": "json"}
        environment = {**os.environ, **own, "DJANGO_SETTINGS_MODULE": "paperdesk.settings"}
        environment.pop("DUCKDB_PATH", None)
        for words in (["migrate", "--verbosity", "0"], ["warehouse", "migrate", "--json"]):
            subprocess.run([sys.executable, "manage.py", *words], cwd=BASE_DIR, env=environment, capture_output=True)
        command = [sys.executable, "manage.py", "sync_results", "--once", "--json"]
        worker = subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=subprocess.DEVNULL)
        process, most = psutil.Process(worker.pid), 0
        while worker.poll() is None:
            try:
                most = max(most, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(LOOK_SECONDS)
        worker.wait()
    return most / MEGABYTE
