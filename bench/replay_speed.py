"""The recorded six minutes through feed, engine and monitor, against bare decompressing and parsing of the lines."""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections import deque
from pathlib import Path

import orjson
import redis
from django.conf import settings

from bench.measure import Ratio, compare
from paperdesk.embedded.redis_server import running_redis
from paperdesk.tables import TABLES
from trading.config import load_desk
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.monitor import Monitor
from trading.engine.replay import Replay
from trading.market.replay import ReplayFeed
from trading.stores.command_store import CommandStore
from trading.stores.market_store import MarketStore
from trading.stores.monitor_store import MonitorStore
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore

CAPTURES = ("binance-usdm-btcusdt-20240808.gz", "binance-spot-btcusdt-20240808.gz")


def run(turns: int) -> list[Ratio]:
    """Two ratios: the feed alone, and the whole replay with its Redis; none where the recordings are absent."""
    files = [settings.MARKET_DATA / name for name in CAPTURES]
    if not all(file.is_file() for file in files):
        print(f"replay: no recordings in {settings.MARKET_DATA}, not measured", file=sys.stderr)
        return []
    bare = ("gunzip and orjson of the same lines", lambda: parse(files))
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as url:
        client = redis.Redis.from_url(url)
        return [
            compare("feed", ("events in order", lambda: deque(ReplayFeed(files), maxlen=0)), bare, turns),
            compare("replay", ("feed, engine, monitor", lambda: replay(client, files)), bare, turns),
        ]


def parse(files: list[Path]) -> None:
    """The bare operation."""
    for file in files:
        with gzip.open(file, "rb") as lines:
            for line in lines:
                orjson.loads(line[line.index(b" ") + 1 :])


def replay(client: redis.Redis, files: list[Path]) -> Engine:
    """One replay on an emptied Redis."""
    client.flushall()
    desk, clock, outbox = load_desk(defaults="replay"), EventClock(), Outbox(TABLES)
    market, commands = MarketStore(client), CommandStore(client)
    prefixes = [strategy.prefix for strategy in desk.strategies]
    stores = {prefix: PortfolioStore(client, prefix, outbox) for prefix in prefixes}
    engine = Engine(desk, stores, market, commands, clock)
    watched = {prefix: MonitorStore(client, prefix, outbox) for prefix in prefixes}
    Replay(engine, Monitor(desk, watched, market, commands, clock), clock).run(ReplayFeed(files))
    return engine
