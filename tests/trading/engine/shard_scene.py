"""One engine shard on a real Redis, for tests of several of them."""

from __future__ import annotations

from typing import Any

import msgspec
from redis import Redis

from tests.trading.engine.machine_shards import SHARDS, shared_desk
from tests.trading.engine.scene import MemoryQuotes, us
from tests.trading.stores import made
from trading.domain.events import Print, TopOfBook
from trading.domain.shards import Shard
from trading.domain.strategy import Desk
from trading.domain.trades import Trade
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.portfolio import Portfolio
from trading.stores.command_store import CommandStore
from trading.stores.portfolio_store import PortfolioStore


def desk_of(**changes: Any) -> Desk:
    """One portfolio on BTCUSDT and ETHUSDT, each bought at alpha and sold at beta."""
    both = shared_desk({}, {})
    first = msgspec.structs.replace(both.strategies[0], trades_open_per_pair_max=1, **changes)
    return msgspec.structs.replace(both, strategies=(first,))


class Running:
    """An engine of a shard on Redis, which has run for a second, and events in milliseconds from then on."""

    def __init__(
        self, client: Redis, shard: Shard, used: Desk | None = None, at_ms: int = 0, ran_ms: int = 1_000
    ) -> None:
        self.symbol = "ETHUSDT" if shard == SHARDS[0] else "BTCUSDT"
        self.desk = used or desk_of()
        self.stores = {"strategy": PortfolioStore(client, "strategy", made.OUTBOX, None, shard)}
        self.quotes = MemoryQuotes()
        self.clock = EventClock(us(at_ms))
        self.engine = Engine(self.desk, self.stores, self.quotes, CommandStore(client), self.clock, shard)
        self.engine.start(us(at_ms - ran_ms))
        self.engine.on_time(us(at_ms))

    @property
    def portfolio(self) -> Portfolio:
        return self.engine.portfolios["strategy"]

    @property
    def trade(self) -> Trade:
        (trade,) = self.portfolio.trades.values()
        return trade

    def spread(self, ms: int, symbol: str = "") -> None:
        """Tops of both venues, 39.9 bps apart."""
        for name, bid, ask in (("alpha", "49990.0", "50000.0"), ("beta", "50200.0", "50210.0")):
            self.engine.on_event(TopOfBook(f"{name}:{symbol or self.symbol}", us(ms), bid, "10", ask, "10"))

    def fill(self, ms: int) -> None:
        """Both entries of the trade, through their prices."""
        self.engine.on_event(Print(f"alpha:{self.symbol}", us(ms), ms, "49980.0", "1", "sell"))
        self.engine.on_event(Print(f"beta:{self.symbol}", us(ms), ms, "50220.0", "1", "buy"))

    def close(self, ms: int) -> None:
        assert self.engine.close_trade("strategy", self.trade.id, "manual")
        self.engine.on_time(us(ms))
