"""Rows as every durable store has them: the newest version in the log, if both followers have confirmed its place, and
the version and hash that each follower keeps of it. The Django tables keep none of days before their window (`window`):
of such a row they confirm that they had it, and no more is asked of them.

The rows are asked for with their days, which the log and ClickHouse are ordered by well enough to leave the rest out.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import msgspec
import pyarrow

from paperdesk.mirror import window_began
from results.pipeline.canonical_rows import rows_of_arrow
from results.pipeline.follower import Follower
from results.pipeline.mirror import model_of
from results.stores import duck
from results.stores.clickhouse import ClickHouse
from results.stores.failures import WarehouseBusy
from results.stores.gate import Gate
from results.stores.schema import Table, duckdb_type, quoted

WANTED = "wanted"
Row = Mapping[str, Any]
VersionAndHash = tuple[int, int]


class Confirmed(msgspec.Struct, frozen=True):
    """A row's newest version in the log, and version and hash by follower that keeps rows of its day."""

    row: Row
    stores: dict[str, VersionAndHash | None]


class ConfirmedRows:
    """Asks the log, the Django tables and ClickHouse."""

    def __init__(self, gate: Gate, followers: Sequence[Follower], clickhouse: Callable[[], ClickHouse]) -> None:
        self._gate = gate
        self._followers = followers
        self._clickhouse = clickhouse

    def rows(self, table: Table, wanted: Mapping[str, datetime.date]) -> dict[str, Confirmed]:
        """By key, those of the wanted rows (key to day) that every follower has confirmed.

        Raises StoreError, naming the store that is away; django.db.DatabaseError.
        """
        marks = [follower.marks() for follower in self._followers]
        try:
            with self._gate.read() as connection:
                confirmed_seq = min(duck.resume(connection, each) for each in marks)
                newest = _newest(connection, table, wanted)
        except duckdb.Error as error:
            raise WarehouseBusy(f"the log cannot be read: {error}") from error
        found = {str(row[table.key]): row for row in newest if row["seq"] <= confirmed_seq}
        mirrored, clickhouse = _of_django(table, list(found)), self._of_clickhouse(table, found)
        began = window_began()  # after the rows: of what is removed meanwhile it tells
        gone = {key for key, row in found.items() if began and row["day"] < began} - mirrored.keys()
        return {
            key: Confirmed(
                row,
                {"clickhouse": clickhouse.get(key)} | ({} if key in gone else {"django": mirrored.get(key)}),
            )
            for key, row in found.items()
        }

    def _of_clickhouse(self, table: Table, found: Mapping[str, Row]) -> dict[str, VersionAndHash]:
        if not found:
            return {}
        key = quoted(table.key)
        query = (
            f"SELECT toString({key}), max(version), argMax(row_hash, version) FROM {quoted(table.log_name)} "
            f"WHERE day IN %(days)s AND {key} IN %(keys)s GROUP BY {key}"
        )
        asked = {"days": sorted({row["day"] for row in found.values()}), "keys": list(found)}
        return {each: (version, row_hash) for each, version, row_hash in self._clickhouse().rows(query, asked)}


def _newest(connection: duckdb.DuckDBPyConnection, table: Table, wanted: Mapping[str, datetime.date]) -> list[Row]:
    key = quoted(table.key)
    kind = next(duckdb_type(column) for column in table.columns if column.name == table.key)
    columns = ", ".join(quoted(column.name) for column in table.columns)
    connection.register(WANTED, pyarrow.table({"id": list(wanted)}))
    query = (
        f"SELECT {columns}, seq FROM {quoted(table.log_name)} WHERE day BETWEEN $1 AND $2 "
        f"AND {key} IN (SELECT CAST(id AS {kind}) FROM {WANTED}) "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY version DESC, seq DESC) = 1"
    )
    found = connection.sql(query, params=[min(wanted.values()), max(wanted.values())]).to_arrow_table()
    connection.unregister(WANTED)
    return list(rows_of_arrow(found))


def _of_django(table: Table, wanted: Sequence[str]) -> dict[str, VersionAndHash]:
    rows = model_of(table)._default_manager.filter(pk__in=wanted).order_by()
    return {str(key): (version, row_hash) for key, version, row_hash in rows.values_list("pk", "version", "row_hash")}
