"""`manage.py import_capture`: recorded files of any kind -> one recording of ours, in event-time order."""

import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from paperdesk.command import DeskCommand, progress
from trading.config import load_desk
from trading.domain.errors import TradingError
from trading.domain.events import MarketEvent
from trading.domain.instruments import Instrument
from trading.market.recording import RecordingWriter
from trading.market.replay import ReplayFeed

EVENTS_AT_ONCE = 5_000


class Command(DeskCommand):
    help = "Convert CSV files of Tardis or Binance, captures and recordings into one recording."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "files", nargs="+", metavar="FILE", help="PATH, venue=PATH, venue:SYMBOL=PATH or venue:SYMBOL*SIZE=PATH"
        )
        parser.add_argument("--out", metavar="FILE", required=True, help="the new recording")
        parser.add_argument("--strategy", metavar="FILE", help="settings with the instruments (default: shipped)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        out = Path(options["out"])
        feed = ReplayFeed(options["files"])
        venues = {venue for capture in feed.captures for venue in capture.venues}
        declared = [known for known in instruments_of(options["strategy"]) if known.venue in venues]
        with progress("converting", options["json"]) as say:

            def tell(events: int) -> None:
                say(f"converting, {events:,} events, {feed.bytes_read / max(1, feed.bytes_total):.0%}")

            counted = convert(feed, out, declared, tell)
        notes = {**feed.skipped, **feed.unknown, **({"events moved up in time": feed.late} if feed.late else {})}
        found = {"file": str(out), "rows": feed.messages, "events": counted.total(), "kinds": dict(counted)}
        if options["json"]:
            self.stdout.write(json.dumps({**found, "bytes": out.stat().st_size, "notes": notes}, indent=2))
            return
        self.stdout.write(f"{out}: {counted.total()} events of {feed.messages} rows, {out.stat().st_size:,} bytes")
        for what, count in notes.items():
            self.stdout.write(f"note: {count} x {what}")


def instruments_of(strategy: str | None) -> list[Instrument]:
    """The instruments that settings declare; without any, those of all shipped settings for real venues."""
    if strategy is not None:
        return list(load_desk(strategy).instruments)
    shipped = [*load_desk(defaults="live").instruments, *load_desk(defaults="replay").instruments]
    return list({known.id: known for known in shipped}.values())


def convert(
    feed: Iterable[MarketEvent], out: Path, declared: list[Instrument], say: Callable[[int], None] = lambda _: None
) -> Counter[str]:
    """Writes a new recording, and removes it again when it fails. Returns how many events of each kind it has, and
    says on the way how many there are.

    Raises CaptureError for what cannot be read, TradingError for an instrument that is not declared, RecordingError.
    """
    events = iter(feed)
    known = {instrument.id for instrument in declared}
    counted: Counter[str] = Counter()
    first = next(events, None)
    writer = RecordingWriter(out, "import", declared, first.event_us if first else 0)
    try:
        some = [first] if first else []
        while some:
            for event in some:
                if event.instrument not in known:
                    raise TradingError(f"{event.instrument} is not declared; --strategy FILE must be settings with it")
                counted[type(event).__name__] += 1
            writer.write(some, some[-1].event_us)
            say(counted.total())
            some = list(islice(events, EVENTS_AT_ONCE))
        writer.close()
    except BaseException:
        out.unlink(missing_ok=True)
        raise
    return counted
