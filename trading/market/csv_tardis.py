"""Tardis.dev's CSV files (docs.tardis.dev, "Downloadable CSV files"): comma, LF, microseconds, UTC.

    trades               exchange,symbol,timestamp,local_timestamp,id,side,price,amount
    incremental_book_L2  exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount
    derivative_ticker    exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,
                         predicted_funding_rate,open_interest,last_price,index_price,mark_price

Event time is `timestamp`, the exchange's. Rows of a book that have the same `local_timestamp` are one message; rows
before the first snapshot are to be skipped; a later snapshot stands where the recording was interrupted, so a FeedGap
goes before it. The top of the book is worked out, because the file has none. A ticker says no funding interval: it is
taken from the distance of settlements, and is 8 h until two were seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal, cast

from trading.domain.events import BookDiff, BookSnapshot, FeedGap, FundingRate, Level, MarketEvent, Print, TopOfBook
from trading.market.csv_fields import instant_us, level_price, number, price, quantity, truth, wrong
from trading.market.csv_rows import Market, Table
from trading.market.ladder import is_zero
from trading.market.print_ids import PrintIds

HOUR_US = 3_600_000_000
HOURS_ASSUMED = 8
MARK_EVERY_US = 1_000_000
UNKNOWN_SIDE = "print whose aggressor is unknown"
REPEATED = "print that was seen before"
BEFORE_SNAPSHOT = "row of a book before its first snapshot"

EXCHANGES = {
    "binance": "binance",
    "binance-futures": "binanceusdm",
    "bybit": "bybit",
    "bybit-spot": "bybit",
    "okex": "okx",
    "okex-swap": "okx",
}
IN_BASE_ASSET = frozenset({"binance", "binance-futures", "bybit", "bybit-spot", "okex"})  # amounts; else contracts


class Trades:
    """`trades`."""

    def __init__(self, market: Market) -> None:
        self.skipped: Counter[str] = Counter()
        self._market = market
        self._ids = PrintIds()

    def events(self, fields: list[str]) -> list[MarketEvent]:
        """The print of a row."""
        _, _, stamp, _, print_id, side, price_text, amount = fields
        event_us = instant_us(stamp, "timestamp")
        if side not in ("buy", "sell"):
            if side != "unknown":
                raise wrong("side", side, "buy, sell or unknown")
            self.skipped[UNKNOWN_SIDE] += 1
            return []
        exact, size = price(price_text, "price"), quantity(amount, "amount", self._market.contract_size)
        identity = self._ids.number(print_id, event_us)
        if identity is None:
            self.skipped[REPEATED] += 1
            return []
        aggressor = cast(Literal["buy", "sell"], side)
        return [Print(self._market.instrument, event_us, identity, exact, size, aggressor)]

    def end(self) -> list[MarketEvent]:
        """Nothing: each row is whole."""
        return []


class _Half:
    """One side of a book, for its best level only."""

    def __init__(self, best: Callable[..., float]) -> None:
        self._best = best
        self._levels: dict[float, Level] = {}
        self._price: float | None = None

    def clear(self) -> None:
        self._levels.clear()
        self._price = None

    def take(self, level: Level) -> None:
        at = float(level[0])
        if not is_zero(level[1]):
            self._levels[at] = level
            self._price = at if self._price is None else self._best(at, self._price)
        elif self._levels.pop(at, None) is not None and at == self._price:
            self._price = self._best(self._levels) if self._levels else None

    def top(self) -> Level:
        return self._levels[self._price] if self._price is not None else ("0", "0")


class Books:
    """`incremental_book_L2`."""

    def __init__(self, market: Market) -> None:
        self.skipped: Counter[str] = Counter()
        self._market = market
        self._number = 0
        self._is_snapshot = False
        self._message = ""  # local_timestamp of the rows that are being collected, "" for none
        self._event_us = 0
        self._levels: dict[str, list[Level]] = {"bid": [], "ask": []}
        self._halves = {"bid": _Half(max), "ask": _Half(min)}
        self._top: tuple[Level, Level] | None = None

    def events(self, fields: list[str]) -> list[MarketEvent]:
        """The message that ended with the row before, if this row begins another one."""
        _, _, stamp, local, snapshot, side, price_text, amount = fields
        if side not in self._levels:
            raise wrong("side", side, "bid or ask")
        is_snapshot, event_us = truth(snapshot, "is_snapshot"), instant_us(stamp, "timestamp")
        instant_us(local, "local_timestamp")
        level = (level_price(price_text, "price"), quantity(amount, "amount", self._market.contract_size))
        if not is_snapshot and not self._number and not self._is_snapshot:
            self.skipped[BEFORE_SNAPSHOT] += 1
            return []
        begins = is_snapshot != self._is_snapshot or (local != self._message and not is_snapshot)
        events = self.end() if begins else []
        self._is_snapshot, self._message, self._event_us = is_snapshot, local, event_us
        self._levels[side].append(level)
        return events

    def end(self) -> list[MarketEvent]:
        """The message whose rows were collected."""
        if not self._message:
            return []
        self._message = ""
        name, at, levels = self._market.instrument, self._event_us, self._levels
        self._levels = {"bid": [], "ask": []}
        self._number += 1
        if not self._is_snapshot:
            self._follow(levels)
            diff = BookDiff(name, at, levels["bid"], levels["ask"], self._number, self._number)
            return [diff, *self._changed_top(at)]
        gap = [FeedGap(name, at, "the recording was interrupted")] if self._number > 1 else []
        for half in self._halves.values():
            half.clear()
        self._follow(levels)
        self._top = None
        return [*gap, BookSnapshot(name, at, levels["bid"], levels["ask"], self._number), *self._changed_top(at)]

    def _follow(self, levels: dict[str, list[Level]]) -> None:
        for side, half in self._halves.items():
            for level in levels[side]:
                half.take(level)

    def _changed_top(self, at: int) -> list[MarketEvent]:
        top = (self._halves["bid"].top(), self._halves["ask"].top())
        if top == self._top:
            return []
        self._top = top
        return [TopOfBook(self._market.instrument, at, *top[0], *top[1])]


class Tickers:
    """`derivative_ticker`. An empty field repeats what stood there last."""

    def __init__(self, market: Market) -> None:
        self.skipped: Counter[str] = Counter()
        self._market = market
        self._hours = HOURS_ASSUMED
        self._settlement_us = 0
        self._rate = self._mark = ""
        self._told: FundingRate | None = None

    def events(self, fields: list[str]) -> list[MarketEvent]:
        """The funding rate, when its terms changed, or the mark price at most once a second."""
        _, _, stamp, _, settlement, rate, _, _, _, _, mark = fields
        event_us = instant_us(stamp, "timestamp")
        if settlement:
            self._settle(instant_us(settlement, "funding_timestamp"))
        self._rate = number(rate, "funding_rate") if rate else self._rate
        self._mark = price(mark, "mark_price") if mark else self._mark
        if not (self._settlement_us and self._rate and self._mark):
            return []
        event = FundingRate(self._market.instrument, event_us, self._rate, self._hours, self._mark, self._settlement_us)
        told = self._told
        if told is not None and (told.rate, told.next_settlement_us) == (event.rate, event.next_settlement_us):
            is_due = told.mark_price != event.mark_price and event_us - told.event_us >= MARK_EVERY_US
            if not is_due:
                return []
        self._told = event
        return [event]

    def end(self) -> list[MarketEvent]:
        """Nothing: each row is whole."""
        return []

    def _settle(self, settlement_us: int) -> None:
        hours, rest = divmod(settlement_us - self._settlement_us, HOUR_US)
        if self._settlement_us and 1 <= hours <= 24 and not rest:
            self._hours = hours
        self._settlement_us = settlement_us


_ROW = ("exchange", "symbol", "timestamp", "local_timestamp")
TABLES = (
    Table("Tardis trades", (*_ROW, "id", "side", "price", "amount"), Trades),
    Table("Tardis incremental_book_L2", (*_ROW, "is_snapshot", "side", "price", "amount"), Books),
    Table(
        "Tardis derivative_ticker",
        (*_ROW, "funding_timestamp", "funding_rate", "predicted_funding_rate", "open_interest", "last_price",
         "index_price", "mark_price"),
        Tickers,
    ),
)  # fmt: skip


def symbol_of(exchange_symbol: str) -> str:
    """The desk's symbol: "BTC-USDT-SWAP" and "BTC-USDT" are BTCUSDT."""
    return exchange_symbol.removesuffix("-SWAP").replace("-", "").replace("/", "").upper()
