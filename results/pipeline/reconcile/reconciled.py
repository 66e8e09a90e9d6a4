"""What the durable stores say of a trade's last reconciliation, for one whose hash has left Redis (ruling 28)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from results.pipeline.canonical_rows import Row
from results.pipeline.durable_rows import BY_TRADE, DurableRows, Entered

RECONCILIATION, BREAK = "trade_reconciliation", "trade_reconciliation_break"
OWN_TIME = frozenset({"found_at", "version", "row_hash", "day"})  # of a break: not what it says


class Reconciled(msgspec.Struct, frozen=True):
    """The newest reconciliation of a trade, and the breaks of that version."""

    row: Row
    breaks: Sequence[Row]

    def has(self, breaks: Iterable[Mapping[str, Any]]) -> bool:
        """Whether these rows are the same breaks, whenever they were found."""
        return _told(self.breaks) == _told(breaks)


def last_reconciled(trades: Entered, durable: DurableRows) -> dict[str, Reconciled]:
    """By trade id, what is known of these trades. Raises django.db.DatabaseError, StoreError."""
    rows = {row[BY_TRADE]: row for row in durable.of_trades(RECONCILIATION, trades)}
    breaks = durable.of_trades(BREAK, {trade_id: day for trade_id, day in trades.items() if trade_id in rows})
    return {
        trade_id: Reconciled(
            row,  # with the breaks of its version; those of before were mended
            [each for each in breaks if (each[BY_TRADE], each["version"]) == (trade_id, row["version"])],
        )
        for trade_id, row in rows.items()
    }


def _told(breaks: Iterable[Mapping[str, Any]]) -> dict[str, Row]:
    return {str(row["id"]): {name: value for name, value in row.items() if name not in OWN_TIME} for row in breaks}
