"""What was recorded of a feed replays to the same outcome: the same transitions, row for row."""

from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

import redis

from paperdesk.tables import TABLES
from trading.config import load_desk
from trading.domain.events import MarketEvent
from trading.domain.strategy import Desk
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.monitor import Monitor
from trading.engine.replay import Replay, Tally
from trading.market.paced import PacedFeed
from trading.market.recorder import RecordingFeed
from trading.market.recording import RecordingWriter
from trading.market.replay import ReplayFeed
from trading.market.synthetic import SyntheticFeed
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.market_store import MarketStore
from trading.stores.monitor_store import MonitorStore
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore

NOW_US = 1_800_000_000_000_000
SYNTHETIC_SECONDS = 60


def outcome(client: redis.Redis, desk: Desk, events: Iterable[MarketEvent]) -> tuple[Tally, list[Any]]:
    """What a replay did, and every row that it sent to the durable stores, in order."""
    client.flushall()
    clock, outbox, tally = EventClock(), Outbox(TABLES), Tally()
    market, commands = MarketStore(client), CommandStore(client)
    prefixes = [strategy.prefix for strategy in desk.strategies]
    stores = {prefix: PortfolioStore(client, prefix, outbox) for prefix in prefixes}
    engine = Engine(desk, stores, market, commands, clock, listener=tally)
    watched = {prefix: MonitorStore(client, prefix, outbox) for prefix in prefixes}
    Replay(engine, Monitor(desk, watched, market, commands, clock), clock).run(events)
    entries: Any = client.xrange(keys.OUTBOX)
    return tally, [fields for _, fields in entries]


def test_the_synthetic_feed_and_its_recording_have_the_same_outcome(redis_client: redis.Redis, tmp_path: Path) -> None:
    desk = load_desk()
    end_us = NOW_US + SYNTHETIC_SECONDS * 1_000_000
    events = list(takewhile(lambda event: event.event_us < end_us, SyntheticFeed(desk, 3, NOW_US)))
    writer = RecordingWriter(tmp_path / "synthetic.gz", "synthetic", desk.instruments, NOW_US)
    for first in range(0, len(events), 100):
        writer.write(events[first : first + 100], events[first].event_us)
    writer.close()
    direct, rows = outcome(redis_client, desk, events)
    again, rows_again = outcome(redis_client, desk, ReplayFeed([tmp_path / "synthetic.gz"]))
    assert direct.opened > 5
    assert vars(again) == vars(direct)
    assert rows_again == rows


class FastClock:
    """A clock that waiting moves, so that a paced feed runs at full speed."""

    def __init__(self) -> None:
        self.us = NOW_US

    def now_us(self) -> int:
        return self.us

    def wait(self, seconds: float) -> None:
        self.us += max(1, round(seconds * 1_000_000))


def test_a_paced_replay_and_its_recording_have_the_same_outcome(
    redis_client: redis.Redis, tmp_path: Path, recorded: list[Path]
) -> None:
    """Three minutes of the recorded traffic, with its times moved to the clock's as a desk would see it."""
    desk, clock = load_desk(defaults="replay"), FastClock()
    paced = PacedFeed("replay", ReplayFeed(recorded), clock)
    paced._wait = clock.wait
    feed = RecordingFeed(paced, tmp_path / "paced.gz", desk, clock)
    delivered: list[MarketEvent] = []
    while clock.us < NOW_US + 180_000_000:
        delivered += feed.poll(0.5)
    feed.close()
    direct, rows = outcome(redis_client, desk, delivered)
    again, rows_again = outcome(redis_client, desk, ReplayFeed([tmp_path / "paced.gz"]))
    assert len(delivered) > 50_000
    assert direct.opened > 3
    assert vars(again) == vars(direct)
    assert rows_again == rows
