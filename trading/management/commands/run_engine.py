"""`manage.py run_engine`: the paper exchange and all portfolios on one market feed."""

import json
import re
import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from paperdesk.checks import refuse_unsafe_redis
from paperdesk.errors import PaperDeskError
from trading import wiring
from trading.config import load_desk
from trading.domain.strategy import Desk
from trading.engine.clock import SystemClock
from trading.engine.patience import Patience
from trading.engine.runner import Runner, Stores
from trading.management.feeds import defaults_of, kind_of
from trading.market.feed import Feed, open_feed
from trading.market.recorder import RecordingFeed, free_path

GRACE_US = {"ccxt": 250_000}  # the way from a real exchange; synthetic and replayed events come on time
SHARD = re.compile(r"^(\d+)/(\d+)$")


class Command(BaseCommand):
    help = "Run the engine: entries, fills, leg-outs, exits and funding of every portfolio, until it is stopped."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", metavar="DIR", help="data folder (PAPERDESK_DATA; default var/)")
        parser.add_argument("--feed", metavar="FEED", help="synthetic, replay:FILE,... or ccxt:EXCHANGE,...")
        parser.add_argument("--strategy", metavar="FILE", help="settings file; default: the shipped one of the feed")
        parser.add_argument("--shard", metavar="I/N", default="0/1", help="only every N-th portfolio, from the I-th on")
        parser.add_argument("--record", metavar="FILE", help="also record the feed; a file that exists gets a number")
        parser.add_argument("--json", action="store_true", help="print what was done as JSON at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        try:
            done = engine_runner(options, stopping).run()
        except PaperDeskError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(done, indent=2))


def engine_runner(options: dict[str, Any], stopping: threading.Event) -> Runner:
    """The engine that the options ask for, wired to this process's stores."""
    feed = options["feed"] or settings.PAPERDESK_FEED
    shard, record = options["shard"], options["record"]
    whole = load_desk(options["strategy"], defaults_of(feed))
    desk = shard_of(whole, shard)
    clock = SystemClock()

    def opened() -> Feed:
        live = open_feed(feed, desk, clock)
        return RecordingFeed(live, free_path(Path(record)), desk, clock) if record else live

    wiring.redis_client()
    refuse_unsafe_redis(settings.REDIS_URL)
    lease = wiring.lease(f"engine:{shard}")
    return Runner(
        desk=desk,
        open_feed=opened,
        stores=Stores(
            portfolio=lambda prefix: wiring.portfolio_store(prefix, lease),
            market=wiring.market_store(),
            command=wiring.command_store(),
        ),
        patience=Patience(lease, stopping),
        clock=clock,
        stopping=stopping,
        shard=shard,
        grace_us=GRACE_US.get(kind_of(feed), 0),
        publish_desk=lambda: wiring.desk_store().publish(whole),
    )


def shard_of(desk: Desk, shard: str) -> Desk:
    """The desk with the portfolios of one shard. Raises CommandError for a shard that is no part of a whole."""
    match = SHARD.match(shard)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    strategies = desk.strategies[index::count] if 0 <= index < count else ()
    if not strategies:
        count_all = len(desk.strategies)
        raise CommandError(f"shard {shard!r} has none of the {count_all} portfolios; it is I/N with I from 0 to N-1")
    return msgspec.structs.replace(desk, strategies=strategies)
