"""Recordings: market events as a feed delivered them, line by line, in one compressed file.

The file is gzip text. Its first line is a header, a JSON object:

    {"recording":1,"made_by":"PaperDesk ...","feed":"ccxt:bybit","started_us":...,"instruments":[{...}, ...]}

Each further line is one event, a JSON array of kind, instrument (its place in the header's list), event time in
microseconds, and the event's other fields in the order of `trading.domain.events`; prices and quantities stay text:

    ["t",0,us,bid,bid_quantity,ask,ask_quantity]          top of book
    ["s",0,us,bids,asks,last_id]                           snapshot, levels are [price, quantity]
    ["d",0,us,bids,asks,first_id,last_id,previous_id]      diff
    ["p",0,us,print_id,price,quantity,aggressor]           print
    ["f",0,us,rate,interval_hours,mark_price,next_settlement_us]
    ["g",0,us,reason]                                      gap
    ["end",lines]                                          the last line, once the recording was closed

Invariants: event time never goes back from line to line; lines are only ever appended; every FLUSH_US all that was
written can be read back, whatever becomes of the process; a gzip member (with its checksum) ends every MEMBER_BYTES.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from trading.domain.events import (
    BookDiff,
    BookSnapshot,
    FeedGap,
    FundingRate,
    Level,
    MarketEvent,
    Print,
    TopOfBook,
)
from trading.domain.instruments import Instrument
from trading.market.errors import RecordingError

FORMAT = 1
FLUSH_US = 1_000_000
MEMBER_BYTES = 8 * 1024 * 1024
COMPRESSION_LEVEL = 5  # twice the speed of 9 for 3% more bytes, and the engine's loop writes it
GZIP_WINDOW = 31  # zlib's code for "gzip header and checksum"
HEADER_MARK = b'{"recording":'


class Header(msgspec.Struct, frozen=True):
    """The first line. `instruments` are the settings that the feed ran with."""

    recording: int
    made_by: str
    feed: str
    started_us: int
    instruments: list[Instrument]


class _Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    instrument: int
    event_us: int


class _Top(_Line, frozen=True, array_like=True, tag="t", gc=False):
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str


class _Snapshot(_Line, frozen=True, array_like=True, tag="s", gc=False):
    bids: list[Level]
    asks: list[Level]
    last_id: int


class _Diff(_Line, frozen=True, array_like=True, tag="d", gc=False):
    bids: list[Level]
    asks: list[Level]
    first_id: int
    last_id: int
    previous_id: int


class _Print(_Line, frozen=True, array_like=True, tag="p", gc=False):
    print_id: int
    price: str
    quantity: str
    aggressor: Literal["buy", "sell"]


class _Funding(_Line, frozen=True, array_like=True, tag="f", gc=False):
    rate: str
    interval_hours: int
    mark_price: str
    next_settlement_us: int


class _Gap(_Line, frozen=True, array_like=True, tag="g", gc=False):
    reason: str


class End(msgspec.Struct, frozen=True, array_like=True, tag="end", gc=False):
    """The last line: how many lines of events stand before it."""

    lines: int


_EVENT_OF_LINE: dict[type, Callable[..., MarketEvent]] = {
    _Top: TopOfBook,
    _Snapshot: BookSnapshot,
    _Diff: BookDiff,
    _Print: Print,
    _Funding: FundingRate,
    _Gap: FeedGap,
}
_LINE_OF_EVENT: dict[type, Callable[..., _Line]] = {
    TopOfBook: _Top,
    BookSnapshot: _Snapshot,
    BookDiff: _Diff,
    Print: _Print,
    FundingRate: _Funding,
    FeedGap: _Gap,
}
_FIELDS = {
    kind: kind.__struct_fields__[1:] for kind in (TopOfBook, BookSnapshot, BookDiff, Print, FundingRate, FeedGap)
}

_encode = msgspec.json.Encoder().encode
decode_header = msgspec.json.Decoder(Header).decode
decode_line = msgspec.json.Decoder(_Top | _Snapshot | _Diff | _Print | _Funding | _Gap | End).decode


def event_of(line: Any, instruments: list[str]) -> MarketEvent:
    """The event of a decoded line. Raises IndexError for an instrument that is not in the header."""
    number = line.instrument
    if number < 0:
        raise IndexError(number)
    fields = [getattr(line, name) for name in line.__struct_fields__[1:]]
    return _EVENT_OF_LINE[type(line)](instruments[number], *fields)


def made_by() -> str:
    """What writes recordings, for their header."""
    return f"PaperDesk recording {FORMAT}"


class RecordingWriter:
    """Writes a new file. Events of instruments that are not given are left out and counted in `foreign`.

    Raises RecordingError for a file that exists already, or that cannot be written; then nothing more is written.
    """

    def __init__(self, path: Path, feed: str, instruments: Iterable[Instrument], started_us: int) -> None:
        self.path = path
        self.lines = 0
        self.foreign = 0
        self._instruments = {known.id: number for number, known in enumerate(instruments)}
        self._flushed_us = started_us
        self._member_bytes = 0
        self._packer = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
        try:
            self._file: BinaryIO = path.open("xb")
        except FileExistsError:
            raise RecordingError(f"{path} exists already; a recording never overwrites another one") from None
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}") from None
        header = Header(FORMAT, made_by(), feed, started_us, list(instruments))
        self._append(_encode(header) + b"\n")
        self.flush(started_us)

    def write(self, events: Iterable[MarketEvent], now_us: int) -> None:
        """Appends events; at most FLUSH_US later they can be read back. Raises RecordingError."""
        pieces = []
        for event in events:
            number = self._instruments.get(event.instrument)
            if number is None:
                self.foreign += 1
                continue
            kind = type(event)
            fields = [getattr(event, name) for name in _FIELDS[kind]]
            pieces.append(_encode(_LINE_OF_EVENT[kind](number, *fields)))
        if pieces:
            self.lines += len(pieces)
            self._append(b"\n".join(pieces) + b"\n")
        if not 0 <= now_us - self._flushed_us < FLUSH_US:
            self.flush(now_us)

    def flush(self, now_us: int) -> None:
        """Makes all that was written readable. Raises RecordingError."""
        self._flushed_us = now_us
        if self._member_bytes >= MEMBER_BYTES:
            self._put(self._packer.flush(zlib.Z_FINISH))
            self._packer = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
            self._member_bytes = 0
        else:
            self._put(self._packer.flush(zlib.Z_SYNC_FLUSH))
        try:
            self._file.flush()
        except OSError as error:
            raise self._error(error) from None

    def close(self) -> None:
        """Writes the last line and brings the file to the disk. Raises RecordingError."""
        if self._file.closed:
            return
        try:
            self._append(_encode(End(self.lines)) + b"\n")
            self._put(self._packer.flush(zlib.Z_FINISH))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._error(error) from None
        finally:
            self._file.close()

    def _append(self, lines: bytes) -> None:
        self._member_bytes += len(lines)
        self._put(self._packer.compress(lines))

    def _put(self, packed: bytes) -> None:
        try:
            self._file.write(packed)
        except OSError as error:
            raise self._error(error) from None

    def _error(self, error: OSError) -> RecordingError:
        return RecordingError(f"{self.path}: after {self.lines} lines: {error.strerror}")
