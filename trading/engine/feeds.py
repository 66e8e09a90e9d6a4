"""How the feeds of all engine shards do, as one: what the live page and its alarms read.

The shards are those of the division that has published last: one that ended when the desk was divided otherwise is
forgotten, one that died or never began is told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from trading.domain.shards import Shard
from trading.engine.alarms import FEED_SILENT_SECONDS, age_ms
from trading.stores.market_store import FeedStatus


class Feeds(msgspec.Struct, frozen=True):
    """The feeds together: messages are summed, `age_ms` is the worst (None before the first publication), `troubles`
    are sentences by portfolio, `feed_troubles` sentences."""

    name: str = ""
    age_ms: int | None = None
    messages_per_second: float = 0.0
    troubles: dict[str, str] = {}
    feed_troubles: list[str] = []


def joined(statuses: Mapping[Shard, FeedStatus], now_us: int) -> Feeds:
    """What the shards have published as one."""
    if not statuses:
        return Feeds()
    count = max(statuses, key=lambda shard: statuses[shard].at_us).count
    shards = [Shard(index, count) for index in range(count)]
    found = {shard: statuses[shard] for shard in shards if shard in statuses}
    ages = {shard: age_of(status, now_us) for shard, status in found.items()}
    sentences = [] if len(shards) == 1 else [*_silent(ages), *_missing(shards, found)]
    sentences += [sentence for status in found.values() for sentence in status.feed_troubles]
    prefixes = sorted({prefix for status in found.values() for prefix in status.troubles})
    return Feeds(
        name=_listed(", ", (status.name for status in found.values() if status.instruments)),
        age_ms=max(ages.values()),
        messages_per_second=round(sum(status.rate_per_second for status in found.values()), 1),
        troubles={prefix: _told_of(prefix, found.values()) for prefix in prefixes},
        feed_troubles=list(dict.fromkeys(sentences)),
    )


def age_of(status: FeedStatus, now_us: int) -> int:
    """Milliseconds since something came; of a shard without instruments, since it said so."""
    return age_ms(now_us, status.received_us if status.instruments else status.at_us) or 0


def _silent(ages: Mapping[Shard, int]) -> list[str]:
    seconds = {shard: age // 1_000 for shard, age in ages.items()}
    return [f"engine shard {each} has been silent for {s} s" for each, s in seconds.items() if s >= FEED_SILENT_SECONDS]


def _missing(shards: Iterable[Shard], found: Mapping[Shard, FeedStatus]) -> list[str]:
    return [f"engine shard {shard} has not published anything yet" for shard in shards if shard not in found]


def _told_of(prefix: str, statuses: Iterable[FeedStatus]) -> str:
    return _listed("; ", (status.troubles[prefix] for status in statuses if prefix in status.troubles))


def _listed(between: str, texts: Iterable[str]) -> str:
    return between.join(dict.fromkeys(texts))
