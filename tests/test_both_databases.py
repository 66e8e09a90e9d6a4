"""What is marked `both_databases` runs on SQLite with all other tests, and here once more on a real PostgreSQL."""

import os
import re
import subprocess
import sys

import pytest

from paperdesk.environment import BASE_DIR


@pytest.mark.postgres
def test_what_is_marked_for_both_databases_passes_on_postgresql_too() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "both_databases", "-p", "no:cacheprovider"]
    environment = {**os.environ, "TEST_DATABASE": "postgres"}
    ended = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    passed = re.search(r"(\d+) passed", ended.stdout)
    assert passed and int(passed[1]) > 0
