"""The feeds of all engine shards as one."""

from __future__ import annotations

from trading.domain.shards import WHOLE, Shard
from trading.engine.feeds import Feeds, joined
from trading.stores.market_store import FeedStatus

NOW_US = 1_700_000_000_000_000
FIRST, SECOND = Shard(0, 2), Shard(1, 2)


def status(age_ms: int = 40, **changes: object) -> FeedStatus:
    """What a shard published 20 ms ago; the last message came `age_ms` ago."""
    fields = {"name": "synthetic", "at_us": NOW_US - 20_000, "instruments": 6, "rate_per_second": 150.2}
    return FeedStatus(**{**fields, "received_us": NOW_US - age_ms * 1_000, **changes})  # type: ignore[arg-type]


def test_before_the_first_publication_nothing_is_known() -> None:
    assert joined({}, NOW_US) == Feeds()
    assert Feeds().age_ms is None


def test_one_engine_is_shown_as_it_is() -> None:
    told = status(feed_troubles=["okx is away"], troubles={"strategy": "halted"})
    expected = Feeds("synthetic", 40, 150.2, {"strategy": "halted"}, ["okx is away"])
    assert joined({WHOLE: told}, NOW_US) == expected


def test_messages_are_summed_the_age_is_the_worst_and_troubles_are_joined() -> None:
    first = status(40, troubles={"strategy": "no lease", "other": "halted"}, feed_troubles=["okx is away", "eth gap"])
    second = status(1_700, troubles={"strategy": "moved", "other": "halted"}, feed_troubles=["okx is away"])
    assert joined({FIRST: first, SECOND: second}, NOW_US) == Feeds(
        "synthetic",
        1_700,
        300.4,
        {"strategy": "no lease; moved", "other": "halted"},
        ["okx is away", "eth gap"],
    )


def test_a_shard_that_died_or_never_began_is_named() -> None:
    found = joined({Shard(0, 3): status(), Shard(2, 3): status(9_400)}, NOW_US)
    assert found.age_ms == 9_400
    assert found.feed_troubles == [
        "engine shard 2/3 has been silent for 9 s",
        "engine shard 1/3 has not published anything yet",
    ]


def test_the_shards_of_a_division_that_is_over_are_forgotten() -> None:
    """It published more than an hour ago; the one of now may be larger or smaller."""
    old = status(4_000_000, at_us=NOW_US - 4_000_000_000, feed_troubles=["gone"])
    now = status()
    assert joined({WHOLE: old, Shard(2, 3): old, FIRST: now, SECOND: now}, NOW_US).feed_troubles == []
    assert joined({WHOLE: now, FIRST: old, SECOND: old}, NOW_US) == joined({WHOLE: now}, NOW_US)


def test_a_shard_without_symbols_is_as_old_as_what_it_said_last() -> None:
    """Its feed is none, and nothing will ever come."""
    idle = status(4_000_000, name="none", instruments=0, rate_per_second=0.0)
    assert joined({FIRST: idle, SECOND: status()}, NOW_US) == Feeds("synthetic", 40, 150.2, {}, [])
    dead = status(4_000_000, name="none", instruments=0, at_us=NOW_US - 7_000_000)
    assert joined({FIRST: dead, SECOND: status()}, NOW_US).feed_troubles == ["engine shard 0/2 has been silent for 7 s"]
