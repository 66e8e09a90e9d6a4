"""ccxt.pro's exchanges, made to survive what they receive and to tell when a connection breaks.

ccxt 4.5 left alone has three sharp edges (`ccxt/async_support/base/ws/client.py`): a message that it cannot read ends
its receive loop for good without closing the connection; a connection that breaks while nobody waits on it is opened
again without a word; and a connection that was closed may forget the new one of the same address when its closing ends.
`WatchedConnections` stands before ccxt's class and rounds them off.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from trading.domain.instruments import Instrument
from trading.market.errors import MarketError

# What `load_markets` has to load, by exchange and contract type: everything takes ten times as long.
MARKET_TYPES = {
    "binance": {"spot": "spot", "linear_perpetual": "linear"},
    "binanceusdm": {"linear_perpetual": "linear"},
    "bybit": {"spot": "spot", "linear_perpetual": "linear"},
    "okx": {"spot": "spot", "linear_perpetual": "swap"},
}
MESSAGE_SHOWN_CHARACTERS = 80


class Exchange(Protocol):
    """The part of ccxt.pro's exchanges that is used; `has` says which of the methods there are."""

    has: dict[str, Any]
    options: dict[str, Any]
    precisionMode: int
    on_break: Callable[[str], None]

    async def load_markets(self, reload: bool = False) -> Any: ...
    def market(self, symbol: str) -> dict[str, Any]: ...
    async def watch_order_book(self, symbol: str) -> dict[str, Any]: ...
    async def watch_trades(self, symbol: str) -> list[dict[str, Any]]: ...
    async def watch_mark_price(self, symbol: str) -> dict[str, Any]: ...
    async def watch_ticker(self, symbol: str) -> dict[str, Any]: ...
    async def watch_funding_rate(self, symbol: str) -> dict[str, Any]: ...
    async def fetch_funding_rate(self, symbol: str) -> dict[str, Any]: ...
    async def fetch_funding_intervals(self, symbols: list[str]) -> dict[str, Any]: ...
    async def fetch_funding_rate_history(self, symbol: str, since: None, limit: int) -> list[dict[str, Any]]: ...
    async def fetch_mark_ohlcv(self, symbol: str, timeframe: str, since: None, limit: int) -> list[list[float]]: ...
    async def fetch_time(self) -> int: ...
    def drop(self, symbol: str, words: tuple[str, ...], reason: str) -> None: ...
    async def close(self) -> Any: ...


class WatchedConnections:
    """Calls `on_break` once for each connection that was open and is not any more."""

    clients: dict[str, Any]
    on_break: Callable[[str], None] = staticmethod(lambda reason: None)
    is_closing = False

    def client(self, url: str) -> Any:
        """ccxt's client of an address; a message that it cannot read breaks the connection, in words."""
        client = super().client(url)  # type: ignore[misc]
        if not hasattr(client, "is_told"):
            client.is_told = False
            client.handle_message = _guarded(client)
        return client

    def on_error(self, client: Any, error: Exception) -> None:
        """ccxt calls it for a connection that failed."""
        if self.clients.get(client.url) is client:
            super().on_error(client, error)  # type: ignore[misc]
        self._tell(client, str(error))

    def on_close(self, client: Any, code: Any) -> None:
        """ccxt calls it for a connection that was closed, sometimes twice."""
        if self.clients.get(client.url) is client:
            super().on_close(client, code)  # type: ignore[misc]
        self._tell(client, f"the connection was closed (code {code})")

    def drop(self, symbol: str, words: tuple[str, ...], reason: str) -> None:
        """Breaks the connections whose subscriptions name the symbol and one of the words; all, if none does."""
        clients = list(self.clients.values())
        meant = [client for client in clients if _carries(client, symbol, words)]
        for client in meant or clients:
            client.on_error(ConnectionError(reason))

    async def close(self, *args: Any) -> Any:
        """Closes all connections, without a word."""
        self.is_closing = True
        return await super().close(*args)  # type: ignore[misc]

    def _tell(self, client: Any, reason: str) -> None:
        if client.isConnected and not client.is_told and not self.is_closing:
            client.is_told = True
            self.on_break(reason)


class NumberedBooks(WatchedConnections):
    """bybit numbers its book messages without gaps; ccxt does not compare them. A gap breaks the connection."""

    def handle_order_book(self, client: Any, message: dict[str, Any]) -> None:
        """ccxt calls it for each book message: "snapshot", which begins anew, or "delta"."""
        numbers = client.__dict__.setdefault("book_numbers", {})
        topic, number = message.get("topic"), message["data"]["u"]
        last = numbers.get(topic)
        if message.get("type") == "delta" and last is not None and number != last + 1:
            raise ConnectionError(f"{topic} goes from {last} to {number}")
        numbers[topic] = number
        super().handle_order_book(client, message)  # type: ignore[misc]


BEFORE_CCXT: dict[str, type[WatchedConnections]] = {"bybit": NumberedBooks}


def ccxt_exchange(name: str, settings: dict[str, Any] | None = None) -> Exchange:
    """ccxt.pro's exchange of that id. Raises MarketError for an id that ccxt does not have."""
    pro = importlib.import_module("ccxt.pro")
    if name not in pro.exchanges:
        raise MarketError(f"feed ccxt:{name}: ccxt has no streaming exchange {name!r}")
    watched = type(name, (BEFORE_CCXT.get(name, WatchedConnections), getattr(pro, name)), {})
    exchange: Exchange = watched({"enableRateLimit": True, "newUpdates": True, **(settings or {})})
    return exchange


def narrow(name: str, exchange: Exchange, instruments: Iterable[Instrument]) -> None:
    """Makes `load_markets` load only the kinds of markets that the instruments are of, where we know their names."""
    types = MARKET_TYPES.get(name)
    if types:
        wanted = {types[known.contract_type] for known in instruments if known.contract_type in types}
        exchange.options["fetchMarkets"] = {"types": sorted(wanted)}


def _guarded(client: Any) -> Callable[[Any], None]:
    receive = client.handle_message

    def guarded(message: Any) -> None:
        try:
            receive(message)
        except ConnectionError as error:
            client.on_error(error)
        except Exception as error:  # noqa: BLE001 - whatever ccxt's parsers raise on what they did not expect
            shown = str(getattr(message, "data", message))[:MESSAGE_SHOWN_CHARACTERS]
            client.on_error(ConnectionError(f"a message that cannot be read ({error!r}): {shown!r}"))

    return guarded


def _carries(client: Any, symbol: str, words: tuple[str, ...]) -> bool:
    names = [*client.subscriptions, *client.futures]
    return any(symbol in name and any(word in name for word in words) for name in map(str, names))
