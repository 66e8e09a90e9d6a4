"""The audit trail in the database: entries are added in the transaction of what they tell, and never changed.

Triggers of the database refuse UPDATE and DELETE (migration 0004). `audit_head` is locked by whoever adds, so numbers
have no gap and each entry is chained to the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from paperdesk.outbox import record_all
from results.domain.audit import START, Broken, Entry, Place, cut_off, numbered, walked
from results.domain.units import datetime_of, us_of_datetime
from results.review_models import AuditEntry, AuditHead

ENTRIES_PER_READ = 1_000
TEXTS = ("who", "action", "subject", "before", "after")  # of an entry, in its order


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
    found: Broken | None = None
    place, head, is_over = START, audit_head(), False
    while not found and not is_over:
        place, found, is_over = audit_walk(place, head)
    return found


def audit_head() -> Place:
    """The number and chain of the entry that was added last. Each entry up to it is there to be read."""
    return AuditHead.objects.filter(pk=1).values_list("number", "chain").first() or START


def audit_walk(place: Place, head: Place) -> tuple[Place, Broken | None, bool]:
    """Verify some entries from `place` on, those after `head` excepted; the place after them, what is wrong, and
    whether that was the end. Each call reads a bounded number of rows.
    """
    last = min(place[0] + ENTRIES_PER_READ, head[0])
    after, found = walked(_entries(place[0], last), place)
    if found or (after[0] == last < head[0]):
        return after, found, found is not None
    return after, cut_off(after, head) or _beside(), True


def _beside() -> Broken | None:
    """An entry that was added without the chain: before the first one or after the last one that was."""
    numbers = AuditEntry.objects.order_by("number").values_list("number", flat=True)
    last = numbers.last() or 0
    head = audit_head()[0]  # read second: what was added meanwhile is within it
    for number in numbers.filter(number__lt=1)[:1]:
        return Broken(number, f"entry {number} was put beside the trail, which begins with entry 1")
    return Broken(head + 1, f"entry {last} was put beside the trail, {head} were written") if last > head else None


def _row(entry: Entry, chain: str) -> AuditEntry:
    values = msgspec.structs.asdict(entry)
    return AuditEntry(at=datetime_of(values.pop("at_us")), chain=chain, **values)


def _entries(after: int, last: int) -> Iterator[tuple[Entry, str]]:
    found = AuditEntry.objects.filter(number__gt=after, number__lte=last).order_by("number")
    for at, chain, number, *texts in found.values_list("at", "chain", "number", *TEXTS):
        yield Entry(number, us_of_datetime(at), *texts), chain


def _text(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value, order="deterministic").decode()
