"""`manage.py run_engine`: the paper exchange and all portfolios on one market feed, or a shard's part of it."""

import json
import threading
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError

from paperdesk.checks import fsync_sentence, refuse_unsafe_redis
from paperdesk.command import DeskCommand
from paperdesk.stopping import StopRequest
from trading import wiring
from trading.config import load_desk
from trading.domain.errors import ConfigurationError
from trading.domain.shards import Shard, shard_of
from trading.domain.strategy import Desk
from trading.engine.clock import SystemClock
from trading.engine.patience import Patience
from trading.engine.pick_up import PickUp, fixed
from trading.engine.runner import Runner, Stores
from trading.management.feeds import defaults_of, kind_of
from trading.market.errors import MarketError
from trading.market.feed import Feed, open_feed
from trading.market.part import NoFeed, PartFeed
from trading.market.recorder import RecordingFeed, free_path
from trading.settings_service import settings_seed
from trading.settings_watch import SettingsWatch
from trading.stores.desk_store import InForce, VersionedDesk

logger = structlog.get_logger(__name__)

GRACE_US = {"ccxt": 250_000}  # the way from a real exchange; synthetic and replayed events come on time


class Command(DeskCommand):
    help = "Run the engine: entries, fills, leg-outs, exits and funding of every portfolio, until it is stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--feed", metavar="FEED", help="synthetic, replay:FILE,... or ccxt:EXCHANGE,...")
        parser.add_argument("--strategy", metavar="FILE", help="settings of a file, not those of the database")
        parser.add_argument("--shard", metavar="I/N", default="0/1", help="only the I-th of N parts of the symbols")
        parser.add_argument("--record", metavar="FILE", help="also record the feed; a file that exists gets a number")
        parser.add_argument("--json", action="store_true", help="print what was done as JSON at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = StopRequest().on_signals()
        try:
            done = engine_runner(options, stopping).run()
        finally:
            stopping.set()
        if options["json"]:
            self.stdout.write(json.dumps(done, indent=2))


def engine_runner(options: dict[str, Any], stopping: threading.Event) -> Runner:
    """The engine that the options ask for, wired to this process's stores."""
    feed = options["feed"] or settings.PAPERDESK_FEED
    shard, record = shard_of(options["shard"]), options["record"]
    wiring.redis_client()
    refuse_unsafe_redis(settings.REDIS_URL)
    logger.info("redis", fsync=fsync_sentence(settings.REDIS_URL))
    clock = SystemClock()
    picked_up = PickUp(
        newest_settings(options["strategy"], feed, stopping),
        part=shard.part_of,
        publish=lambda whole, in_force: publish(shard, whole, in_force),
    )

    def opened() -> Feed:
        try:
            live = shard_feed(feed, shard, picked_up.feed_desk, clock)
        except MarketError as error:
            raise MarketError(f"{error}{hint(feed, picked_up.in_force)}") from None
        return RecordingFeed(live, free_path(Path(record)), picked_up.feed_desk, clock) if record else live

    lease = wiring.engine_lease(shard)
    return Runner(
        settings=picked_up,
        open_feed=opened,
        stores=Stores(
            portfolio=lambda prefix: wiring.portfolio_store(prefix, lease, shard),
            market=wiring.market_store(),
            command=wiring.command_store(),
        ),
        patience=Patience(lease, stopping),
        clock=clock,
        stopping=stopping,
        shard=shard,
        grace_us=GRACE_US.get(kind_of(feed), 0),
    )


def newest_settings(file: str | None, feed: str, stopping: threading.Event) -> Callable[[], VersionedDesk]:
    """The settings as they are wanted from now on: those of a file, or of the database, which gets the shipped ones
    of the feed's kind if it has none.

    Raises ConfigurationError for settings that are not allowed, and for a database that cannot be read.
    """
    if file:
        return fixed(load_desk(file), file)
    try:
        settings_seed(defaults_of(feed), SystemClock().now_us())
        watch = SettingsWatch(stopping)
    except DatabaseError as error:
        sentence = f"the settings in the database cannot be read ({error}); manage.py migrate makes its tables"
        raise ConfigurationError(sentence) from None
    watch.start()
    return watch.newest


def shard_feed(feed: str, shard: Shard, part: Desk, clock: SystemClock) -> Feed:
    """The feed of a shard's instruments. Raises MarketError."""
    if not part.instruments:
        return NoFeed()
    live = open_feed(feed, part, clock)
    holds_others = kind_of(feed) == "replay" and not shard.is_whole
    return PartFeed(live, [each.id for each in part.instruments]) if holds_others else live


def publish(shard: Shard, whole: Desk, in_force: InForce) -> None:
    """Tells the monitor by which settings to decide, and people which are in force."""
    wiring.desk_store().publish(whole)
    wiring.desk_store().publish_in_force(str(shard), in_force)


def hint(feed: str, in_force: InForce) -> str:
    """What to do when a feed does not go with the settings of the database."""
    advice = f"load the shipped ones of this feed with: manage.py settings import --defaults {defaults_of(feed)}"
    return "" if in_force.source else f" (the settings are those of the database; {advice})"
