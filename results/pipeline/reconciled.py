"""What the durable stores say of a trade's last reconciliation, for one whose hash has left Redis (ruling 28)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import msgspec

from results.models import TradeReconciliation, TradeReconciliationBreak
from results.pipeline.canonical_rows import rows_of_arrow
from results.pipeline.fingerprints import canonical_row
from results.pipeline.newest import newest_rows
from results.stores.failures import WarehouseBusy, WarehouseMissing
from results.stores.gate import Gate
from results.stores.schema import TABLES, quoted
from trading.domain.trades import Trade
from trading.domain.units import DAY_US

RECONCILIATION, BREAK = "trade_reconciliation", "trade_reconciliation_break"
CERTAINLY_IN_DJANGO_US = 7 * DAY_US  # the Django tables keep rows for longer, at every setting
OWN_TIME = frozenset({"found_at", "version", "row_hash", "day"})  # of a break: not what it says

Row = dict[str, Any]


class Reconciled(msgspec.Struct, frozen=True):
    """The newest reconciliation of a trade, and the breaks of that version."""

    row: Row
    breaks: Sequence[Row]

    def has(self, breaks: Iterable[Mapping[str, Any]]) -> bool:
        """Whether these rows are the same breaks, whenever they were found."""
        return _told(self.breaks) == _told(breaks)


def last_reconciled(trades: Sequence[Trade], gate: Gate, at_us: int) -> dict[str, Reconciled]:
    """By trade id, what is known of these trades; the log is asked for those that are so old that the Django tables may
    have let them go. Raises django.db.DatabaseError, StoreError."""
    found = reconciled_in_django([trade.id for trade in trades])
    old = [trade.id for trade in trades if trade.id not in found and _is_old(trade, at_us)]
    return {**found, **reconciled_in_log(old, gate)} if old else found


def reconciled_in_django(trade_ids: Sequence[str]) -> dict[str, Reconciled]:
    """By trade id, of those that the Django tables have. Raises django.db.DatabaseError."""
    found = TradeReconciliation.objects.filter(pk__in=trade_ids).order_by().values(*_names(RECONCILIATION))
    rows = [canonical_row(TABLES[RECONCILIATION], values) for values in found]
    ids = [row["trade_id"] for row in rows]
    breaks = TradeReconciliationBreak.objects.filter(trade_id__in=ids).order_by().values(*_names(BREAK))
    return _joined(rows, [canonical_row(TABLES[BREAK], values) for values in breaks])


def reconciled_in_log(trade_ids: Sequence[str], gate: Gate) -> dict[str, Reconciled]:
    """By trade id, of those that the durable log has. Raises StoreError."""
    columns = ", ".join(map(quoted, _names(BREAK)))
    query = f"SELECT {columns} FROM {BREAK} WHERE list_contains($1, CAST(trade_id AS VARCHAR))"
    try:
        with gate.read() as connection:
            rows = newest_rows(connection, {RECONCILIATION: trade_ids})[RECONCILIATION]
            breaks = connection.sql(query, params=[list(rows)]).to_arrow_table() if rows else None
    except WarehouseMissing:
        return {}
    except duckdb.Error as error:
        raise WarehouseBusy(f"the log cannot be read: {error}") from error
    return _joined(list(rows.values()), rows_of_arrow(breaks) if breaks else [])


def _is_old(trade: Trade, at_us: int) -> bool:
    return at_us - (trade.exit_us or trade.entry_us) > CERTAINLY_IN_DJANGO_US


def _joined(rows: Iterable[Mapping[str, Any]], breaks: Sequence[Row]) -> dict[str, Reconciled]:
    """Each reconciliation with the breaks of its version; those of before were mended."""
    return {
        row["trade_id"]: Reconciled(
            dict(row),
            [each for each in breaks if (each["trade_id"], each["version"]) == (row["trade_id"], row["version"])],
        )
        for row in rows
    }


def _names(table: str) -> list[str]:
    return [column.name for column in TABLES[table].columns]


def _told(breaks: Iterable[Mapping[str, Any]]) -> dict[str, Row]:
    return {str(row["id"]): {name: value for name, value in row.items() if name not in OWN_TIME} for row in breaks}
