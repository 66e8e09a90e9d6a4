"""What a shard hears: nothing where it has no instruments, and of a file only its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading.config import load_desk
from trading.domain.shards import WHOLE, Shard
from trading.domain.strategy import Desk
from trading.engine.clock import SystemClock
from trading.management.commands.run_engine import shard_feed
from trading.market.part import NoFeed, PartFeed

DESK = load_desk(defaults="synthetic")
NONE = next(shard for shard in (Shard(i, 16) for i in range(16)) if not shard.part_of(DESK).instruments)


def heard(shard: Shard, feed: str, desk: Desk, polls: int = 20) -> set[str]:
    """The instruments of which events came up."""
    opened = shard_feed(feed, shard, shard.part_of(desk), SystemClock())
    found = {event.instrument for _ in range(polls) for event in opened.poll(0.1)}
    opened.close()
    return found


def test_a_shard_without_instruments_hears_nothing() -> None:
    assert heard(NONE, "synthetic", DESK, polls=2) == set()
    assert isinstance(shard_feed("ccxt:okx", NONE, NONE.part_of(DESK), SystemClock()), NoFeed)


@pytest.mark.parametrize("shard", [Shard(0, 2), Shard(1, 2)])
def test_the_made_up_market_of_a_shard_has_its_instruments_alone(shard: Shard) -> None:
    assert heard(shard, "synthetic", DESK) == {each.id for each in shard.part_of(DESK).instruments}


def test_a_shard_hears_only_its_own_of_a_file(recorded: list[Path]) -> None:
    """BTC falls to 1 of 2; of a feed that has other instruments only, nothing is left."""
    desk, file = load_desk(defaults="replay"), f"replay:{recorded[1]}"
    part = shard_feed(file, Shard(1, 2), Shard(1, 2).part_of(desk), SystemClock())
    assert isinstance(part, PartFeed)
    assert part.name == file and part.troubles == {}
    part.close()
    assert heard(WHOLE, file, desk) == {"binance:BTCUSDT"}
    part = PartFeed(shard_feed(file, WHOLE, desk, SystemClock()), ["okx:BTCUSDT"])
    assert [event for _ in range(20) for event in part.poll(0.1)] == []
    part.close()
