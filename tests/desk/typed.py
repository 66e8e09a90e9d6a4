"""Commands as a person types them."""

import json
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


# Commands one after the other: imports are most of what a command takes.
SEVERAL = """
import contextlib, io, json, sys
import manage
for line in sys.argv[1:]:
    output, errors = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            manage.main(["manage.py", *line.split()])
        except SystemExit as ended:
            status = ended.code
    if isinstance(status, str):
        errors.write(status + "\\n")
        status = 1
    print(json.dumps([status or 0, output.getvalue(), errors.getvalue()]))
"""


def manage_each(environment: Mapping[str, str], *lines: str) -> list[tuple[int, str, str]]:
    """Run several command lines of `manage.py` in one process; the status, output and errors of each."""
    command = [sys.executable, "-c", SEVERAL, *lines]
    done = subprocess.run(
        command, cwd=BASE_DIR, env=dict(environment), capture_output=True, text=True, timeout=2 * LAST_SECONDS_MAX
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]
