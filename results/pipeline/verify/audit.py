"""The daily audit: the hashes of all rows in all stores, slice by slice.

A pass begins at the first turn of a UTC day. It compares the stored hashes of every day of every table, so that a loss
of any age is found, and makes hashes anew from the values for the days that changed since the pass before, and for a
thirtieth of all others in turn; last it compares what is hot in Redis (`hot_audit`). A turn takes as many parts as fit
its time and ends, so that the sync, which runs in the same worker, has its turn. `paperdesk:audit` says how far a pass
is; one that is cut off goes on at its table.
"""

from __future__ import annotations

import datetime
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import msgspec
from redis import Redis

from results.domain.units import day_of
from results.pipeline.verify.hot_audit import HotAudit, HotLook
from results.pipeline.verify.sources import Part
from results.pipeline.verify.verifier import Verifier, VerifyReport
from results.stores.schema import TABLES
from trading.stores import keys

SECONDS_PER_TURN = 0.2
HOT = "~redis"  # in the place of a table, after all of them
SAMPLE_DAYS = 30  # a day that no longer changes is recomputed every so many passes
SENTENCES_MAX = 3


class AuditPass(msgspec.Struct, frozen=True, kw_only=True):
    """One pass: when it began and ended, over which rows of the log, how far it is and what it found.

    `after_seq` is where the pass before began: what changed since is recomputed. `table` is the one under way,
    `held_ms` the longest time that the log was held for one question, `previous_us` when the pass before ended.
    """

    began_us: int
    after_seq: int
    seq: int
    table: str = ""
    rows: int = 0
    recomputed_rows: int = 0
    difference_count: int = 0
    sentences: tuple[str, ...] = ()
    away: dict[str, str] = {}
    held_ms: float = 0.0
    ended_us: int | None = None
    previous_us: int | None = None

    def with_hot(self, look: HotLook) -> AuditPass:
        """The pass with records of Redis looked at."""
        named = [f"{each.table} {each.key} in {each.store}: {each.sentence}" for each in look.differences]
        return msgspec.structs.replace(
            self,
            table=HOT,
            rows=self.rows + look.rows,
            difference_count=self.difference_count + len(look.differences) + len(look.unreadable),
            sentences=(*self.sentences, *named, *look.unreadable)[:SENTENCES_MAX],
        )

    def with_part(self, report: VerifyReport, table: str) -> AuditPass:
        """The pass with a part of a table verified."""
        named = [f"{each.table} {each.key} in {each.store}: {each.sentence}" for each in report.differences]
        return msgspec.structs.replace(
            self,
            table=table,
            rows=self.rows + report.rows,
            recomputed_rows=self.recomputed_rows + (report.rows if report.recomputed else 0),
            difference_count=self.difference_count + report.difference_count,
            sentences=(*self.sentences, *named)[:SENTENCES_MAX],
            away={},
            held_ms=max(self.held_ms, report.log_held_ms),
        )


class Audit:
    """Goes through all stores once a day. Keeps the parts of the table under way between turns."""

    def __init__(self, client: Redis, verifier: Verifier, hot: HotAudit, now_us: Callable[[], int]) -> None:
        self._client = client
        self._verifier = verifier
        self._hot = hot
        self._has_hot_looks = False  # in this turn: what they doubt is for a later one
        self._now_us = now_us
        self._under_way: AuditPass | None = None
        self._tables: deque[str] = deque()
        self._parts: deque[tuple[Part, bool]] = deque()

    def turn(self, seconds_max: float = SECONDS_PER_TURN) -> AuditPass | None:
        """Go on for about `seconds_max`; None when today's pass has ended. It stands still while a store is away.

        Raises WarehouseMissing, WarehouseBusy, redis.RedisError.
        """
        until = time.monotonic() + seconds_max
        self._has_hot_looks = False
        if not self._is_due():
            return None
        while self._under_way and not self._under_way.ended_us:
            if not self._one_part() or time.monotonic() >= until:
                break
        self._keep()
        return self._under_way

    def _is_due(self) -> bool:
        """Whether a pass is under way; begins today's."""
        stored = last_pass(self._client)
        if stored is None or (stored.ended_us and day_of(stored.began_us) < day_of(self._now_us())):
            self._take_up(self._new_pass(stored or AuditPass(began_us=0, after_seq=0, seq=0)))
        elif stored.ended_us:
            return False
        elif self._under_way is None or self._under_way.began_us != stored.began_us:
            self._take_up(stored)  # another process began it, or this one was started anew
        return True

    def _new_pass(self, before: AuditPass) -> AuditPass:
        head = self._verifier.head()
        after_seq = before.seq if before.seq <= head else 0  # another log's numbers say nothing of this one
        return AuditPass(began_us=self._now_us(), after_seq=after_seq, seq=head, previous_us=before.ended_us)

    def _take_up(self, under_way: AuditPass) -> None:
        self._under_way = under_way
        self._tables = deque(name for name in sorted(TABLES) if name >= under_way.table)
        self._parts.clear()

    def _one_part(self) -> bool:
        """Verify the next part; False when a store is away, and the part has to wait."""
        under_way = cast(AuditPass, self._under_way)
        if not self._parts and not self._fill(under_way):
            return self._one_hot(under_way)
        part, recompute = self._parts[0]
        report = self._verifier.run_parts([part], recompute=recompute)
        if report.away:
            self._under_way = msgspec.structs.replace(under_way, away=report.away)
            return False
        self._parts.popleft()
        self._under_way = under_way.with_part(report, part.table.name)
        return True

    def _one_hot(self, under_way: AuditPass) -> bool:
        """Look at the next records of Redis; False when what is in doubt has to wait for another turn."""
        look = self._hot.first_look()
        if look is not None:
            self._has_hot_looks = True
        elif self._has_hot_looks:
            return False
        else:
            look = self._hot.second_look()
        ended = {"ended_us": self._now_us(), "table": ""}
        self._under_way = under_way.with_hot(look) if look else msgspec.structs.replace(under_way, **ended)
        return True

    def _fill(self, under_way: AuditPass) -> bool:
        """Take the parts of the next table that has any; False after the last one."""
        today = day_of(under_way.began_us)
        while self._tables:
            table = TABLES[self._tables.popleft()]
            changed = self._verifier.changed_days(table, under_way.after_seq)
            parts = self._verifier.parts(table)
            self._parts.extend((part, part.day in changed or is_sampled(part.day, today)) for part in parts)
            if parts:
                return True
        return False

    def _keep(self) -> None:
        self._client.set(keys.AUDIT, msgspec.json.encode(self._under_way))


def is_sampled(day: datetime.date, today: datetime.date) -> bool:
    """Whether the rows of `day` have their turn today."""
    return (today - day).days % SAMPLE_DAYS == 0


def last_pass(client: Redis) -> AuditPass | None:
    """The pass that is under way, or the last one."""
    raw = cast("bytes | None", client.get(keys.AUDIT))
    return msgspec.json.decode(raw, type=AuditPass) if raw else None
