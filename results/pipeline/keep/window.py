"""The window of the Django tables: rows of days before it are removed once DuckDB and ClickHouse are seen to have them.

A row goes by its `day`, which is that of its first version. Trades that are not closed stay, and those of which a case
of review is undecided; and so does what belongs to them. Tables whose rows are born in Django are never touched. The
row "window" among the followers' watermarks says before which day rows were removed: what compares stores, and what
answers people, goes by it. Nothing that reconciles, trades or books funding reads these tables.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

import pyarrow
from django.apps import apps
from django.db import models, transaction

from paperdesk.mirror import WINDOW, window_began
from results.domain.review import CaseState
from results.domain.units import datetime_of, day_of
from results.models import FollowerWatermark, ReviewCase
from results.pipeline.follower import Follower
from results.pipeline.mirror import DjangoTables, model_of
from results.stores import duck
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table, duckdb_type, quoted
from trading.domain.trades import TradeStatus
from trading.stores.rows import PAPER_TRADE

ROWS_PER_RUN = 20_000  # of each table; a run an hour removes half a million a day
ROWS_PER_SLICE = 500  # of one SQL transaction
WANTED = "wanted"


class Window:
    """Removes what is older than `days`. `client` gives ClickHouse, or raises ClickHouseAway."""

    def __init__(
        self,
        gate: Gate,
        client: Callable[[], ClickHouse],
        follower: Follower,
        days: int,
        now_us: Callable[[], int],
    ) -> None:
        self._gate = gate
        self._client = client
        self._follower = follower
        self._days = days
        self._now_us = now_us

    def run(self) -> dict[str, int]:
        """How many rows were removed, by table; ROWS_PER_RUN of each at most.

        Raises ClickHouseAway, ClickHouseRefused, WarehouseMissing, WarehouseBusy, django.db.DatabaseError.
        """
        before = day_of(self._now_us()) - datetime.timedelta(days=self._days)
        marks = self._follower.marks()
        with self._gate.read() as connection:
            confirmed = duck.resume(connection, marks)
        removed = {
            table.name: self._of_table(table, before, confirmed) for table in TABLES.values() if not table.is_born
        }
        return {name: count for name, count in removed.items() if count}

    def _of_table(self, table: Table, before: datetime.date, confirmed: int) -> int:
        found = list(_older(table, before).values_list("pk", flat=True)[:ROWS_PER_RUN])
        return sum(
            self._remove(table, list(map(str, found[start : start + ROWS_PER_SLICE])), before, confirmed)
            for start in range(0, len(found), ROWS_PER_SLICE)
        )

    def _remove(self, table: Table, ids: Sequence[str], before: datetime.date, confirmed: int) -> int:
        durable = self._durable(table, ids, confirmed)
        if self._client().lacking({table.name: durable}):
            return 0  # what ClickHouse lost is for the verifier to find; it stays here until then
        hashes = dict(zip(durable[table.key].to_pylist(), durable["row_hash"].to_pylist(), strict=True))
        rows = model_of(table)._default_manager
        with transaction.atomic():
            FollowerWatermark.objects.select_for_update().get(name=DjangoTables.name)  # the mirror waits
            standing = rows.filter(pk__in=list(hashes)).values_list("pk", "row_hash")
            same = [key for key, row_hash in standing if hashes[str(key)] == row_hash]
            _note(before, self._now_us())
            return rows.filter(pk__in=same).delete()[0] if same else 0

    def _durable(self, table: Table, ids: Sequence[str], confirmed: int) -> pyarrow.Table:
        """Key, version, day, seq and hash of the newest rows in the log, of those that ClickHouse has confirmed."""
        key = quoted(table.key)
        kind = next(duckdb_type(column) for column in table.columns if column.name == table.key)
        query = (
            f"SELECT CAST({key} AS VARCHAR) AS {key}, version, day, seq, row_hash FROM {quoted(table.log_name)} "
            f"WHERE {key} IN (SELECT CAST(id AS {kind}) FROM {WANTED}) "
            f"QUALIFY row_number() OVER (PARTITION BY {quoted(table.log_name)}.{key} ORDER BY version DESC, seq DESC) "
            "= 1"
        )
        with self._gate.read() as connection:
            connection.register(WANTED, pyarrow.table({"id": list(ids)}))
            newest = connection.sql(query).to_arrow_table()
            connection.unregister(WANTED)
        return newest.filter(pyarrow.compute.less_equal(newest["seq"], confirmed))


def _older(table: Table, before: datetime.date) -> models.QuerySet[models.Model]:
    """The rows that may go: of days before the window, and not of a trade that is still open or to be decided on."""
    trades = apps.get_model("trading", "PaperTrade")._default_manager
    still_open = trades.exclude(status=TradeStatus.CLOSED.value).values("pk")
    undecided = ReviewCase.objects.filter(state__in=(CaseState.OPEN, CaseState.PROPOSED)).order_by().values("pk")
    rows = model_of(table)._default_manager.filter(day__lt=before).order_by()
    if table.name == PAPER_TRADE:
        return rows.filter(status=TradeStatus.CLOSED.value).exclude(pk__in=undecided)
    has_trade = any(column.name == "trade_id" for column in table.columns)
    return rows.exclude(trade_id__in=still_open).exclude(trade_id__in=undecided) if has_trade else rows


def _note(before: datetime.date, at_us: int) -> None:
    began = window_began()
    if began is None or began < before:
        moved = {"seq": before.toordinal(), "mark": before.isoformat(), "moved_at": datetime_of(at_us)}
        FollowerWatermark.objects.update_or_create(name=WINDOW, defaults=moved)
