"""From the SQL outbox into the stream: each version of a row that was born in Django, once.

A version goes into the stream in one step with the note that it is there (`paperdesk:outbox:relayed`), and only then
is its outbox row marked in SQL. A relay that dies in between finds the note and adds nothing; two relays at once send
the same operation. When the stream has a new life (its epoch changed), every row is relayed anew: the log leaves out
what it has, or keeps it twice, which no reader sees. Source: rulings 26 and 29.
"""

from __future__ import annotations

from typing import cast

import msgspec
from django.db import DatabaseError
from redis import Redis

from paperdesk.models import OutboxRow
from results.domain.errors import PaperDeskError
from results.stores.schema import Table
from trading.stores import keys
from trading.stores.connection import answering
from trading.stores.errors import StepConflict
from trading.stores.step import Step, StepRunner

ROWS_PER_TURN = 500  # people make a few a day; after the loss of a stream, some turns catch up


class Relayed(msgspec.Struct, frozen=True):
    """What one call did: how many rows went into the stream, how many still wait."""

    added: int
    waiting: int


class Relay:
    """Carries born rows from SQL to Redis."""

    name = "relay"
    failures = (DatabaseError, PaperDeskError)

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._runner = StepRunner(client)

    def once(self, epoch: str) -> Relayed:
        """Relay what the stream of this epoch has not, at most ROWS_PER_TURN rows.

        Raises RedisAway, django.db.DatabaseError.
        """
        waiting = list(OutboxRow.objects.exclude(relayed_epoch=epoch)[:ROWS_PER_TURN])
        try:
            with answering("relaying the SQL outbox"):
                added = sum(self._relay(row, epoch) for row in waiting)
        except StepConflict:
            return Relayed(0, len(waiting))  # a backup runs; what was sent before it began is noted in Redis
        if not waiting:
            return Relayed(0, 0)
        OutboxRow.objects.filter(id__in=[row.id for row in waiting]).update(relayed_epoch=epoch)
        return Relayed(added, OutboxRow.objects.exclude(relayed_epoch=epoch).count())

    def _relay(self, row: OutboxRow, epoch: str) -> bool:
        field = f"{row.table}:{row.key}"
        noted = cast("bytes | None", self._client.hget(keys.RELAYED, field))
        known_epoch, _, version = (noted or b"").decode().partition("/")
        if known_epoch == epoch and int(version) >= row.version:
            return False
        entry = {"table": row.table, "id": row.key, "version": str(row.version), "row": row.row}
        step = Step(f"relay:{epoch}:{row.table}:{row.key}:{row.version}").emit(entry)
        step.expect(keys.lease(keys.BACKUP_LEASE), None)
        self._runner.run(step.hset(keys.RELAYED, {field: f"{epoch}/{row.version}"}))
        return True


def unrelayed(table: Table) -> frozenset[str]:
    """The keys of a born table whose newest versions no stream has yet. Raises django.db.DatabaseError."""
    return frozenset(OutboxRow.objects.filter(table=table.name, relayed_epoch="").values_list("key", flat=True))
