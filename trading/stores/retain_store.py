"""What the retention of result hashes reads and writes in Redis. Source: ruling 28.

    paperdesk:hot:result, paperdesk:hot:result_metrics, paperdesk:hot:reconciliation
        sorted sets: key of a hash -> when the sweep last found its content new, or when to look at it again; us

The sweep writes them in the step that deals with a content. The oldest are read by their time, so a look costs the
same however many hashes are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from redis import Redis

from results.domain.readable import readable
from trading.stores import keys
from trading.stores.scripts import script_text

HASHES_PER_READ = 500
FATES_PER_CALL = 100  # scripts of some 30 us, which the engine's steps wait for
REMOVED, LATER, MOVED, HELD = "removed", "later", "moved", "held"


class HotHash(msgspec.Struct, frozen=True):
    """A hash as it was read: its time in the index, and all its fields and values (none: it is gone)."""

    key: bytes
    time_us: int
    fields: dict[bytes, bytes]

    @property
    def name(self) -> str:
        """The key for people."""
        return readable(self.key)


class Fate(msgspec.Struct, frozen=True):
    """What is to become of a hash: to be removed, or (`again_us`) to be looked at again when that time is old."""

    hot: HotHash
    again_us: int | None = None


class RetainStore:
    """Retention's side of one Redis, which answers bytes. All methods raise redis.RedisError."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._settle = client.register_script(script_text("retain"))

    def counts(self, beginnings: Sequence[str]) -> dict[str, int]:
        """How many hashes there are, by the beginning of their keys."""
        pipeline = self._client.pipeline(transaction=False)
        for beginning in beginnings:
            pipeline.zcard(keys.hot_index(beginning))
        return dict(zip(beginnings, pipeline.execute(), strict=True))

    def oldest(self, beginning: str, until_us: int, over: int, limit: int) -> list[HotHash]:
        """At most `limit` hashes: the `over` oldest, or those whose time is not after `until_us` if they are more."""
        index = keys.hot_index(beginning)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.zrange(index, "-inf", until_us, byscore=True, offset=0, num=limit, withscores=True)
        pipeline.zrange(index, 0, max(0, min(over, limit) - 1), withscores=True)
        aged, oldest = cast("list[list[tuple[bytes, float]]]", pipeline.execute())
        timed = max(aged, oldest[: max(0, over)], key=len)  # both begin with the oldest
        fields: list[dict[bytes, bytes]] = []
        for start in range(0, len(timed), HASHES_PER_READ):
            for name, _ in timed[start : start + HASHES_PER_READ]:
                pipeline.hgetall(name)
            fields += pipeline.execute()
        return [HotHash(name, int(time_us), each) for (name, time_us), each in zip(timed, fields, strict=True)]

    def settle(self, fates: Sequence[Fate]) -> list[str]:
        """Remove, or put off; "removed", "later", "moved" or "held" for each."""
        return [
            answer
            for at in range(0, len(fates), FATES_PER_CALL)
            for answer in self._some(fates[at : at + FATES_PER_CALL])
        ]

    def _some(self, fates: Sequence[Fate]) -> list[str]:
        pipeline = self._client.pipeline(transaction=False)
        for fate in fates:
            hot = fate.hot
            names: list[Any] = [keys.SWEPT, keys.SET_ASIDE, keys.hot_index(hot.name)]
            names += [keys.lease(keys.BACKUP_LEASE), hot.key]
            parts = [part for pair in hot.fields.items() for part in pair]
            told = [hot.key, hot.time_us, "" if fate.again_us is None else fate.again_us]
            self._settle(keys=names, args=cast(Any, [*told, *parts]), client=pipeline)
        return [answer.decode() for answer in pipeline.execute()]
