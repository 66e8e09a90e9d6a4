"""A migrated DuckDB file, and a migrated database of its own in ClickHouse, for each test."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from results.stores import duck
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from tests.results.stores.made import EmbeddedProcess, drop_database


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
    return urlunsplit(urlsplit(clickhouse_url)._replace(path=f"/test_{uuid.uuid4().hex}"))


@pytest.fixture
def clickhouse(fresh_clickhouse_url: str) -> Iterator[ClickHouse]:
    """A migrated, empty database."""
    store = ClickHouse(fresh_clickhouse_url)
    store.migrate()
    yield store
    # All tests share one process: a hundred databases of twenty tables would take its memory.
    drop_database(store)
    store.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedProcess]:
    """An embedded ClickHouse of this test alone, on `tmp_path / "clickhouse"`."""
    server = EmbeddedProcess(tmp_path / "clickhouse")
    assert server.ready, server.errors
    yield server
    server.stop()
