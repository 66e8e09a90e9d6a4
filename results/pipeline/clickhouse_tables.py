"""The follower that keeps ClickHouse: every slice of the log is inserted, seen there, and only then marked."""

from __future__ import annotations

from collections.abc import Callable

from results.pipeline.log_slice import LogSlice
from results.stores.clickhouse import ClickHouse
from results.stores.failures import StoreError
from results.stores.marks import Mark
from results.stores.schema import TABLES


class ClickHouseTables:
    """The follower `clickhouse`. `client` gives the client, or raises ClickHouseAway."""

    name = "clickhouse"
    failures = (StoreError,)

    def __init__(self, client: Callable[[], ClickHouse]) -> None:
        self._client = client

    def marks(self) -> list[Mark]:
        """The marks that ClickHouse itself keeps. Raises ClickHouseAway, ClickHouseRefused."""
        return self._client().marks()

    def write(self, log: LogSlice, at_us: int) -> int:
        """Insert a slice and confirm it; how many rows were sent. May be repeated at will."""
        client = self._client()
        sent = sum(client.insert(TABLES[name], rows) for name, rows in log.tables.items())
        client.confirm(log.mark, at_us)
        return sent
