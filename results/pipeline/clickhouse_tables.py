"""The follower that keeps ClickHouse: every slice of the log is inserted, seen there, and only then marked.

A ClickHouse without our tables, away when the desk started or come back empty, gets them at its first sync, and the
log from its beginning.

A server that started anew may lack rows that it had confirmed: a part that was broken by a crash, a replica that
never got them, tables restored from different days. So before anything is written behind its marks, it is asked for
the last rows of each table up to the newest mark; a mark whose rows are not there is given up for an older one, and
everything behind that is sent again. What was lost further back is for `verify_stores` to find.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

import duckdb
import pyarrow

from results.pipeline.log_slice import LogSlice
from results.stores.clickhouse import ClickHouse, running_seconds
from results.stores.clickhouse_wire import TABLES_MISSING
from results.stores.failures import ClickHouseRefused, RowsMissing, StoreError, WarehouseBusy, WarehouseMissing
from results.stores.gate import Gate
from results.stores.marks import Mark
from results.stores.schema import TABLES, Table, quoted

ROWS_ASKED_FOR = 2_000  # of each table: one question of some ms to DuckDB, and one to ClickHouse
SEQS_PER_SLICE = 40_000  # some 20 MB as Arrow; one of 2,000 rows takes half as long
NEVER = float("-inf")


class ClickHouseTables:
    """The follower `clickhouse`. `client` gives the client, or raises ClickHouseAway; `gate` opens the log."""

    name = "clickhouse"
    seqs_per_slice = SEQS_PER_SLICE
    failures = (StoreError,)

    def __init__(self, client: Callable[[], ClickHouse], gate: Callable[[], Gate]) -> None:
        self._client = client
        self._gate = gate
        self._believed_at = NEVER
        self._asked: tuple[float, list[Mark]] | None = None  # when, and the marks; for the slice that follows

    def marks(self) -> list[Mark]:
        """The marks that ClickHouse itself keeps. Raises ClickHouseAway, ClickHouseRefused."""
        self._asked = running_seconds(), self._client().marks()
        return self._asked[1]

    def mend(self, error: Exception) -> bool:
        """Make the tables when the error says that there are none. Raises like `marks`, and DestructiveChange."""
        if not isinstance(error, ClickHouseRefused) or error.code not in TABLES_MISSING:
            return False
        return bool(self._client().migrate())

    def write(self, log: LogSlice, at_us: int) -> int:
        """Insert a slice and confirm it; how many rows were sent. May be repeated at will.

        Raises RowsMissing when the server lost what it had confirmed: the next slice goes further back.
        """
        client = self._client()
        try:
            if client.started_at >= self._believed_at:
                self._check_marks(client)
            sent = client.insert(log.tables)
            client.confirm(log.mark, at_us)
        except StoreError:
            self._believed_at = NEVER
            raise
        finally:
            self._asked = None
        return sent

    def resend(self, table: Table, rows: pyarrow.Table) -> int:
        """Insert rows of the log once more, as a batch that no token remembers, and merge their partitions, so that of
        two copies of a version the later one is left. Raises like `write`."""
        client = self._client()
        sent = client.insert({table.name: rows}, f"resend {uuid.uuid4()}")
        client.merge(table, {(day.year, day.month) for day in rows["day"].to_pylist()})
        return sent

    def _check_marks(self, client: ClickHouse) -> None:
        """Believe the marks from now on, or forget those ahead of the newest on whose rows are there."""
        asked_at, marks = self._asked or (running_seconds(), client.marks())
        place, step = 0, 1
        while place < len(marks) and self._is_lacking(client, marks[place]):
            place, step = place + step, step * 2
        if place:
            held = marks[place] if place < len(marks) else Mark(0, "")
            client.forget(held)
            raise RowsMissing(f"ClickHouse lost rows that it had confirmed; those behind {held.seq} are sent again")
        self._believed_at = asked_at

    def _is_lacking(self, client: ClickHouse, mark: Mark) -> bool:
        return bool(client.lacking(self._last_rows(mark.seq)))

    def _last_rows(self, seq: int) -> dict[str, pyarrow.Table]:
        """Of each table the last rows of the log up to `seq`; none without a log."""
        try:
            with self._gate().read() as connection:
                queries = {name: connection.sql(_last(table), params=[seq]) for name, table in TABLES.items()}
                return {name: query.to_arrow_table() for name, query in queries.items()}
        except WarehouseMissing:
            return {}
        except duckdb.CatalogException:
            return {}
        except duckdb.Error as error:
            raise WarehouseBusy(f"the log cannot be read: {error}") from error


def _last(table: Table) -> str:
    key = quoted(table.key)
    return (
        f"SELECT {key}::VARCHAR AS {key}, version, day, seq FROM {quoted(table.log_name)} "
        f"WHERE seq <= $1 ORDER BY seq DESC LIMIT {ROWS_ASKED_FOR}"
    )
