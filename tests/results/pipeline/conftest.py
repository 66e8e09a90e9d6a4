"""A whole durable side for each test: an empty Redis, migrated DuckDB and ClickHouse, Django's tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from tests.results.pipeline.made import Side
from tests.results.stores.conftest import clickhouse, embedded, fresh_clickhouse_url, gate

__all__ = ["clickhouse", "embedded", "fresh_clickhouse_url", "gate"]


@pytest.fixture
def side(redis_client: redis.Redis, gate: Gate, clickhouse: ClickHouse, db: None) -> Iterator[Side]:
    """The durable side, with a sync over it."""
    yield Side(redis_client, gate, clickhouse)
