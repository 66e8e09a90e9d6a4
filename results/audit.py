"""The audit trail in the database: entries are added in the transaction of what they tell, and never changed.

Triggers of the database refuse UPDATE and DELETE (migration 0004). `audit_head` is locked by whoever adds, so numbers
have no gap and each entry is chained to the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from paperdesk.outbox import record_all
from results.domain.audit import Broken, Entry, broken, numbered
from results.domain.units import datetime_of, us_of_datetime
from results.review_models import AuditEntry, AuditHead

ROWS_PER_READ = 2_000


class Deed(msgspec.Struct, frozen=True):
    """What was done to what; `before` and `after` are plain values, kept as JSON."""

    action: str
    subject: str
    before: object = None
    after: object = None


def audit_add(deeds: Sequence[Deed], at_us: int, who: str) -> None:
    """Add deeds to the trail, within the caller's transaction. Raises NoTransaction; the database's errors."""
    if not deeds:
        return
    AuditHead.objects.get_or_create(pk=1)
    head = AuditHead.objects.select_for_update().get(pk=1)
    entries = [Entry(0, at_us, who, each.action, each.subject, _text(each.before), _text(each.after)) for each in deeds]
    added = list(numbered(entries, head.number, head.chain))
    record_all([_row(entry, chain) for entry, chain in added], at_us, who)
    head.number, head.chain = added[-1][0].number, added[-1][1]
    head.save()


def audit_broken() -> Broken | None:
    """Where the trail is not what was written, or None."""
    head = AuditHead.objects.filter(pk=1).values_list("number", "chain").first() or (0, "")
    return broken(_trail(), head)


def _row(entry: Entry, chain: str) -> AuditEntry:
    values = msgspec.structs.asdict(entry)
    return AuditEntry(at=datetime_of(values.pop("at_us")), chain=chain, **values)


def _trail() -> Iterator[tuple[Entry, str]]:
    for row in AuditEntry.objects.order_by("number").iterator(chunk_size=ROWS_PER_READ):
        entry = Entry(row.number, us_of_datetime(row.at), row.who, row.action, row.subject, row.before, row.after)
        yield entry, row.chain


def _text(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value, order="deterministic").decode()
