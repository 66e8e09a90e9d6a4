"""Another program at its keyboard: the documents' commands as they stand, and what came of them in every store."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec

from results.models import DeadLetter
from results.pipeline.canonical_rows import rows_of_arrow
from results.pipeline.report import SyncReport
from results.stores.schema import TABLES
from tests.results.pipeline.made import Side
from tests.trading.stores import made
from trading.stores import keys

RESULT_ID = "123e4567-e89b-12d3-a456-426614174000"
TRADE_ID = "550e8400-e29b-41d4-a716-446655440000"
RESULT_KEY = keys.result(RESULT_ID)
DOCUMENTS = {"result": "trade_result", "result_metrics": "result_metrics", "reconciliation": "trade_reconciliation"}


class Program:
    """Writes to Redis and knows nothing of PaperDesk."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.client = side.client

    def types(self, document: str) -> list[str]:
        """Send one of the documents' commands; its words."""
        words = shlex.split(made.document(f"{document}.sh").decode().replace("\\\n", " "))
        self.client.execute_command(*words)
        return words

    def sets(self, **fields: str) -> None:
        """Change fields of the documented result."""
        self.client.hset(RESULT_KEY, mapping=fields)  # type: ignore[arg-type]

    def opens(self, **changes: Any) -> dict[str, Any]:
        """Set the documents' active trade under a portfolio's keys; its JSON."""
        trade = {**msgspec.json.decode(made.document("trade_active.json")), **changes}
        self.client.set(f"strategy:trades:active:{trade['id']}", msgspec.json.encode(trade))
        self.client.sadd("strategy:monitor:active_trades", trade["id"])
        return trade

    def closes(self, trade_id: str = TRADE_ID, **changes: Any) -> None:
        """Move a trade to the closed keys as the documents say."""
        trade = {**msgspec.json.decode(made.document("trade_closed.json")), "id": trade_id, **changes}
        self.client.set(f"strategy:trades:closed:{trade_id}", msgspec.json.encode(trade))
        self.client.delete(f"strategy:trades:active:{trade_id}")
        self.client.srem("strategy:monitor:active_trades", trade_id)

    def has_a_portfolio(self) -> None:
        """The desk knows the portfolio `strategy`."""
        self.client.hset(keys.PORTFOLIOS, "strategy", b"{}")


def settle(side: Side) -> SyncReport:
    """Sync until another turn would do nothing, and check what always holds."""
    report = side.settle()
    counts = side.sync.intake.sweep.counts()
    assert counts.seen == counts.accepted + counts.set_aside
    return report


def later(side: Side, seconds: float = 3.0) -> SyncReport:
    """The next sync of the beat."""
    side.now_us += int(seconds * 1_000_000)
    return settle(side)


def versions(side: Side, table: str = "trade_result") -> list[dict[str, Any]]:
    """All versions of a table's rows in the log, in order; the newest is the same in every store."""
    with side.gate.read() as connection:
        names = ", ".join(column.name for column in TABLES[table].columns)
        found = rows_of_arrow(connection.sql(f"SELECT {names} FROM {table}_log ORDER BY seq").to_arrow_table())
    report = side.verifier().run([table], hot=False)
    assert report.verdict == "agree", report.differences
    return found


def letters() -> list[DeadLetter]:
    """The dead letters, oldest first."""
    return list(DeadLetter.objects.order_by("id"))


def counted(side: Side) -> tuple[int, int, int, int]:
    """Seen, accepted, set aside; open dead letters."""
    counts = side.sync.intake.sweep.counts()
    return counts.seen, counts.accepted, counts.set_aside, counts.open
