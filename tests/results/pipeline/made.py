"""Outbox entries of every durable table, and the stores that should end up with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from results.domain.tolerances import Tolerances
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.mirror import DjangoTables
from results.pipeline.reconcile.reconciler import Reconciler
from results.pipeline.report import SyncReport
from results.pipeline.sync import Sync
from results.pipeline.verify.fingerprints import RowMark
from results.pipeline.verify.look import Keeper
from results.pipeline.verify.mending import Mending, RepairReport
from results.pipeline.verify.repair import Repairer
from results.pipeline.verify.sources import ClickHouseRows, DjangoRows, DuckRows, Part, Source
from results.pipeline.verify.verifier import Verifier
from results.review.following import cases_follow
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from results.stores.schema import TABLES
from tests.results.stores.made import DAY, row
from trading.stores import keys
from trading.stores.outbox import Outbox

NOW_US = 1_731_000_000_000_000


class Side:
    """One desk's durable side. `now_us` is its clock."""

    def __init__(self, client: redis.Redis, gate: Gate, clickhouse: ClickHouse) -> None:
        self.client = client
        self.gate = gate
        self.clickhouse = clickhouse
        self.now_us = NOW_US
        self.sync = self.new_sync()

    def new_sync(self) -> Sync:
        """A sync as another process would make it: it remembers nothing."""
        followers = (DjangoTables(cases_follow), ClickHouseTables(lambda: self.clickhouse, lambda: self.gate))
        reconciler = Reconciler(self.client, Tolerances, self.gate)
        return Sync(self.client, self.gate, followers, reconciler, lambda: self.now_us)

    def verifier(self) -> Verifier:
        """A verifier over all stores."""
        return Verifier(self.client, self.gate, self.keepers(), lambda: self.now_us)

    def keepers(self) -> tuple[Keeper, ...]:
        """The stores that follow the log."""
        follower = ClickHouseTables(lambda: self.clickhouse, lambda: self.gate)
        return (Keeper(DjangoRows(), DjangoTables()), Keeper(ClickHouseRows(lambda: self.clickhouse), follower))

    def repair(self) -> RepairReport:
        """Send again what differs."""
        self.settle()
        self.now_us += 1
        mending = Mending(
            self.verifier(), lambda: Repairer(self.client, self.gate, self.keepers(), self.now_us), self.settle
        )
        return mending.run([], None, 0.0)

    def emit(self, table: str, number: int, version: int = 1, **changes: Any) -> str:
        """Put the row of that number into the outbox; its stream id."""
        return self.add(entry_of(table, number, version, **changes))

    def emit_row(self, table: str, row: Mapping[str, Any]) -> str:
        """Put this canonical row into the outbox; its stream id."""
        return self.add(Outbox(TABLES).entry(table, {name: row[name] for name in row if name != "row_hash"}))

    def add(self, fields: Mapping[Any, Any], stream_id: str = "*") -> str:
        """Put an entry into the outbox as it is; its stream id."""
        given: Any = self.client.xadd(keys.OUTBOX, dict(fields), id=stream_id)
        return str(given.decode())

    def entries(self, stream: str = keys.OUTBOX) -> list[tuple[str, dict[bytes, bytes]]]:
        """All entries of a stream, by id."""
        found: Any = self.client.xrange(stream)
        return [(stream_id.decode(), fields) for stream_id, fields in found]

    def settle(self) -> SyncReport:
        """Sync until another turn would do nothing."""
        report = self.sync.once()
        while not report.is_settled:
            report = self.sync.once().after(report)
        return report

    def marks(self, table: str) -> dict[str, dict[str, RowMark]]:
        """The rows of the made day in each store, by store and key, hashes recomputed."""
        with self.gate.read() as connection:
            sources: list[Source] = [DuckRows(connection), DjangoRows(), ClickHouseRows(lambda: self.clickhouse)]
            found = {source.name: source.marks(Part(TABLES[table], DAY), True) for source in sources}
        return {name: {key: _bare(mark) for key, mark in marks.items()} for name, marks in found.items()}

    def log_length(self, table: str) -> int:
        """How many versions the durable log has."""
        with self.gate.read() as connection:
            counted = connection.execute(f"SELECT count(*) FROM {table}_log").fetchall()
        return int(counted[0][0])


def entry_of(table: str, number: int, version: int = 1, **changes: Any) -> dict[str, str]:
    """The outbox entry of the row of that number, whose texts every column can hold."""
    shape = TABLES[table]
    texts = {column.name: f"ü'{number}" for column in shape.columns if column.kind == "text"}
    made = row(shape, number, version, **{**texts, **changes})
    made.pop("row_hash")
    return Outbox(TABLES).entry(table, made)


def _bare(mark: RowMark) -> RowMark:
    return RowMark(mark.key, mark.version, mark.stored, mark.recomputed)
