"""When the stores were last verified, and whether they agreed: for pages, alarms and probes.

Two fields of `paperdesk:sync`, beside the followers and with their fields: `verify` is what every minute compares the
hashes of changed days, `audit` the last time that hashes of everything were compared and recomputed, by the daily audit
or by a person. `at_us` is when that was, `error` a sentence while rows differ.
"""

from __future__ import annotations

from typing import cast

import msgspec
from redis import Redis

from results.pipeline.report import FollowerState
from results.pipeline.verify.audit import AuditPass
from results.pipeline.verify.verifier import DIFFER, VerifyReport
from trading.stores import keys

VERIFIED, AUDITED = "verify", "audit"


class VerifiedState(FollowerState, frozen=True):
    """`position` is the verdict, `rows` were looked at, up to `seq` of the log, in `seconds`."""

    rows: int = 0
    seconds: float = 0.0
    seq: int = 0


def verified(client: Redis, name: str) -> VerifiedState | None:
    """What was last published under the name; None before the first time. Raises redis.RedisError."""
    raw = cast("bytes | None", client.hget(keys.SYNC, name))
    return msgspec.json.decode(raw, type=VerifiedState) if raw else None


def publish_verified(client: Redis, name: str, state: VerifiedState) -> None:
    """Publish a state under the name. Raises redis.RedisError."""
    client.hset(keys.SYNC, name, msgspec.json.encode(state))


def publish_full(client: Redis, report: VerifyReport) -> None:
    """Publish what a verification of everything found, as the audit's word and, where all agrees, as the minute's."""
    publish_verified(client, AUDITED, state_of(report, verified(client, AUDITED)))
    minute = verified(client, VERIFIED)
    if minute and report.verdict != DIFFER:
        publish_verified(client, VERIFIED, msgspec.structs.replace(minute, error=None, since_us=None))


def state_of(report: VerifyReport, before: VerifiedState | None) -> VerifiedState:
    """A verification as it is published."""
    return VerifiedState(
        position=report.verdict,
        lag=sum(report.behind.values()),
        at_us=report.at_us,
        error=report.worst,
        since_us=_since_us(before, report.worst, report.at_us),
        rows=report.rows,
        seconds=report.seconds,
        seq=report.seq if report.worst is None else before.seq if before else 0,  # those days are looked at again
    )


def state_of_pass(done: AuditPass, before: VerifiedState | None) -> VerifiedState:
    """An audit as it is published. While a pass goes on, `at_us` is when the last one ended, and what that one found
    stands until this one ends."""
    found = f"{done.difference_count} rows differ: {done.sentences[0]}" if done.difference_count else None
    if not done.ended_us:
        found = found or (before.error if before else None)
    at_us = done.ended_us or (before.at_us if before else None)
    return VerifiedState(
        position=DIFFER if found else "agree",
        lag=0,
        at_us=at_us,
        error=found,
        since_us=_since_us(before, found, done.ended_us or done.began_us),
        rows=done.rows,
        seconds=round(((done.ended_us or done.began_us) - done.began_us) / 1e6, 3),
        seq=done.seq,
    )


def _since_us(before: VerifiedState | None, error: str | None, at_us: int) -> int | None:
    if error is None:
        return None
    return before.since_us if before and before.since_us else at_us
