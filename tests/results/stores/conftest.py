"""A migrated DuckDB file, and a migrated database of its own in the embedded ClickHouse, for each test."""

import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from results.stores import duck
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from tests.results.stores.made import EmbeddedProcess


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """The gate of a migrated, empty DuckDB file."""
    made = Gate(tmp_path / "log.duckdb")
    with made.write() as connection:
        duck.migrate(connection)
    return made


@pytest.fixture
def fresh_clickhouse_url(clickhouse_url: str) -> str:
    """The address of a database that is not there yet."""
    return clickhouse_url.replace("/paperdesk", f"/test_{uuid.uuid4().hex}")


@pytest.fixture
def clickhouse(fresh_clickhouse_url: str) -> Iterator[ClickHouse]:
    """A migrated, empty database."""
    store = ClickHouse(fresh_clickhouse_url)
    store.migrate()
    yield store
    store.close()
    # All tests share one process: a hundred databases of twenty tables would take its memory.
    address, _, name = fresh_clickhouse_url.replace("default@", "").rpartition("/")
    urllib.request.urlopen(address, f"DROP DATABASE {name} SYNC".encode(), timeout=30).close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedProcess]:
    """An embedded ClickHouse of this test alone, on `tmp_path / "clickhouse"`."""
    server = EmbeddedProcess(tmp_path / "clickhouse")
    assert server.ready, server.errors
    yield server
    server.stop()
