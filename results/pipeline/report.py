"""What a sync did and how far each follower is: returned, and kept in Redis for pages and alarms.

`paperdesk:sync` is a hash of JSON by follower (duckdb, django, clickhouse, reconcile, relay, which is the SQL outbox,
and sweep, which is the records of other programs):
{"position": "1203", "lag": 0, "at_us": 1731…, "error": null, "since_us": null}; `lag` counts entries or rows that
wait, `at_us` is when the follower last was well, `since_us` since when it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec
from redis import Redis

from trading.stores import keys

MEGABYTE = 1_000_000
BACKLOG_ENTRIES = 50_000  # some 60 MB of Redis's memory; at most this many wait within a minute's trouble
BACKLOG = "outbox"  # beside the followers, while so many entries wait in Redis: `error` tells how many, and its memory
FOLLOWERS = ("relay", "sweep", "reconcile", "duckdb", "django", "clickhouse")


class FollowerState(msgspec.Struct, frozen=True):
    """How far one follower is, and what keeps it, if anything does."""

    position: str
    lag: int
    at_us: int | None = None
    error: str | None = None
    since_us: int | None = None


class SweepState(FollowerState, frozen=True):
    """The sweep, with its counts: `seen = accepted + set_aside`, contents of other programs' records, ever. `open` are
    dead letters of theirs that wait for somebody, `incomplete` hashes that another program may be about to complete."""

    seen: int = 0
    accepted: int = 0
    set_aside: int = 0
    open: int = 0
    incomplete: int = 0


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one sync did. `swept` counts records of other programs, `appended` log rows, `changed` rows by follower,
    `trimmed` stream entries, `rebuilt` records of Redis that were older than the log's rows (ruling 29)."""

    at_us: int
    duration_ms: float = 0.0
    epoch: str = ""
    epoch_began: bool = False
    relayed: int = 0
    swept: int = 0
    reconciled: int = 0
    appended: int = 0
    dead_letters: int = 0
    rebuilt: int = 0
    changed: dict[str, int] = {}
    trimmed: int = 0
    followers: dict[str, FollowerState] = {}

    @property
    def is_level(self) -> bool:
        """Whether every follower has everything and none is in trouble."""
        return all(state.lag == 0 and state.error is None for state in self.followers.values())

    @property
    def is_settled(self) -> bool:
        """Whether another turn would do nothing: whoever is not level is in trouble."""
        log_fails = self.followers["duckdb"].error is not None
        return all(log_fails or state.lag == 0 or state.error is not None for state in self.followers.values())

    def after(self, earlier: SyncReport) -> SyncReport:
        """This report with the work of an earlier one added."""
        names = self.changed.keys() | earlier.changed.keys()
        return msgspec.structs.replace(
            self,
            duration_ms=round(self.duration_ms + earlier.duration_ms, 3),
            epoch_began=self.epoch_began or earlier.epoch_began,
            relayed=self.relayed + earlier.relayed,
            swept=self.swept + earlier.swept,
            reconciled=self.reconciled + earlier.reconciled,
            appended=self.appended + earlier.appended,
            dead_letters=self.dead_letters + earlier.dead_letters,
            rebuilt=self.rebuilt + earlier.rebuilt,
            changed={name: self.changed.get(name, 0) + earlier.changed.get(name, 0) for name in sorted(names)},
            trimmed=self.trimmed + earlier.trimmed,
        )


def published(client: Redis) -> dict[str, FollowerState]:
    """The followers' states as they were last published."""
    found = cast("dict[bytes, bytes]", client.hgetall(keys.SYNC))
    return {
        name: msgspec.json.decode(found[name.encode()], type=FollowerState)
        for name in FOLLOWERS
        if name.encode() in found
    }


def publish(client: Redis, states: Mapping[str, FollowerState]) -> None:
    """Write the states into `paperdesk:sync`."""
    client.hset(keys.SYNC, mapping={name: msgspec.json.encode(state) for name, state in states.items()})


def backlog_of(client: Redis, states: Mapping[str, FollowerState]) -> str | None:
    """What to say of the entries that wait in Redis's memory; None while they are few."""
    behind = {name: states[name].lag for name in ("reconcile", "duckdb") if states[name].lag >= BACKLOG_ENTRIES}
    if not behind:
        return None
    memory = cast("dict[str, int]", client.info("memory"))
    limit = f" of {memory['maxmemory'] // MEGABYTE} MB" if memory["maxmemory"] else ""
    who = " and ".join(f"{name} has yet to take {lag}" for name, lag in behind.items())
    return (
        f"{client.xlen(keys.OUTBOX)} entries stand in Redis, none of which may be removed: {who} or more; "
        f"Redis uses {memory['used_memory'] // MEGABYTE} MB{limit}"
    )


def publish_backlog(client: Redis, states: Mapping[str, FollowerState], told_before: bool, at_us: int) -> bool:
    """Tell of the backlog, or no longer; whether there is one to tell of."""
    sentence = backlog_of(client, states)
    if sentence is None and told_before:
        client.hdel(keys.SYNC, BACKLOG)
    if sentence is not None:
        client.hset(keys.SYNC, BACKLOG, msgspec.json.encode(FollowerState("", 0, at_us, sentence, at_us)))
    return sentence is not None


def state_after(before: FollowerState | None, position: str, lag: int, error: str | None, at_us: int) -> FollowerState:
    """A follower's new state: with an error, `at_us` stays when it last was well and `since_us` when that ended."""
    if error is None:
        return FollowerState(position, lag, at_us)
    since_us = before.since_us if before and before.since_us else at_us
    return FollowerState(position, lag, before.at_us if before else None, error, since_us)
