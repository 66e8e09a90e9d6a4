"""Recorded files -> one stream of events in event-time order, the same one every time.

A file is a Binance capture (`capture`, which holds no funding), a recording of ours (`recorded`) or a CSV file of
Tardis or Binance (`csv_capture`). Each is read in chunks and put in order within a bounded window; the files are merged
as far as all of them are known. Order: event time, then the order in which the files were named, then the line.
Nobody's receive clock counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from trading.domain.events import MarketEvent
from trading.domain.instruments import Instrument
from trading.domain.strategy import Desk
from trading.market.binance import NOT_A_MARKET_PRINT
from trading.market.capture import Capture
from trading.market.capture_lines import CaptureLines
from trading.market.csv_capture import CsvCapture, is_csv
from trading.market.errors import CaptureError, MarketError
from trading.market.lanes import Batch, RecordedFile, Source
from trading.market.recorded import Recording, is_recording

REORDER_WINDOW_US = 1_000_000  # the recorded files are out of order by 66 ms at most
_EVENT_US = attrgetter("event_us")
_END_US = 1 << 62
MARKET_FIELDS = ("contract_type", "base_asset", "quote_asset", "tick_size", "lot_step")


class _Lane:
    """What was read of one file and is not yielded yet, in order."""

    def __init__(self, capture: RecordedFile) -> None:
        self.events: list[MarketEvent] = []
        self.floor_us = 0
        self._batches = capture.batches()

    def read(self) -> None:
        batch = next(self._batches, Batch([], _END_US))
        self.events += batch.events
        self.events.sort(key=_EVENT_US)  # stable: lines of one time stay in order
        self.floor_us = batch.floor_us

    def take_before(self, bound_us: int) -> list[MarketEvent]:
        cut = bisect_left(self.events, bound_us, key=_EVENT_US)
        taken = self.events[:cut]
        del self.events[:cut]
        return taken


class ReplayFeed:
    """Iterates the events of recorded files; each iteration is a new pass from the beginning.

    `paths` are PATH or what `Source` knows besides. Raises CaptureError when a file cannot be opened or told, and
    while iterating for a line that cannot be read. The counts are those of the current pass.
    """

    def __init__(self, paths: Sequence[str | Path], window_us: int = REORDER_WINDOW_US) -> None:
        if not paths:
            raise CaptureError("a replay needs at least one recorded file")
        self.captures = [open_recorded(Source.of(path), window_us) for path in paths]

    def __iter__(self) -> Iterator[MarketEvent]:
        lanes = [_Lane(capture) for capture in self.captures]
        bound_us = 0
        while bound_us < _END_US:
            min(lanes, key=lambda lane: lane.floor_us).read()
            bound_us = min(lane.floor_us for lane in lanes)
            ready = [event for lane in lanes for event in lane.take_before(bound_us)]
            ready.sort(key=_EVENT_US)  # stable: files of one time stay in order
            yield from ready

    def require_known(self, desk: Desk) -> None:
        """Raises MarketError for a file of a venue that the settings do not declare, and for an instrument that was
        recorded with other settings than the desk has: its fills would be those of another market."""
        declared = [venue.name for venue in desk.venues]
        for capture in self.captures:
            for venue in capture.venues:
                if venue not in declared:
                    raise MarketError(
                        f"{capture.path} holds venue {venue!r}, the settings declare {', '.join(declared)}"
                    )
            for recorded in capture.instruments:
                known = desk.instrument(recorded.id)
                if known is not None:
                    _require_same(capture.path, recorded, known)

    @property
    def messages(self) -> int:
        """Lines read, whether they became events or not."""
        return sum(capture.messages for capture in self.captures)

    @property
    def unknown(self) -> Counter[str]:
        """How many messages of each kind that is not understood."""
        return sum((capture.unknown for capture in self.captures), Counter())

    @property
    def skipped(self) -> Counter[str]:
        """How many messages were understood and are no event, by the reason in words."""
        return sum((capture.skipped for capture in self.captures), Counter())

    @property
    def prints_ignored(self) -> int:
        """Prints that are no ordinary ones (not `X: MARKET`)."""
        return self.skipped[NOT_A_MARKET_PRINT]

    @property
    def late(self) -> int:
        """Events that came later than the window allows and were moved up in time."""
        return sum(capture.late for capture in self.captures)

    @property
    def bytes_read(self) -> int:
        """Bytes read of the files as they lie on the disk, for a progress bar."""
        return sum(capture.lines.bytes_read for capture in self.captures)

    @property
    def bytes_total(self) -> int:
        """Bytes that the files have on the disk."""
        return sum(capture.lines.bytes_total for capture in self.captures)


def _require_same(path: Path, recorded: Instrument, known: Instrument) -> None:
    for field in MARKET_FIELDS:
        was, is_ = getattr(recorded, field), getattr(known, field)
        if was != is_:
            raise MarketError(f"{path}: {known.id} was recorded with {field} {was}, the settings say {is_}")


def open_recorded(source: Source, window_us: int = REORDER_WINDOW_US) -> RecordedFile:
    """The file, by what its first line says that it is. Raises CaptureError if it cannot be opened or told."""
    first = next((line for lines in CaptureLines(source.path, may_break_off=True) for line in lines), b"")
    if is_recording(first):
        if source.venue:
            raise CaptureError(f"{source.path} is a recording: it names its own venues, {source.venue!r} is not needed")
        return Recording(source.path)
    if is_csv(first):
        return CsvCapture(source, window_us)
    return Capture(source, window_us)
