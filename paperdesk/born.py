"""Tables that are born in Django: people edit their rows, and every version goes into the durable stores as well.

A born row is saved by `paperdesk.outbox.record` and nothing else: it gives the row its next version, its hash, and a
row of the SQL outbox in the same transaction; a relay carries that one into the stream (ruling 26). The followers of
the log never write these tables. Rows are not deleted: what once was in force stays readable.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.db import models

from results.domain.units import us_of_datetime


class BornModel(models.Model):
    """A table born in Django. All of its columns are the canonical row.

    `version` is the instant of the change in microseconds, one more than before at least: it grows even if the
    database was lost and begun anew, so that the durable stores never take a new row for an old one.
    """

    version = models.BigIntegerField(editable=False, default=0, help_text="Grows with every change of this row.")
    day = models.DateField(editable=False, help_text="UTC day of the row's first version.")
    row_hash = models.BigIntegerField(editable=False, default=0, help_text="Hash of the canonical row.")
    changed_at = models.DateTimeField(editable=False, help_text="When this version came to be.")
    changed_by = models.CharField(editable=False, max_length=150, default="", help_text="Who made this version.")

    class Meta:
        abstract = True
        default_permissions: tuple[str, ...] = ("add", "change", "view")


def canonical_value(value: Any) -> Any:
    """A value of a born model as the canonical row has it: times as integer microseconds, the rest as it is."""
    return us_of_datetime(value) if isinstance(value, datetime.datetime) else value
