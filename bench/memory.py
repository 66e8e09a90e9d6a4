"""Memory of an engine over a long synthetic run: event time as fast as possible, a real Redis for its stores.

The run has a process of its own, so that nothing but the engine counts. What grew once (tables, caches, the allocator)
has grown after the first part of the run; the ratio is the last sixth's memory over that of the first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import takewhile
from pathlib import Path

import msgspec
import psutil
import redis

from bench.measure import Ratio, ratio_of
from paperdesk.embedded.redis_server import running_redis
from paperdesk.tables import TABLES
from trading.config import load_desk
from trading.domain.units import MICROSECONDS
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.monitor import Monitor
from trading.engine.replay import Replay
from trading.market.synthetic import SyntheticFeed
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.market_store import MarketStore
from trading.stores.monitor_store import MonitorStore
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore

MESSAGES_PER_SECOND = 1_000
ASKED_PER_SECOND = 1_200.0  # of the feed, which counts no silences: 1,000 and a little more come
PARTS = 6
START_US = 1_750_000_000 * MICROSECONDS
LIMIT = 1.1
MEGABYTE = 1_000_000


class Point(msgspec.Struct, frozen=True):
    """The engine's process at one point of the run: resident memory in MB."""

    simulated_seconds: int
    messages: int
    trades: int
    resident_mb: float


def run(minutes: int) -> list[Ratio]:
    """One ratio, after that many simulated minutes; the points on the way go to standard error."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as url:
        command = [sys.executable, "-m", "bench", "--memory-run", url, "--minutes", str(minutes)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    points = msgspec.json.decode(said, type=list[Point])
    for point in points:
        print(
            f"memory: {point.simulated_seconds // 60:3d} min, {point.messages:9,} messages, {point.trades:6,} trades, "
            f"{point.resident_mb:.1f} MB",
            file=sys.stderr,
        )
    pair = (points[-1].resident_mb, points[0].resident_mb)
    name = f"memory, {minutes} min at {MESSAGES_PER_SECOND:,} messages/s"
    return [ratio_of(name, "the engine at the end", f"after {minutes / PARTS:g} min", [pair], limit=LIMIT, unit="MB")]


def simulate(url: str, minutes: int) -> list[Point]:
    """The run itself, in this process."""
    client = redis.Redis.from_url(url)
    desk, clock, outbox = load_desk(defaults="synthetic"), EventClock(), Outbox(TABLES)
    market, commands = MarketStore(client), CommandStore(client)
    prefixes = [strategy.prefix for strategy in desk.strategies]
    engine = Engine(desk, {each: PortfolioStore(client, each, outbox) for each in prefixes}, market, commands, clock)
    monitor = Monitor(desk, {each: MonitorStore(client, each, outbox) for each in prefixes}, market, commands, clock)
    points: list[Point] = []

    def on_second(now_us: int) -> None:
        seconds = (now_us - START_US) // MICROSECONDS
        if seconds and seconds % (minutes * 60 // PARTS) == 0 and seconds < minutes * 60:
            client.xtrim(keys.OUTBOX, maxlen=10_000)  # as the sync does
            points.append(point_of(engine, seconds))

    end_us = START_US + minutes * 60 * MICROSECONDS
    feed = SyntheticFeed(desk, desk.seed, START_US, ASKED_PER_SECOND)
    Replay(engine, monitor, clock).run(takewhile(lambda event: event.event_us <= end_us, feed), on_second)
    return [*points, point_of(engine, minutes * 60)]


def point_of(engine: Engine, seconds: int) -> Point:
    """Where the run stands."""
    trades = sum(each.state.total_trades for each in engine.portfolios.values())
    resident = psutil.Process(os.getpid()).memory_info().rss
    return Point(seconds, engine.messages, trades, round(resident / MEGABYTE, 1))
