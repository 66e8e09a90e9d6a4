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
    Sorted,
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
        self._routes: dict[bytes, tuple[str, Parse]] = {}

    def _events(self, lines: list[bytes]) -> list[MarketEvent]:
        events: list[MarketEvent] = []
        for number, line in enumerate(lines, self.lines.lines_read + 1):
            try:
                event = self._parsed(line)
            except (msgspec.DecodeError, CaptureError) as error:
                raise CaptureError(f"{self.path}: line {number}: {error}") from None
            if event is None:
                continue
            event_us = event.event_us
            if event_us > self._latest_us:
                if event_us - self._latest_us > LEAP_US:
                    self._check_leap(event_us, line, number)
                self._advance(event_us, events)
            elif event_us < self._floor_us:
                event = self._moved_up(event)
                if event is None:
                    continue
            events.append(event)
        self.messages += len(lines) - lines.count(b"")
        return events

    def _check_leap(self, event_us: int, line: bytes, number: int) -> None:
        """An event time that is far from the receive time is garbled; taken as it is, it would end the replay there."""
        received_us = int(line.partition(b" ")[0]) // 1_000
        if abs(event_us - received_us) > CLOCKS_APART_US_MAX:
            raise CaptureError(f"{self.path}: line {number}: event time {event_us // 1_000} ms is more than a day off")

    def _parsed(self, line: bytes) -> MarketEvent | None:
        """The event of a line, None (and counted) if it is none."""
        if line[RECEIVE_DIGITS:STREAM_START] == STREAM_MARK and line[:RECEIVE_DIGITS].isdigit():
            stream, body = line[STREAM_START : line.find(b'"', STREAM_START)], line[BODY_START:]
        elif (message := self._sorted(line)) is not None:
            stream, body = message.stream.encode(), message.body
        else:
            return None
        route = self._routes.get(stream) or self._route(stream)
        if route is None:
            return None
        event = route[1](body, route[0], self._latest_us)
        if type(event) is str:
            self.skipped[event] += 1
            return None
        return event  # type: ignore[return-value]

    def _sorted(self, line: bytes) -> Sorted | None:
        """What a line is that does not begin like a combined stream's; None for an empty or unknown one."""
        receive, space, body = line.partition(b" ")
        if not line:
            return None
        if not space or not receive.isdigit():
            raise CaptureError(f"no receive time in nanoseconds before the message: {_shown(line)}")
        message = sort_message(body)
        if isinstance(message, str):
            self.unknown[message] += 1
            return None
        return message

    def _route(self, stream: bytes) -> tuple[str, Parse] | None:
        name = stream.decode(errors="replace")
        symbol, parse = parse_of_stream(name) if name else (self.symbol, parse_snapshot)
        if parse is None:
            self.unknown[f"stream {name}"] += 1
            return None
        if symbol is None:
            raise CaptureError("a depth snapshot without a symbol, in the file's name or in an earlier message")
        self._routes[stream] = (f"{self.venue}:{symbol}", parse)
        return self._routes[stream]

    def _advance(self, event_us: int, events: list[MarketEvent]) -> None:
        """A new latest event time. Messages that waited for the first one take it."""
        self._latest_us = event_us
        self._floor_us = max(event_us - self._window_us, 1)
        if self._untimed:
            events += (msgspec.structs.replace(event, event_us=event_us) for event in self._untimed)
            self._untimed.clear()

    def _moved_up(self, event: MarketEvent) -> MarketEvent | None:
        """The event at the earliest time that is still allowed; None if it has to wait for the first time."""
        if event.event_us:
            self.late += 1
            return msgspec.structs.replace(event, event_us=self._floor_us)
        if len(self._untimed) >= UNTIMED_MAX:
            raise CaptureError(f"{UNTIMED_MAX} messages and no event time among them")
        self._untimed.append(event)
        return None

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


def _told(line: bytes) -> tuple[str | None, str | None]:
    """What a line tells of venue and symbol; nothing if it is unreadable, which reading will report."""
    try:
        return venue_and_symbol_of(line.partition(b" ")[2])
    except msgspec.DecodeError:
        return None, None


def _shown(line: bytes) -> str:
    """The beginning of a line, printable."""
    return repr(line[:LINE_SHOWN_BYTES].decode(errors="replace"))
