"""`manage.py record`: what a market feed delivers, written to a file that `manage.py replay` reads."""

import json
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from paperdesk.command import DeskCommand, progress
from paperdesk.errors import CommandFailed
from paperdesk.stopping import StopRequest
from trading.config import load_desk
from trading.domain.events import MarketEvent
from trading.engine.clock import SystemClock
from trading.management.feeds import defaults_of
from trading.market.feed import open_feed
from trading.market.recorder import RecordingFeed

POLL_SECONDS = 0.2
MICROSECONDS = 1_000_000


class Command(DeskCommand):
    help = "Record a market feed until it is stopped, or for some seconds. Needs no Redis; nothing is traded."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--feed", metavar="FEED", help="synthetic, replay:FILE,... or ccxt:EXCHANGE,...")
        parser.add_argument("--out", metavar="FILE", required=True, help="the new file, e.g. monday.events.gz")
        parser.add_argument("--seconds", type=positive, metavar="N", help="stop after N seconds (default: at Ctrl-C)")
        parser.add_argument("--strategy", metavar="FILE", help="settings file; default: the shipped one of the feed")
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = StopRequest().on_signals()
        spec, clock = options["feed"] or settings.PAPERDESK_FEED, SystemClock()
        desk = load_desk(options["strategy"], defaults_of(spec))
        feed = RecordingFeed(open_feed(spec, desk, clock), Path(options["out"]), desk, clock)
        try:
            with progress("recording", options["json"]) as say:
                counted = watch(feed, stopping, options["seconds"], clock, say)
        finally:
            feed.close()
        if feed.error is not None:
            raise feed.error
        self.tell(feed, counted, options["json"])

    def tell(self, feed: RecordingFeed, counted: Counter[str], as_json: bool) -> None:
        """Prints what was recorded; status 1 if that is nothing, or if something was wrong to the end."""
        path = feed.writer.path
        found = {
            "file": str(path),
            "feed": feed.name,
            "events": feed.writer.lines,
            "bytes": path.stat().st_size,
            "kinds": dict(sorted(counted.items())),
            "troubles": feed.troubles,
        }
        if as_json:
            self.stdout.write(json.dumps(found, indent=2))
        else:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counted.items())) or "nothing"
            self.stdout.write(f"{path}: {feed.writer.lines} events ({kinds}), {found['bytes']:,} bytes")
        if not feed.writer.lines or feed.troubles:
            raise CommandFailed("; ".join(feed.troubles.values()) or "the feed delivered nothing")


def watch(
    feed: RecordingFeed,
    stopping: threading.Event,
    seconds: float | None,
    clock: SystemClock,
    say: Callable[[str], None],
) -> Counter[str]:
    """Polls until it is told to stop, the time is over or the recording fails; counts the events by kind."""
    counted: Counter[str] = Counter()
    end_us = None if seconds is None else clock.now_us() + round(seconds * MICROSECONDS)
    while not stopping.is_set() and feed.error is None and (end_us is None or clock.now_us() < end_us):
        events: list[MarketEvent] = feed.poll(POLL_SECONDS)
        counted.update(type(event).__name__ for event in events)
        say(f"recording, {counted.total():,} events")
    return counted


def positive(text: str) -> float:
    """A number of seconds above zero."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return seconds
