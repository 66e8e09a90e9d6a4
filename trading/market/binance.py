"""One recorded Binance message -> one market event. Pure functions; nothing here knows files.

A combined-stream message is `{"stream":"btcusdt@depth@0ms","data":{...}}`; `ROUTES` names the streams that are
understood. Spot and USD-M perpetual differ by the fields that are present: only the perpetual has `pu` (diffs name
the one before), `X` (only MARKET prints count) and times on its bookTicker and snapshot.

Event time is `E`, in milliseconds. What carries none (spot bookTicker and snapshot) takes `latest_us`, its
venue's latest earlier one (ruling 2). `m: true` says that the buyer was the maker: the aggressor sold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from trading.domain.events import BookDiff, BookSnapshot, Level, MarketEvent, Print, TopOfBook
from trading.market.errors import CaptureError

NOT_A_MARKET_PRINT = "print that is not X: MARKET"


class _Ticker(msgspec.Struct, gc=False):
    b: str
    B: str
    a: str
    A: str
    E: int = 0


class _Diff(msgspec.Struct, gc=False):
    E: int
    U: int
    u: int
    b: list[Level]
    a: list[Level]
    pu: int = -1


class _Trade(msgspec.Struct, gc=False):
    E: int
    t: int
    p: str
    q: str
    m: bool
    X: str = "MARKET"


class _Snapshot(msgspec.Struct, gc=False):
    bids: list[Level]
    asks: list[Level]
    lastUpdateId: int
    E: int = 0


class _TickerMessage(msgspec.Struct, gc=False):
    data: _Ticker


class _DiffMessage(msgspec.Struct, gc=False):
    data: _Diff


class _TradeMessage(msgspec.Struct, gc=False):
    data: _Trade


class _Content(msgspec.Struct, gc=False):
    """The fields that tell messages and venues apart. A bookTicker of spot has no `e`."""

    e: str | None = None
    s: str | None = None
    u: Any = None
    pu: Any = None
    X: Any = None
    A: Any = None
    lastUpdateId: Any = None


class _Envelope(_Content, gc=False):
    stream: str | None = None
    data: _Content | None = None


_decode_ticker = msgspec.json.Decoder(_TickerMessage).decode
_decode_diff = msgspec.json.Decoder(_DiffMessage).decode
_decode_trade = msgspec.json.Decoder(_TradeMessage).decode
_decode_snapshot = msgspec.json.Decoder(_Snapshot).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode

Parse = Callable[[bytes, str, int], MarketEvent | str]
"""(body, instrument, latest_us) -> the event, or in words why the message is none.

Raises msgspec.DecodeError (or its ValidationError), CaptureError for a body that is not what its stream promises.
"""

# A hundred thousand messages a second leave no time for a look at each number: what consists of digits and dots passes.
_is_number = re.compile(r"\d+(?:\.\d+)?", re.ASCII).fullmatch
_BIDS = b'"b":['
_OF_LEVELS = b'0123456789."[],:a}'  # what the end of a diff, from its bids on, consists of


def parse_ticker(body: bytes, instrument: str, latest_us: int) -> MarketEvent | str:
    """`@bookTicker`: the best bid and ask."""
    data = _decode_ticker(body).data
    bid, bid_quantity, ask, ask_quantity = data.b, data.B, data.a, data.A
    if not f"{bid}{bid_quantity}{ask}{ask_quantity}".replace(".", "").encode().isdigit():
        _check_numbers((bid, bid_quantity, ask, ask_quantity))
    return TopOfBook(instrument, data.E * 1_000 or latest_us, bid, bid_quantity, ask, ask_quantity)


def parse_diff(body: bytes, instrument: str, latest_us: int) -> MarketEvent | str:
    """`@depth`, `@depth@100ms`, `@depth@0ms`: changed levels."""
    data = _decode_diff(body).data
    if body[body.find(_BIDS) + len(_BIDS) :].translate(None, _OF_LEVELS):
        _check_numbers(chain.from_iterable(chain(data.b, data.a)))
    return BookDiff(instrument, data.E * 1_000, data.b, data.a, data.U, data.u, data.pu)


def parse_trade(body: bytes, instrument: str, latest_us: int) -> MarketEvent | str:
    """`@trade`: a print."""
    data = _decode_trade(body).data
    if data.X != "MARKET":
        return NOT_A_MARKET_PRINT
    if not f"{data.p}{data.q}".replace(".", "").encode().isdigit():
        _check_numbers((data.p, data.q))
    return Print(instrument, data.E * 1_000, data.t, data.p, data.q, "sell" if data.m else "buy")


def parse_snapshot(body: bytes, instrument: str, latest_us: int) -> MarketEvent | str:
    """The answer of REST `depth`: the book as of `lastUpdateId`."""
    data = _decode_snapshot(body)
    _check_numbers(chain.from_iterable(chain(data.bids, data.asks)))
    return BookSnapshot(instrument, data.E * 1_000 or latest_us, data.bids, data.asks, data.lastUpdateId)


def _check_numbers(texts: Iterable[str]) -> None:
    for text in texts:
        if not _is_number(text):
            raise CaptureError(f"{text!r} is no price or quantity")


ROUTES: dict[str, Parse] = {
    "bookTicker": parse_ticker,
    "trade": parse_trade,
    "depth": parse_diff,
    "depth@0ms": parse_diff,
    "depth@100ms": parse_diff,
    "depth@250ms": parse_diff,
    "depth@500ms": parse_diff,
}
_STREAM_OF_EVENT = {"depthUpdate": "depth", "bookTicker": "bookTicker", "trade": "trade"}


def parse_of_stream(stream: str) -> tuple[str, Parse | None]:
    """The symbol of a stream and the function that parses it, None for a stream that is not understood.

    "btcusdt@depth@0ms" -> ("BTCUSDT", parse_diff).
    """
    symbol, _, kind = stream.partition("@")
    return symbol.upper(), ROUTES.get(kind)


class Sorted(NamedTuple):
    """What a message is: the stream it belongs to ("" for a snapshot), and the body as a combined stream has it."""

    stream: str
    body: bytes


def sort_message(body: bytes) -> Sorted | str:
    """Tells a message that does not begin like a combined stream's; in words what it is if it is not understood.

    Raises msgspec.DecodeError if it is no JSON object.
    """
    envelope = _decode_envelope(body)
    if envelope.stream is not None:
        return Sorted(envelope.stream, body)
    if envelope.lastUpdateId is not None:
        return Sorted("", body)
    event = envelope.e or ("bookTicker" if envelope.A is not None and envelope.u is not None else None)
    if event in _STREAM_OF_EVENT and envelope.s:
        return Sorted(f"{envelope.s.lower()}@{_STREAM_OF_EVENT[event]}", b'{"data":' + body + b"}")
    return f"message {event}" if event else "message without a kind"


def venue_and_symbol_of(body: bytes) -> tuple[str | None, str | None]:
    """("binanceusdm" or "binance", "BTCUSDT") as far as this one message tells; None for what it does not."""
    envelope = _decode_envelope(body)
    content = envelope.data or envelope
    if content.pu is not None or content.X is not None or content.e == "bookTicker":
        return "binanceusdm", content.s
    is_spot = content.e in ("depthUpdate", "trade") or (content.e is None and content.A is not None)
    return ("binance" if is_spot else None), content.s
