"""What the engine publishes of each instrument, and how its feed does. Source: ruling 5.

A quote is a hash of text, empty where nothing is known: prices and quantities with their digits, the funding rate per
interval, times in microseconds. `state` is "ok" only if the book may be traded and marked with; `reason` says why it
may not. Not part of any step: the next publication, at most 100 ms later, replaces it; only `last_funding`, a JSON
object, stays until there is a newer one, for the engine that comes after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from redis import Redis

from trading.domain.errors import ConfigurationError
from trading.domain.shards import Shard, shard_of
from trading.domain.units import text_of
from trading.stores import keys
from trading.stores.connection import answering, members_of
from trading.stores.errors import WireError

NUMBERS = ("bid", "ask", "bid_quantity", "ask_quantity", "mark_price", "funding_rate")
LAST_FUNDING = "last_funding"
INTEGERS = ("funding_interval_h", "next_settlement_us", "funding_told_us", "event_us")


class MarketQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Top of book, mark price and funding of an instrument; None where unknown or, for spot, without meaning.
    `funding_told_us` is when the next settlement was first said to be the next."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_quantity: Decimal | None = None
    ask_quantity: Decimal | None = None
    mark_price: Decimal | None = None
    funding_rate: Decimal | None = None
    funding_interval_h: int | None = None
    next_settlement_us: int | None = None
    funding_told_us: int | None = None
    event_us: int = 0
    state: str = "ok"
    reason: str = ""


class LastFunding(msgspec.Struct, frozen=True):
    """The last word on an instrument's funding: what its quote said when it last said something. The quotes of an
    engine that has heard nothing yet leave it alone."""

    rate: Decimal
    interval_hours: int
    mark_price: Decimal
    next_settlement_us: int
    told_us: int

    @classmethod
    def of(cls, quote: MarketQuote) -> LastFunding | None:
        """What a quote says of it, None for nothing."""
        said = quote.funding_rate, quote.funding_interval_h, quote.mark_price, quote.next_settlement_us
        return None if None in said else cls(*said, quote.funding_told_us or 0)  # type: ignore[arg-type]


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the feed of an engine shard does: its newest event time, when that came, messages since the start and per
    second, how many instruments fall to the shard, why portfolios do not trade (by prefix), what is wrong with it."""

    name: str = ""
    at_us: int = 0
    event_us: int = 0
    received_us: int = 0
    messages: int = 0
    rate_per_second: float = 0.0
    instruments: int = 0
    troubles: dict[str, str] = {}
    feed_troubles: list[str] = []


class MarketStore:
    """The quotes of all instruments, by instrument id, and how the feeds do, by engine shard."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def publish(self, quotes: Mapping[str, MarketQuote]) -> None:
        """Replaces the quotes of these instruments. Raises RedisAway."""
        if not quotes:
            return
        writing = self._client.pipeline(transaction=False)
        for instrument_id, quote in quotes.items():
            writing.hset(keys.market(instrument_id), mapping=_texts(quote))
        writing.sadd(keys.MARKET_INDEX, *quotes)
        with answering("publishing quotes"):
            writing.execute()

    def quotes(self) -> dict[str, MarketQuote]:
        """The last quote of every instrument, in the order of their ids. Raises RedisAway, WireError."""
        with answering("reading quotes"):
            names = sorted(members_of(self._client, keys.MARKET_INDEX))
            reading = self._client.pipeline(transaction=False)
            for name in names:
                reading.hgetall(keys.market(name))
            hashes = reading.execute()
        return {name: _quote(keys.market(name), fields) for name, fields in zip(names, hashes, strict=True)}

    def last_funding(self) -> dict[str, LastFunding]:
        """The funding that was published last, by instrument id; what cannot be read is left out. Raises RedisAway."""
        with answering("reading the last funding"):
            names = sorted(members_of(self._client, keys.MARKET_INDEX))
            reading = self._client.pipeline(transaction=False)
            for name in names:
                reading.hget(keys.market(name), LAST_FUNDING)
            told = reading.execute()
        found = {name: _last_funding(raw) for name, raw in zip(names, told, strict=True) if raw}
        return {name: last for name, last in found.items() if last is not None}

    def publish_feed(self, shard: Shard, status: FeedStatus) -> None:
        """Replaces the status of a shard's feed. Raises RedisAway."""
        with answering("publishing the feed's status"):
            self._client.hset(keys.FEEDS, str(shard), msgspec.json.encode(status))

    def feeds(self) -> dict[Shard, FeedStatus]:
        """The status of the feed of every shard that ever ran. Raises RedisAway, WireError."""
        with answering("reading how the feeds do"):
            found: Any = self._client.hgetall(keys.FEEDS)
        try:
            return {shard_of(name.decode()): msgspec.json.decode(raw, type=FeedStatus) for name, raw in found.items()}
        except (msgspec.DecodeError, UnicodeDecodeError, ConfigurationError) as error:
            raise WireError(f"{keys.FEEDS}: {error}") from None


def _texts(quote: MarketQuote) -> dict[Any, Any]:
    fields = {name: _text(getattr(quote, name)) for name in quote.__struct_fields__}
    last = LastFunding.of(quote)
    if last is not None:
        fields[LAST_FUNDING] = msgspec.json.encode(last).decode()
    return fields


def _last_funding(raw: bytes) -> LastFunding | None:
    try:
        return msgspec.json.decode(raw, type=LastFunding)
    except msgspec.DecodeError:
        return None


def _text(value: object) -> str:
    if value is None:
        return ""
    return text_of(value) if isinstance(value, Decimal) else str(value)


def _quote(key: str, fields: Mapping[bytes, bytes]) -> MarketQuote:
    texts = {name.decode(): value.decode() for name, value in fields.items() if value}
    try:
        numbers: dict[str, Any] = {name: Decimal(texts[name]) for name in NUMBERS if name in texts}
        integers: dict[str, Any] = {name: int(texts[name]) for name in INTEGERS if name in texts}
    except (InvalidOperation, ValueError) as error:
        raise WireError(f"{key}: {error} in {texts}") from None
    return MarketQuote(**numbers, **integers, state=texts.get("state", "unknown"), reason=texts.get("reason", ""))
