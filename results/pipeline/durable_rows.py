"""The durable rows that belong to trades: from the Django tables, and from the log what those no longer keep.

No row of a trade is of an earlier day than its entry. So the Django tables have every row of a trade that was entered
within their window (`window`), and the log is opened only for others.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence

import duckdb

from paperdesk.mirror import window_began
from results.pipeline.canonical_rows import Row
from results.pipeline.mirror import model_of
from results.pipeline.newest import newest_rows_by
from results.pipeline.verify.fingerprints import canonical_row
from results.stores.failures import WarehouseBusy, WarehouseMissing
from results.stores.gate import Gate
from results.stores.schema import TABLES
from trading.domain.trades import Trade
from trading.domain.units import day_of

Entered = Mapping[str, datetime.date]  # trade id -> UTC day of its entry
BY_TRADE = "trade_id"


def entered(trades: Iterable[Trade]) -> dict[str, datetime.date]:
    """The days of these trades' entries."""
    return {trade.id: day_of(trade.entry_us) for trade in trades}


class DurableRows:
    """Asks the Django tables, then the log. All methods raise django.db.DatabaseError, StoreError."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def of_trades(self, name: str, trades: Entered, column: str = BY_TRADE) -> list[Row]:
        """The newest rows of a table that name these trades in `column`."""
        return self.among(name, column, {trade_id: [trade_id] for trade_id in trades}, trades)

    def among(self, name: str, column: str, values: Mapping[str, Collection[str]], trades: Entered) -> list[Row]:
        """The newest rows of a table with one of the values in `column` (UUIDs as text); `values` are by trade."""
        if not any(values.values()):
            return []
        mirrored = _of_django(name, column, [value for some in values.values() for value in some])
        began = window_began()  # after the rows: of what is removed meanwhile it tells
        gone = [trade_id for trade_id, day in trades.items() if began is not None and day < began]
        logged = self._of_log(name, column, [value for trade_id in gone for value in values[trade_id]])
        rows = sorted((*logged, *mirrored), key=lambda row: int(row["version"]))
        return list({str(row[TABLES[name].key]): row for row in rows}.values())

    def _of_log(self, name: str, column: str, values: Sequence[str]) -> Iterable[Row]:
        if not values:
            return []
        try:
            with self._gate.read() as connection:
                found = newest_rows_by(connection, name, column, values)
        except WarehouseMissing:
            return []
        except duckdb.Error as error:
            raise WarehouseBusy(f"the log cannot be read: {error}") from error
        return found.values()


def _of_django(name: str, column: str, values: Sequence[str]) -> list[Row]:
    table = TABLES[name]
    found = model_of(table)._default_manager.filter(**{f"{column}__in": values}).order_by()
    return [canonical_row(table, row) for row in found.values(*(each.name for each in table.columns))]
