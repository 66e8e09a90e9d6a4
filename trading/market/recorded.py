"""Reading a recording back: its events, in the order of its lines, which is that of their time.

A recording that was not closed (the process was killed, the disk was full) breaks off somewhere: what is whole is
read, and `skipped` says after which line it breaks off. Damage anywhere else is an error that names file and line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trading.domain.events import MarketEvent
from trading.domain.instruments import Instrument
from trading.market.capture_lines import CaptureLines
from trading.market.errors import CaptureError
from trading.market.lanes import Batch
from trading.market.recording import FORMAT, HEADER_MARK, End, Header, decode_header, decode_line, event_of


class Recording:
    """A recorded file. Raises CaptureError if its header cannot be read. Counts are those of the pass begun last."""

    def __init__(self, path: Path) -> None:
        self.lines = CaptureLines(path, may_break_off=True)
        self.header = self._header()
        self.messages = self.late = 0
        self.unknown: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._ended = False
        self._latest_us = 0
        self._ids = [instrument.id for instrument in self.instruments]

    @property
    def path(self) -> Path:
        """The file."""
        return self.lines.path

    @property
    def instruments(self) -> list[Instrument]:
        """The settings of the instruments that were recorded."""
        return self.header.instruments

    @property
    def venues(self) -> list[str]:
        """The venues of those instruments."""
        return list(dict.fromkeys(instrument.venue for instrument in self.instruments))

    def batches(self) -> Iterator[Batch]:
        """Reads the file once. Raises CaptureError naming file and line for the first line that is unreadable."""
        self.messages = 0
        self.skipped.clear()
        self._ended, self._latest_us = False, 0
        for lines in self.lines:
            yield Batch(self._events(lines), max(self._latest_us, 1))
        if not self._ended:
            self.skipped[f"{self.path} was not closed; what came after line {self.messages + 1} is lost"] += 1

    def _events(self, lines: list[bytes]) -> list[MarketEvent]:
        events: list[MarketEvent] = []
        for number, line in enumerate(lines, self.lines.lines_read + 1):
            if number == 1:
                continue
            try:
                event = self._event(line)
            except msgspec.DecodeError as error:
                raise self._error(number, str(error)) from None
            except IndexError:
                raise self._error(number, "its instrument is not in the header") from None
            except CaptureError as error:
                raise self._error(number, str(error)) from None
            if event is not None:
                events.append(event)
        return events

    def _event(self, line: bytes) -> MarketEvent | None:
        """The event of a line; None for the last line."""
        if self._ended:
            raise CaptureError("there is a line after the end of the recording")
        decoded: Any = decode_line(line)
        if type(decoded) is End:
            if decoded.lines != self.messages:
                raise CaptureError(f"it ends with {decoded.lines} lines, {self.messages} were read")
            self._ended = True
            return None
        if decoded.event_us < self._latest_us:
            raise CaptureError(f"its time {decoded.event_us} is before {self._latest_us}, that of the line before")
        self._latest_us = decoded.event_us
        self.messages += 1
        return event_of(decoded, self._ids)

    def _header(self) -> Header:
        first = next((line for lines in self.lines for line in lines), b"")
        try:
            header = decode_header(first)
        except msgspec.DecodeError as error:
            raise self._error(1, f"not the header of a recording ({error})") from None
        if header.recording != FORMAT:
            raise self._error(1, f"recording format {header.recording} is unknown, known is {FORMAT}")
        return header

    def _error(self, number: int, what: str) -> CaptureError:
        return CaptureError(f"{self.path}: line {number}: {what}")


def is_recording(first_line: bytes) -> bool:
    """Whether a file that begins with this line is a recording."""
    return first_line.startswith(HEADER_MARK)
