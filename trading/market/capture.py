"""One recorded file -> its events, in the order of its lines.

A line is `<receive time, ns since the epoch> <JSON message>`. The receive clock is only checked to be there: event
time rules. Which venue a file is: `venue=PATH` says it; else the name (`binance-usdm-btcusdt-...` is binanceusdm,
`binance-spot-btcusdt-...` is binance); else the first messages do (only the perpetual has `pu` and `X`).

An event may come late by at most `window_us` against the latest event time before it in the file; one that is
later still is counted and moved up to that bound, so that time never runs back behind it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trading.domain.events import MarketEvent
from trading.domain.instruments import Instrument
from trading.market.binance import (
    Parse,
    parse_of_stream,
    parse_snapshot,
    sort_message,
    venue_and_symbol_of,
)
from trading.market.capture_lines import CaptureLines
from trading.market.errors import CaptureError
from trading.market.lanes import Batch, Source

NO_EVENT_TIME = "message before any event time"
STREAM_MARK = b' {"stream":"'  # where a combined-stream message begins, after 19 digits of receive time
RECEIVE_DIGITS = 19
STREAM_START = RECEIVE_DIGITS + len(STREAM_MARK)
BODY_START = RECEIVE_DIGITS + 1
LEAP_US = 60_000_000  # only a leap in time is compared with the receive clock
CLOCKS_APART_US_MAX = 86_400_000_000
UNTIMED_MAX = 10_000
LINES_SNIFFED_MAX = 2_000
LINE_SHOWN_BYTES = 60

Route = tuple[str, Parse]  # the instrument, and who parses

_FILE_NAME = re.compile(r"^binance-(?P<market>spot|usdm)-(?P<symbol>[a-z0-9]+)\b")
_VENUE_OF_MARKET = {"spot": "binance", "usdm": "binanceusdm"}


class Capture:
    """A recorded file. Raises CaptureError if it cannot be opened or told.

    Counts of the pass that was begun last: `messages` (lines), `unknown` and `skipped` (by what they are), `late`.
    """

    def __init__(self, source: Source, window_us: int) -> None:
        self.lines = CaptureLines(source.path)
        self.instruments: list[Instrument] = []
        self._window_us = window_us
        self._begin()
        self.venue, self.symbol = self._identity(source)

    @property
    def path(self) -> Path:
        """The file."""
        return self.lines.path

    @property
    def venues(self) -> list[str]:
        """Its one venue."""
        return [self.venue]

    def batches(self) -> Iterator[Batch]:
        """Reads the file once. Raises CaptureError naming file and line for the first line that is unreadable."""
        self._begin()
        for lines in self.lines:
            yield Batch(self._events(lines), self._floor_us)
        if not self.messages:
            raise CaptureError(f"{self.path}: the file is empty")
        if self._untimed:
            self.skipped[NO_EVENT_TIME] += len(self._untimed)

    def _begin(self) -> None:
        self.messages = 0
        self.late = 0
        self.unknown: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._latest_us = 0
        self._floor_us = 1
        self._untimed: list[MarketEvent] = []
        self._routes: dict[bytes, Route] = {}  # by how the messages of a stream begin

    def _events(self, lines: list[bytes]) -> list[MarketEvent]:
        """The events of some lines. Every line of a replay comes by here, so the usual kind is told by one look-up."""
        events: list[MarketEvent] = []
        known, number = self._routes, self.lines.lines_read
        try:
            for line in lines:
                number += 1
                route, body = known.get(line[RECEIVE_DIGITS : line.find(b'"', STREAM_START)]), line[BODY_START:]
                if route is None or not line[:RECEIVE_DIGITS].isdigit():
                    route, body = self._sorted(line)
                    if route is None:
                        continue
                instrument, parse = route
                event = parse(body, instrument, self._latest_us)
                if isinstance(event, str):
                    self.skipped[event] += 1
                    continue
                event_us = event.event_us
                if event_us > self._latest_us:
                    if event_us - self._latest_us > LEAP_US:
                        _require_near(event_us, line)
                    self._latest_us, self._floor_us = event_us, max(event_us - self._window_us, 1)
                    if self._untimed:
                        events += self._timed(event_us)
                elif event_us < self._floor_us:
                    if not event_us:
                        self._wait(event)
                        continue
                    self.late += 1
                    event = msgspec.structs.replace(event, event_us=self._floor_us)
                events.append(event)
        except (msgspec.DecodeError, CaptureError) as error:
            raise CaptureError(f"{self.path}: line {number}: {error}") from None
        self.messages += len(lines) - lines.count(b"")
        return events

    def _sorted(self, line: bytes) -> tuple[Route | None, bytes]:
        """Who parses a line, and its message; nobody (and the kind is counted) if it is empty or not understood."""
        receive, space, body = line.partition(b" ")
        if not line:
            return None, b""
        if not space or not receive.isdigit():
            raise CaptureError(f"no receive time in nanoseconds before the message: {_shown(line)}")
        if line[RECEIVE_DIGITS:STREAM_START] == STREAM_MARK:
            return self._route(line[STREAM_START : line.find(b'"', STREAM_START)]), body
        message = sort_message(body)
        if isinstance(message, str):
            self.unknown[message] += 1
            return None, b""
        return self._route(message.stream.encode()), message.body

    def _route(self, stream: bytes) -> Route | None:
        """Who parses the messages of a stream (empty: a snapshot); None, and counted, if nobody does."""
        head = STREAM_MARK + stream
        if head not in self._routes:
            name = stream.decode(errors="replace")
            symbol, parse = parse_of_stream(name) if name else (self.symbol, parse_snapshot)
            if parse is None:
                self.unknown[f"stream {name}"] += 1
                return None
            if symbol is None:
                raise CaptureError("a depth snapshot without a symbol, in the file's name or in an earlier message")
            self._routes[head] = (f"{self.venue}:{symbol}", parse)
        return self._routes[head]

    def _timed(self, event_us: int) -> list[MarketEvent]:
        """The messages that waited for the first event time: they take it."""
        waiting, self._untimed = self._untimed, []
        return [msgspec.structs.replace(event, event_us=event_us) for event in waiting]

    def _wait(self, event: MarketEvent) -> None:
        """Keeps an event that has no time for the first time of the file."""
        if len(self._untimed) >= UNTIMED_MAX:
            raise CaptureError(f"{UNTIMED_MAX} messages and no event time among them")
        self._untimed.append(event)

    def _identity(self, source: Source) -> tuple[str, str | None]:
        """(venue, symbol of snapshots) by what is given, the file's name, and the first messages that tell."""
        path = source.path
        by_name = _FILE_NAME.match(path.name)
        symbol = source.symbol or (by_name["symbol"].upper() if by_name else None)
        venue = source.venue or (_VENUE_OF_MARKET[by_name["market"]] if by_name else None)
        for lines in self.lines:
            for line in lines:
                if venue and symbol:
                    return venue, symbol
                told = _told(line)
                venue, symbol = venue or told[0], symbol or told[1]
            if self.lines.lines_read > LINES_SNIFFED_MAX:
                break
        if venue is None:
            raise CaptureError(f"{path}: neither name nor content tells the venue; write VENUE={path}")
        return venue, symbol


def _require_near(event_us: int, line: bytes) -> None:
    """An event time that is far from the receive time is garbled; taken as it is, it would end the replay there."""
    received_us = int(line.partition(b" ")[0]) // 1_000
    if abs(event_us - received_us) > CLOCKS_APART_US_MAX:
        raise CaptureError(f"event time {event_us // 1_000} ms is more than a day off")


def _told(line: bytes) -> tuple[str | None, str | None]:
    """What a line tells of venue and symbol; nothing if it is unreadable, which reading will report."""
    try:
        return venue_and_symbol_of(line.partition(b" ")[2])
    except msgspec.DecodeError:
        return None, None


def _shown(line: bytes) -> str:
    """The beginning of a line, printable."""
    return repr(line[:LINE_SHOWN_BYTES].decode(errors="replace"))
