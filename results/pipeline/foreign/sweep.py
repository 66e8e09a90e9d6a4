"""The sweep: it finds what other programs wrote under the documented keys, and makes it durable like our own.

    look     slice by slice through the keyspace; what stands as it was dealt with is left out in Redis
    judge    ours, malformed, or a case that the newest durable version decides
    settle   the cases, once the log has everything that the stream had when they were read

A pass over all keys may take several turns; keyspace notifications are not needed. Everything is decided by one
script for each record (`trading.stores.sweep_store`), so a sweep may be killed anywhere and two may run at once.
An incomplete hash is set aside after 2 s in which nobody touched it. Source: rulings 22, 24 and 27.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec
from redis import Redis

from results.pipeline.foreign.capital import Capital
from results.pipeline.foreign.hashes import RECONCILIATION, judged_hash
from results.pipeline.foreign.trades import judged_leg_out, judged_trade
from results.pipeline.foreign.verdicts import Case, aside
from results.pipeline.newest import Newest
from trading.domain.units import MICROSECONDS
from trading.stores.rows import PAPER_TRADE, RESULT_METRICS, TRADE_RESULT
from trading.stores.sweep_store import ACCEPT, ELEMENT, HASH, OPEN, WRONG, Counts, Found, SweepStore, Verdict

SECONDS_PER_TURN = 0.6  # of the 3 s between two syncs; 10,000 hashes take less, beyond them a pass takes several turns
CASES_MAX = 4_000  # of one turn: the log is held while they are looked up
VERDICTS_PER_CALL = 20  # a script of about 1 ms, which the engine's steps wait for
UNTOUCHED_US = 2 * MICROSECONDS  # ruling 27
FORGOTTEN_US = 600 * MICROSECONDS  # of an incomplete hash that is gone
PASSES_PER_CLEANING = 20


class Waiting(msgspec.Struct):
    """An incomplete hash: what stands in it, and since when."""

    content: tuple[bytes, ...]
    since_us: int


class Sweep:
    """Goes round and round through the keys of one Redis. Keeps its place between turns."""

    def __init__(self, client: Redis) -> None:
        self.store = SweepStore(client)
        self._capital = Capital(client)
        self._prefixes: list[str] = []
        self._cursor = 0
        self._places: dict[str, str] = {}
        self._standing: list[Found] = []
        self._waiting: dict[bytes, Waiting] = {}
        self._passes = 0
        self._counts: Counts | None = None
        self._begun = self._whole = 0
        self._is_whole = self._is_settled = True

    def look(self, at_us: int, seconds_max: float = SECONDS_PER_TURN) -> list[Case]:
        """Go on for about `seconds_max`, or to the end of the pass. Settles what needs no durable row; the others are
        returned, and found again if nobody settles them. Raises redis.RedisError."""
        until = time.monotonic() + seconds_max
        cases: dict[bytes, Case] = {}
        if not self._cursor:
            self._prefixes, self._standing, self._places = self.store.prefixes(), [], {}
            self._begun += 1
        self._is_whole = not self._cursor or (self._is_whole and self._is_settled)
        self._is_settled = False
        while True:
            seen = self.store.look(self._cursor, self._prefixes)
            self._cursor = seen.cursor
            self._standing += seen.standing
            self._judge(seen.found, cases, at_us)
            if not self._cursor:
                self._end_pass(cases, at_us)
            if not self._cursor or len(cases) >= CASES_MAX or time.monotonic() > until:
                return sorted(cases.values(), key=_order)

    def settle(self, cases: Sequence[Case], newest: Newest, at_us: int) -> int:
        """Decide the cases beside the newest durable versions; how many were decided. Raises redis.RedisError."""
        rows = {table: dict(found) for table, found in newest.items()}
        verdicts = []
        for case in cases:
            judged = case.verdict(rows)
            if judged is None:
                verdicts += self._patience(case, at_us)
                continue
            verdict, row = judged
            verdicts.append(verdict)
            if row is not None:
                table, key = case.wanted[0]
                rows.setdefault(table, {})[key] = dict(row)
        taken = self._take(verdicts, at_us)
        for prefix, place in self._places.items():
            self.store.note_place(prefix, place)
        self._places = {}
        self._standing += [each.found for each in verdicts if each.verdict == ACCEPT and each.found.kind == OPEN]
        self._is_settled = True
        if not self._cursor:
            self._capital.check(self._standing)
            self._whole = self._begun if self._is_whole else self._whole
        return taken

    def counts(self) -> Counts:
        """What was seen, accepted and set aside, ever; read again when this process has added to it."""
        if self._counts is None:
            self._counts = self.store.counts()
        return self._counts

    @property
    def waiting(self) -> int:
        """How many incomplete hashes were seen lately that somebody may complete."""
        return len(self._waiting)

    @property
    def begun(self) -> int:
        """How many passes began."""
        return self._begun

    def is_whole_since(self, begun: int) -> bool:
        """Whether a pass that began when `begun` had begun has ended, and everything that it found was settled."""
        return self._whole > begun

    @property
    def is_under_way(self) -> bool:
        """Whether the last look stopped before the end of a pass."""
        return bool(self._cursor)

    def _judge(self, found: Sequence[Found], cases: dict[bytes, Case], at_us: int) -> None:
        verdicts = []
        for each in found:
            judged = _judged(each)
            if isinstance(judged, Verdict):
                verdicts.append(judged)
            else:
                cases[each.raw_name] = judged
        self._take(verdicts, at_us)

    def _end_pass(self, cases: dict[bytes, Case], at_us: int) -> None:
        for prefix in self._prefixes:
            found, place = self.store.leg_outs(prefix)
            self._judge(found, cases, at_us)
            if place:
                self._places[prefix] = place
        self._passes += 1
        if self._passes % PASSES_PER_CLEANING == 0:
            self.store.forget_gone()
            self._counts = None  # another process may sweep too
        self._waiting = {name: each for name, each in self._waiting.items() if at_us - each.since_us < FORGOTTEN_US}

    def _take(self, verdicts: Sequence[Verdict], at_us: int) -> int:
        taken = 0
        self._counts = None if verdicts else self._counts
        for start in range(0, len(verdicts), VERDICTS_PER_CALL):
            batch = verdicts[start : start + VERDICTS_PER_CALL]
            taken += sum(self.store.take(batch, at_us))
            for verdict in batch:
                self._waiting.pop(verdict.found.raw_name, None)
        return taken

    def _patience(self, case: Case, at_us: int) -> list[Verdict]:
        """Sets an incomplete hash aside once nobody has touched it for a while; at once if somebody asked again."""
        found = case.found
        known = self._waiting.get(found.raw_name)
        if known is None or known.content != found.content:
            known = self._waiting[found.raw_name] = Waiting(found.content, at_us)
        if found.is_retry or at_us - known.since_us >= UNTOUCHED_US:
            return [aside(found, case.wanted[0][0], case.incomplete or "")]
        return []


def wanted_by(cases: Sequence[Case]) -> Mapping[str, set[str]]:
    """The rows that the cases are judged by: keys by table."""
    wanted: dict[str, set[str]] = {}
    for case in cases:
        for table, key in case.wanted:
            wanted.setdefault(table, set()).add(key)
    return wanted


def _judged(found: Found) -> Verdict | Case:
    if found.kind == WRONG:
        return aside(
            found, _table_of(found), f"{found.key}: a {found.raw.decode()} of a kind or size that is no record"
        )
    if found.kind == HASH:
        return judged_hash(found)
    return judged_leg_out(found) if found.kind == ELEMENT else judged_trade(found)


def _table_of(found: Found) -> str:
    if found.prefix:
        return PAPER_TRADE
    beginning = found.key.partition(":")[0]
    return {"result": TRADE_RESULT, "result_metrics": RESULT_METRICS}.get(beginning, RECONCILIATION)


def _order(case: Case) -> tuple[int, str]:
    """Trades before leg-outs, open ones before closed ones."""
    kinds = (HASH, OPEN, "closed", ELEMENT)
    return kinds.index(case.found.kind), case.found.name
