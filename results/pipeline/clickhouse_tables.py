"""The follower that keeps ClickHouse: every slice of the log is inserted, seen there, and only then marked.

A ClickHouse without our tables, away when the desk started or come back empty, gets them at its first sync, and the
log from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable

from results.pipeline.log_slice import LogSlice
from results.stores.clickhouse import TABLES_MISSING, ClickHouse
from results.stores.failures import ClickHouseRefused, StoreError
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

    def mend(self, error: Exception) -> bool:
        """Make the tables when the error says that there are none. Raises like `marks`, and DestructiveChange."""
        if not isinstance(error, ClickHouseRefused) or error.code not in TABLES_MISSING:
            return False
        return bool(self._client().migrate())

    def write(self, log: LogSlice, at_us: int) -> int:
        """Insert a slice and confirm it; how many rows were sent. May be repeated at will."""
        client = self._client()
        sent = sum(client.insert(TABLES[name], rows) for name, rows in log.tables.items())
        client.confirm(log.mark, at_us)
        return sent
