"""What no single app owns: the SQL outbox, through which tables that are born in Django reach the durable stores."""

from __future__ import annotations

from django.db import models


class OutboxRow(models.Model):
    """One version of a born row on its way into the stream `paperdesk:outbox`, written in the transaction that made it.

    Rows are relayed in the order of `id` and kept: they are the record of what people changed. `relayed_epoch` names
    the life of the stream that has the row; a stream that lost its history gets every row anew.
    """

    id = models.BigAutoField(primary_key=True)
    table = models.CharField(max_length=64)
    key = models.CharField(max_length=128)
    version = models.BigIntegerField()
    row = models.TextField(help_text="The canonical row, as the stream carries it: JSON.")
    row_hash = models.BigIntegerField()
    made_at = models.DateTimeField()
    relayed_epoch = models.CharField(max_length=36, default="")

    class Meta:
        db_table = "outbox_row"
        ordering = ("id",)
        default_permissions = ("view",)
        constraints = (models.UniqueConstraint(fields=("table", "key", "version"), name="outbox_row_version"),)
        indexes = (models.Index(fields=("relayed_epoch", "id"), name="outbox_row_relayed"),)

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.version}"
