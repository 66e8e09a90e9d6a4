"""The versions that the durable stores had when Redis lost its history; what is written since lies above them.

    paperdesk:outbox:floors   {"paper_trade": 12, "trade_result": 5, ...}

A step whose rows were given versions by these floors compares them, so that one that was built before the loss was
noticed is built anew. Without a loss there are none, and versions begin with 1. Source: ruling 29.
"""

from __future__ import annotations

import msgspec
from redis import Redis

from trading.stores import keys
from trading.stores.connection import answering, raw_of
from trading.stores.step import Step


class Floors(msgspec.Struct, frozen=True):
    """The highest version of each table that may be taken already, and the string that says so."""

    raw: bytes | None = None
    versions: dict[str, int] = {}

    def above(self, table: str, version: int) -> int:
        """The version, or the first one that is free where it is not."""
        return max(version, self.versions.get(table, 0) + 1)

    def guard(self, step: Step) -> Step:
        """The step, to be written only while these are the floors."""
        return step.expect(keys.VERSION_FLOORS, self.raw)


NO_FLOORS = Floors()


def floors_of(client: Redis) -> Floors:
    """The floors as they are now. Raises RedisAway."""
    with answering(f"reading {keys.VERSION_FLOORS}"):
        raw = raw_of(client, keys.VERSION_FLOORS)
    return NO_FLOORS if raw is None else Floors(raw, msgspec.json.decode(raw, type=dict[str, int]))
