"""The SQL outbox: how a row that is born in Django gets a version, and how that version gets into the durable stores.

Invariant: a version of a born row and its outbox row are committed together or not at all; what is in the outbox is
exactly what is in the table, sealed with the hash that every store recomputes. Source: ruling 26.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from paperdesk.born import BornModel, canonical_value
from paperdesk.errors import PaperDeskError
from paperdesk.models import OutboxRow
from paperdesk.tables import TABLES
from results.domain.canonical import sealed
from results.domain.units import datetime_of, day_of
from trading.stores.outbox import Row, row_text

ROWS_PER_STATEMENT = 200


class NoTransaction(PaperDeskError):
    """A born row was to be saved outside a transaction, where its outbox row could be lost."""


def record(row: BornModel, now_us: int, by: str) -> None:
    """Save a born row as its next version, and put that version into the outbox.

    `now_us` is the instant of the change, `by` the name of who made it. Raises NoTransaction; the database's errors.
    """
    outbox_row = _next_version(row, now_us, by)
    row.save()
    outbox_row.save()


def record_all(rows: Sequence[BornModel], now_us: int, by: str) -> None:
    """Save many born rows of one table like `record`, in few statements; those that are there are overwritten."""
    if not rows:
        return
    model = type(rows[0])
    waiting = [_next_version(row, now_us, by) for row in rows]
    key = model._meta.pk.name
    model._default_manager.bulk_create(
        rows,
        batch_size=ROWS_PER_STATEMENT,
        update_conflicts=True,
        unique_fields=[key],
        update_fields=[field.name for field in model._meta.local_fields if field.name != key],
    )
    OutboxRow.objects.bulk_create(waiting, batch_size=ROWS_PER_STATEMENT)


def _next_version(row: BornModel, now_us: int, by: str) -> OutboxRow:
    """The row with its next version and hash, and its row of the outbox; neither is saved yet."""
    if not connection.in_atomic_block:
        raise NoTransaction(f"{row._meta.db_table} {row.pk}: a born row is recorded within a transaction only")
    row.version = max(row.version + 1, now_us)
    row.changed_at = datetime_of(now_us)
    row.changed_by = by
    row.day = row.day or day_of(now_us)
    made = canonical_row(row)
    row.row_hash = made["row_hash"]
    return OutboxRow(
        table=row._meta.db_table,
        key=str(row.pk),
        version=row.version,
        row=row_text(made),
        row_hash=row.row_hash,
        made_at=row.changed_at,
    )


def canonical_row(row: BornModel) -> Row:
    """The canonical row of a born row, sealed with the hash of its values."""
    table = TABLES[row._meta.db_table]
    values = {field.column: canonical_value(getattr(row, field.attname)) for field in row._meta.local_fields}
    return sealed(table.columns, values)
