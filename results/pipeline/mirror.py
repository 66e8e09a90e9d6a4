"""The follower that keeps the Django tables: the newest version of each row, for admin and API, and cases of review.

Invariants: rows and watermark move in one SQL transaction; a newer version is never replaced by an older one; a
replaced or restored log (its mark differs) is read again from the start, which changes nothing that is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models, transaction

from results.domain.units import datetime_of
from results.models import FollowerWatermark
from results.pipeline.canonical_rows import Row, rows_of_arrow
from results.pipeline.log_slice import SEQS_PER_SLICE, LogSlice
from results.stores.marks import Mark
from results.stores.schema import LOG_COLUMNS, TABLES, Table

RECONCILIATION = "trade_reconciliation"
ROWS_PER_STATEMENT = 500


class DjangoTables:
    """The follower `django`. It never writes a table that is born in Django: that one has its rows already."""

    name = "django"
    seqs_per_slice = SEQS_PER_SLICE
    failures = (DatabaseError, ValidationError, ArithmeticError, ValueError, TypeError)

    def __init__(self, on_reconciled: Callable[[Sequence[Row], int], object] = lambda rows, at_us: None) -> None:
        self._on_reconciled = on_reconciled  # in the transaction of the rows: the cases of review

    def marks(self) -> list[Mark]:
        """How far the tables are; empty before the first rows."""
        found = FollowerWatermark.objects.filter(name=self.name).values_list("seq", "mark")
        return [Mark(seq, row) for seq, row in found]

    def mend(self, error: Exception) -> bool:
        """Nothing: `manage.py migrate` makes these tables."""
        return False

    def write(self, log: LogSlice, at_us: int) -> int:
        """Write a slice of the log, and the watermark; how many rows changed. Raises django.db.DatabaseError."""
        mirrored = {name: arrow for name, arrow in log.tables.items() if not TABLES[name].is_born}
        rows = {name: rows_of_arrow(arrow) for name, arrow in mirrored.items()}
        with transaction.atomic():
            FollowerWatermark.objects.get_or_create(
                name=self.name, defaults={"seq": 0, "mark": "", "moved_at": datetime_of(at_us)}
            )
            held = FollowerWatermark.objects.select_for_update().get(name=self.name)  # one writer at a time
            fresh = {name: _upsert(TABLES[name], of_table) for name, of_table in rows.items() if of_table}
            self._on_reconciled(fresh.get(RECONCILIATION, ()), at_us)
            held.seq, held.mark, held.moved_at = log.mark.seq, log.mark.row, datetime_of(at_us)
            held.save()
        return sum(map(len, fresh.values()))

    def resend(self, table: Table, rows: pyarrow.Table) -> int:
        """Write rows of the log once more, over what is not newer; how many changed. The watermark stays.

        Raises like `write`.
        """
        with transaction.atomic():
            list(FollowerWatermark.objects.select_for_update().filter(name=self.name))  # one writer at a time
            return len(_upsert(table, rows_of_arrow(rows)))


def model_of(table: Table) -> type[models.Model]:
    """The Django model of a durable table."""
    return next(model for model in apps.get_models() if model._meta.db_table == table.name)


def _upsert(table: Table, rows: Sequence[Row]) -> list[Row]:
    """The rows that were newer than what stood there, or the same."""
    newest: dict[str, Row] = {}
    for row in rows:
        known = newest.get(str(row[table.key]))
        if known is None or row["version"] >= known["version"]:
            newest[str(row[table.key])] = row
    model = model_of(table)
    stored = model._default_manager.filter(pk__in=list(newest)).values_list("pk", "version")
    versions = {str(key): version for key, version in stored}
    fresh = [row for key, row in newest.items() if row["version"] >= versions.get(key, row["version"])]
    model._default_manager.bulk_create(
        [model(**fields_of(table, row)) for row in fresh],
        batch_size=ROWS_PER_STATEMENT,
        update_conflicts=True,
        unique_fields=[table.key],
        update_fields=[name for name in _column_names(model) if name != table.key],
    )
    return fresh


def fields_of(table: Table, row: Row) -> dict[str, Any]:
    """A row of the log as the fields of its model."""
    kinds = {column.name: column.kind for column in (*table.columns, *LOG_COLUMNS)}
    return {
        name: datetime_of(value) if value is not None and kinds[name] == "time" else value
        for name, value in row.items()
        if name != "seq"
    }


def _column_names(model: type[models.Model]) -> list[str]:
    return [field.column for field in model._meta.local_fields]
