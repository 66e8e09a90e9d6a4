"""A desk's rows in every store, and ways to damage them behind everybody's back."""

from __future__ import annotations

from typing import Any

from results.domain.outcomes import result_id_of
from results.pipeline.verify.verifier import VerifyReport
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import Portfolio
from trading.domain.trades import Trade


class Book:
    """Three closed trades and an open one, in every store."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.portfolio = Portfolio(side.client)
        self.trades = [self.portfolio.closed(self.portfolio.opened(number)) for number in (1, 2, 3)]
        self.open_trade = self.portfolio.opened(4)
        assert side.settle().is_level

    @property
    def trade(self) -> Trade:
        """The trade that is tampered with."""
        return self.trades[1]

    @property
    def result_id(self) -> str:
        """The result that is tampered with."""
        return result_id_of(self.trade.long_order.id)

    def in_duckdb(self, statement: str, *values: Any) -> None:
        """Change the log behind everybody's back."""
        with self.side.gate.write() as connection:
            connection.execute(statement, list(values)).fetchall()

    def in_clickhouse(self, statement: str) -> None:
        """Change ClickHouse behind everybody's back."""
        client = self.side.clickhouse
        client.rows("SELECT 1")
        assert client._client is not None
        client._client.command(statement, settings={"mutations_sync": 2})

    def verified(self) -> VerifyReport:
        """What the verifier says."""
        return self.side.verifier().run()

    def found(self) -> list[tuple[str, str, str, str]]:
        """Table, store, key and kind of every difference."""
        report = self.verified()
        assert report.verdict == "differ"
        return [(each.table, each.store, each.key, each.kind.value) for each in report.differences]
