"""Verifying the audit trail: all of it at once for a person, and once a UTC day in turns between those of the sync.

How far today's pass is stands in `paperdesk:audit_trail`; what the last verification found in `paperdesk:sync`, field
`trail`, beside that of the stores: pages and alarms tell it from there.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from typing import cast

import msgspec
from redis import Redis

from results.audit.trail import audit_head, audit_walk
from results.domain.audit import START, Broken, Place
from results.domain.units import day_of
from results.pipeline.verify.comparison import Cell, cells_of
from results.pipeline.verify.sources import DjangoRows, DuckRows
from results.pipeline.verify.verified import VerifiedState, publish_verified, verified
from results.pipeline.verify.verifier import AGREE, DIFFER
from results.review_models import AuditEntry
from results.stores.failures import WarehouseBusy, WarehouseMissing
from results.stores.gate import Gate
from results.stores.schema import TABLES, quoted
from trading.stores import keys

TRAIL = "trail"
TABLE = "audit_entry"

Say = Callable[[int, int], None]


class TrailPass(msgspec.Struct, frozen=True):
    """A day's pass: when it began, up to which entry, how far it is, when it ended."""

    began_us: int
    head: Place
    place: Place = START
    ended_us: int | None = None


class TrailReport(msgspec.Struct, frozen=True):
    """What a verification found: how many entries are sound from the first one on, the chain after them, and the first
    that is not, with what it has and what the durable log has of it."""

    entries: int
    chain: str
    broken: Broken | None = None
    cells: tuple[Cell, ...] = ()

    @property
    def sentence(self) -> str | None:
        """What is wrong, with the values; None if the trail is whole."""
        if self.broken is None:
            return None
        differing = "".join(f"; {each.column} is {each.here}, was {each.there}" for each in self.cells)
        return f"{self.broken.how}{differing}"


def trail_report(gate: Gate, say: Say) -> TrailReport:
    """Verify the whole trail; `say` is told the entries done, of how many. Raises django.db.DatabaseError."""
    head, place, found, is_over = audit_head(), START, None, False
    while not is_over:
        place, found, is_over = audit_walk(place, head)
        say(place[0], head[0])
    return _report(gate, place, found)


def trail_turn(client: Redis, gate: Gate, now_us: int, seconds_max: float) -> TrailReport | None:
    """Go on with today's pass for about `seconds_max`, and publish what it found once it is over; None when there is
    nothing to tell. Raises redis.RedisError, django.db.DatabaseError.
    """
    until = time.monotonic() + seconds_max
    raw = cast("bytes | None", client.get(keys.AUDIT_TRAIL))
    stored = msgspec.json.decode(raw, type=TrailPass) if raw else None
    if stored is None or (stored.ended_us and day_of(stored.began_us) < day_of(now_us)):
        stored = TrailPass(now_us, audit_head())
    elif stored.ended_us:
        return None
    place, found, is_over = stored.place, None, False
    while not is_over:
        place, found, is_over = audit_walk(place, stored.head)
        if time.monotonic() >= until:
            break
    under_way = msgspec.structs.replace(stored, place=place, ended_us=now_us if is_over else None)
    report = _report(gate, place, found) if is_over else None
    if report is not None:
        publish_trail(client, report, now_us, now_us - stored.began_us)
    client.set(keys.AUDIT_TRAIL, msgspec.json.encode(under_way))
    return report


def publish_trail(client: Redis, report: TrailReport, at_us: int, took_us: int) -> None:
    """Publish what a verification found. Raises redis.RedisError."""
    error, before = report.sentence, verified(client, TRAIL)
    state = VerifiedState(
        position=DIFFER if error else AGREE,
        lag=0,
        at_us=at_us,
        error=error,
        since_us=((before and before.since_us) or at_us) if error else None,
        rows=report.entries,
        seconds=took_us / 1e6,
        seq=report.entries,
    )
    publish_verified(client, TRAIL, state)


def _report(gate: Gate, place: Place, found: Broken | None) -> TrailReport:
    found = found or _unlike_the_log(gate)
    return TrailReport(*place, found, _cells(gate, found.number) if found else ())


def _unlike_the_log(gate: Gate) -> Broken | None:
    """The first entry that is not what the durable log has of it: also a trail that was chained anew, or cut off
    together with the head, has its copies against it. None where the log is not there, or has none other.

    A chain is a hash of all that is before it: from the first entry that differs on, all do.
    """
    log, here = quoted(TABLES[TABLE].log_name), AuditEntry.objects.values_list("chain", flat=True)
    try:
        with gate.read() as connection:

            def differs(number: int) -> bool:
                copies = connection.execute(f"SELECT chain FROM {log} WHERE number = ?", [number]).fetchall()
                return bool({chain for (chain,) in copies} - {here.filter(pk=number).first()})

            last = connection.execute(f"SELECT max(number) FROM {log}").fetchall()[0][0]
            if last is None or not differs(last):
                return None
            number = bisect_left(range(1, last + 1), True, key=differs) + 1
    except (WarehouseMissing, WarehouseBusy):
        return None
    is_here = here.filter(pk=number).exists()
    how = "is not what the durable log has" if is_here else "is in the durable log, and not here any more"
    return Broken(number, f"entry {number} {how}")


def _cells(gate: Gate, number: int) -> tuple[Cell, ...]:
    """The columns in which the entry differs from its copy in the durable log; none where either is not there."""
    table, key = TABLES[TABLE], str(number)
    here = DjangoRows().rows(table, [key]).get(key)
    try:
        with gate.read() as connection:
            there = DuckRows(connection).rows(table, [key]).get(key)
    except (WarehouseMissing, WarehouseBusy):
        return ()
    return cells_of(table, here, there) if here and there else ()
