"""What a fresh clone promises: settings that exist, locks that install anywhere, a schedule whose tasks exist."""

import re
import subprocess
import sys

import pytest

from paperdesk import schedule
from paperdesk.celery import app
from paperdesk.environment import BASE_DIR, KNOWN

# What takes long to load, and only some programs need: a program that was killed is back so much sooner without it.
SLOW = {
    "paperdesk.embedded.celery_program": "numpy pyarrow duckdb clickhouse_connect prompt_toolkit trading.admin",
    "trading.management.commands.run_engine": "numpy pyarrow duckdb clickhouse_connect prompt_toolkit trading.admin",
    "paperdesk.urls": "numpy pyarrow duckdb clickhouse_connect prompt_toolkit",
}
LOADED = "import sys, django; django.setup(); __import__(sys.argv[1]); print(*sys.modules)"
LOCKS = ("requirements.lock", "requirements-dev.lock")


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (BASE_DIR / lock).read_text(), flags=re.M))


def test_the_example_file_lists_every_setting_and_sets_none() -> None:
    lines = (BASE_DIR / ".env.example").read_text().splitlines()
    assert {found[1] for line in lines if (found := re.match(r"# ([A-Z_]+)=", line))} == KNOWN
    assert all(not line or line.startswith("#") for line in lines)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pinned_package_has_hashes_and_no_index_is_named(lock: str) -> None:
    text = (BASE_DIR / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 50
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|file:|--index-url|--extra-index-url|--find-links|--trusted-host", text)


def test_the_development_lock_contains_the_runtimes_so_that_one_environment_serves_both() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_nothing_of_the_tests_is_installed_for_a_run() -> None:
    assert not {"pytest", "playwright", "hypothesis", "hftbacktest", "ruff", "mypy"} & pins("requirements.lock").keys()


def test_every_beat_entry_names_a_task_that_exists_and_has_a_queue_and_expires() -> None:
    app.loader.import_default_modules()
    for name, entry in schedule.BEAT_SCHEDULE.items():
        assert entry["task"] in app.tasks, f"{name}: no task {entry['task']}"
        assert entry["options"]["expires"] <= entry["schedule"]
        queue = app.amqp.router.route({}, entry["task"])["queue"].name
        assert queue == {"trading": "monitor", "results": "warehouse"}[entry["task"].split(".")[0]]


@pytest.mark.parametrize("program", SLOW)
def test_a_program_loads_nothing_slow_that_it_does_not_need(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, program], cwd=BASE_DIR, capture_output=True, text=True, timeout=60, check=True
    )
    assert not set(SLOW[program].split()) & set(done.stdout.split())
