"""Commands as a person types them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from paperdesk.environment import BASE_DIR

LAST_SECONDS_MAX = 60


def manage(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` in a process of its own; return its status, output and errors."""
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(
        command, cwd=BASE_DIR, env=dict(environment), capture_output=True, text=True, timeout=LAST_SECONDS_MAX
    )


def bare(data: Path) -> dict[str, str]:
    """Return the variables of a shell that knows no server: only a data folder, and no `.env`."""
    ours = {"REDIS_URL", "CLICKHOUSE_URL", "DATABASE_URL", "DUCKDB_PATH"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PAPERDESK_DATA": str(data)}
