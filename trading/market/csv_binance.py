"""Binance's public CSV files (data.binance.vision): comma, milliseconds, in spot files since 2025 microseconds.

    futures trades      id,price,qty,quote_qty,time,is_buyer_maker
    futures aggTrades   agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker
    futures bookTicker  update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time
    spot trades         as of futures, and is_best_match
    spot aggTrades      as of futures, and is_best_match

The newer futures files begin with a line of those names; spot files never do, so for a file without one its name
(`BTCUSDT-aggTrades-2024-08-08.zip`) and the number of its columns say what it is. The symbol stands in the name alone.
A buyer who was the maker means that the aggressor sold.
"""

from __future__ import annotations

from collections import Counter

from trading.domain.events import MarketEvent, Print, TopOfBook
from trading.market.csv_fields import instant_us, integer, price, quantity, truth
from trading.market.csv_rows import Market, Table


class Trades:
    """`trades` (id first, time fifth) and `aggTrades` (time sixth)."""

    def __init__(self, market: Market, time_column: int) -> None:
        self.skipped: Counter[str] = Counter()
        self._market = market
        self._time = time_column

    def events(self, fields: list[str]) -> list[MarketEvent]:
        """The print of a row."""
        event_us = instant_us(fields[self._time], "time")
        size = quantity(fields[2], "qty", self._market.contract_size)
        aggressor = "sell" if truth(fields[self._time + 1], "is_buyer_maker") else "buy"
        identity, exact = integer(fields[0], "id"), price(fields[1], "price")
        return [Print(self._market.instrument, event_us, identity, exact, size, aggressor)]  # type: ignore[arg-type]

    def end(self) -> list[MarketEvent]:
        """Nothing: each row is whole."""
        return []


class BookTickers:
    """`bookTicker`."""

    def __init__(self, market: Market) -> None:
        self.skipped: Counter[str] = Counter()
        self._market = market

    def events(self, fields: list[str]) -> list[MarketEvent]:
        """The top of book of a row."""
        _, bid, bid_size, ask, ask_size, _, stamp = fields
        contract_size = self._market.contract_size
        return [
            TopOfBook(
                self._market.instrument,
                instant_us(stamp, "event_time"),
                price(bid, "best_bid_price"),
                quantity(bid_size, "best_bid_qty", contract_size),
                price(ask, "best_ask_price"),
                quantity(ask_size, "best_ask_qty", contract_size),
            )
        ]

    def end(self) -> list[MarketEvent]:
        """Nothing: each row is whole."""
        return []


def _trades(market: Market) -> Trades:
    return Trades(market, 4)


def _aggregates(market: Market) -> Trades:
    return Trades(market, 5)


_TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker")
_AGGREGATES = (
    "agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker",
)  # fmt: skip
_TICKERS = (
    "update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time",
)  # fmt: skip
TABLES = (
    Table("Binance futures trades", _TRADES, _trades, "binanceusdm"),
    Table("Binance futures aggTrades", _AGGREGATES, _aggregates, "binanceusdm"),
    Table("Binance futures bookTicker", _TICKERS, BookTickers, "binanceusdm"),
    Table("Binance spot trades", (*_TRADES, "is_best_match"), _trades, "binance"),
    Table("Binance spot aggTrades", (*_AGGREGATES, "is_best_match"), _aggregates, "binance"),
)
KINDS = {"trades": _TRADES, "aggTrades": _AGGREGATES, "bookTicker": _TICKERS}
