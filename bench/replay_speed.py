"""The recorded six minutes through feed, engine and monitor, against bare decompressing and parsing of the lines.

The headline has its stores in memory; the same with Redis, and end to end with every store synced and verified, are
told beside it.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import orjson
import redis
from django.conf import settings

from bench.in_memory import CommandsInMemory, MarketInMemory, PortfolioInMemory
from bench.measure import Ratio, compare, ratio_of, seconds_of
from paperdesk.embedded import roster
from paperdesk.embedded.redis_server import running_redis
from paperdesk.tables import TABLES
from trading.config import load_desk
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.monitor import Monitor
from trading.engine.replay import Replay, Tally
from trading.market.replay import ReplayFeed
from trading.stores.command_store import CommandStore
from trading.stores.market_store import MarketStore
from trading.stores.monitor_store import MonitorStore
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore

CAPTURES = ("binance-usdm-btcusdt-20240808.gz", "binance-spot-btcusdt-20240808.gz")
BARE = "gunzip and orjson of the same lines"
LIMIT = 6.0


def run(turns: int) -> list[Ratio]:
    """Four ratios; none where the recordings are absent."""
    files = [settings.MARKET_DATA / name for name in CAPTURES]
    if not all(file.is_file() for file in files):
        print(f"replay: no recordings in {settings.MARKET_DATA}, not measured", file=sys.stderr)
        return []
    bare = (BARE, lambda: parse(files))
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as url:
        client = redis.Redis.from_url(url)
        require_same(in_memory(files), with_redis(client, files))
        aside = ("feed, engine, monitor; processor time", lambda: in_memory(files))
        feed = ("events in order; processor time", lambda: deque(ReplayFeed(files), maxlen=0))
        return [
            compare("replay, stores aside", aside, bare, turns, limit=LIMIT, clock=time.process_time),
            compare("replay, feed alone", feed, bare, turns, clock=time.process_time),
            compare("replay, with Redis", ("atomic steps included", lambda: with_redis(client, files)), bare, turns),
            end_to_end(files),
        ]


def parse(files: list[Path]) -> None:
    """The bare operation."""
    for file in files:
        with gzip.open(file, "rb") as lines:
            for line in lines:
                orjson.loads(line[line.index(b" ") + 1 :])


def in_memory(files: list[Path]) -> Tally:
    """One replay without any store."""
    desk, clock, tally = load_desk(defaults="replay"), EventClock(), Tally()
    market, commands = MarketInMemory(), CommandsInMemory()
    stores = {strategy.prefix: PortfolioInMemory() for strategy in desk.strategies}
    engine = Engine(desk, stores, market, commands, clock, listener=tally)
    Replay(engine, Monitor(desk, stores, market, commands, clock), clock).run(ReplayFeed(files))
    return tally


def with_redis(client: redis.Redis, files: list[Path]) -> Tally:
    """One replay on an emptied Redis."""
    client.flushall()
    desk, clock, outbox, tally = load_desk(defaults="replay"), EventClock(), Outbox(TABLES), Tally()
    market, commands = MarketStore(client), CommandStore(client)
    prefixes = [strategy.prefix for strategy in desk.strategies]
    stores = {prefix: PortfolioStore(client, prefix, outbox) for prefix in prefixes}
    engine = Engine(desk, stores, market, commands, clock, listener=tally)
    watched = {prefix: MonitorStore(client, prefix, outbox) for prefix in prefixes}
    Replay(engine, Monitor(desk, watched, market, commands, clock), clock).run(ReplayFeed(files))
    return tally


def require_same(one: Tally, other: Tally) -> None:
    """Both must have traded the same, or the comparison says nothing."""
    if vars(one) != vars(other):
        raise AssertionError(f"the replay in memory did {vars(one)}, the one with Redis {vars(other)}")


def end_to_end(files: list[Path]) -> Ratio:
    """`manage.py replay` once: its own count of trading, syncing every store and verifying them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(roster.MANAGE), "replay", *map(str, files), "--data", folder, "--json"]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    pair = (report["total_seconds"], seconds_of(lambda: parse(files)))
    return ratio_of("replay, end to end", "manage.py replay: trade, sync, verify", BARE, [pair])
