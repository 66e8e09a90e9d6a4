"""A small market of two venues for engine tests, and a store in memory that refuses what Redis would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from trading.domain.events import BookDiff, BookSnapshot, FundingRate, MarketEvent, Print, TopOfBook
from trading.domain.instruments import Instrument, Venue
from trading.domain.orders import Order, Role
from trading.domain.portfolio import PortfolioState
from trading.domain.shards import WHOLE, Shard
from trading.domain.strategy import Desk, Pair, Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.portfolio import Portfolio
from trading.stores.command_store import Command
from trading.stores.errors import RedisAway, StateMoved
from trading.stores.market_store import FeedStatus, LastFunding, MarketQuote
from trading.stores.transition import Checkpoint, Transition

START_US = 1_700_000_000_000_000
D = Decimal

ALPHA, BETA = "alpha:BTCUSDT", "beta:BTCUSDT"


class MemoryStore:
    """Keeps one portfolio; a transition must follow on exactly what is kept, as in Redis."""

    def __init__(self) -> None:
        self.state: PortfolioState | None = None
        self.open: dict[str, Trade] = {}
        self.closed: dict[str, Trade] = {}
        self.log: list[Transition] = []
        self.checkpoints: list[tuple[tuple[Trade, ...], dict[str, Any]]] = []
        self.watching: dict[str, Any] = {}  # witnesses by order
        self.moved = False  # another program wrote to the portfolio
        self.held: str | None = None  # why it may open no trades
        self.away_for = 0  # so many commits fail because Redis is away

    def load(self) -> tuple[PortfolioState | None, dict[str, Trade]]:
        return self.state, dict(self.open)

    def create(self, state: PortfolioState, name: str = "") -> None:
        assert self.state is None
        self.state = state

    def commit(self, transition: Transition) -> list[str]:
        if self.away_for:
            self.away_for -= 1
            raise RedisAway("Redis did not answer")
        if self.moved:
            raise StateMoved("strategy:portfolio:state has changed since it was read")
        assert transition.operation_id not in {done.operation_id for done in self.log}
        for trade in transition.trades:
            before = self.open.get(trade.id)
            assert trade.id not in self.closed, "a closed trade never changes"
            assert trade.version == (before.version + 1 if before else 1)
        if transition.state is not None:
            assert self.state is not None and transition.state.version > self.state.version
            transition.state.require_conserved()
            self.state = transition.state
        for trade in transition.trades:
            self.open[trade.id] = trade
            if trade.status is TradeStatus.CLOSED:
                self.closed[trade.id] = self.open.pop(trade.id)
        for shadow in transition.shadows:
            self.watching.pop(shadow.order_id, None)
        self.log.append(transition)
        return []

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append((checkpoint.trades, dict(checkpoint.progress)))
        if checkpoint.shadows:
            self.commit(Transition(operation_id=checkpoint.operation_id, at_us=0, shadows=checkpoint.shadows))
        self.watching.update(checkpoint.witnesses)
        for trade in checkpoint.trades:
            assert self.open[trade.id].version == trade.version
            self.open[trade.id] = trade

    def refresh(self) -> PortfolioState:
        assert self.state is not None
        return self.state

    def held_for(self) -> str | None:
        return self.held

    def witnesses(self) -> dict[str, Any]:
        return dict(self.watching)


class MemoryQuotes:
    """What was published."""

    def __init__(self) -> None:
        self.published: list[dict[str, MarketQuote]] = []
        self.feed: list[FeedStatus] = []

    def publish(self, quotes: Mapping[str, MarketQuote]) -> None:
        self.published.append(dict(quotes))

    def publish_feed(self, shard: Shard, status: FeedStatus) -> None:
        self.feed.append(status)

    def last_funding(self) -> dict[str, LastFunding]:
        told = [(name, LastFunding.of(quote)) for quotes in self.published for name, quote in quotes.items()]
        return {name: last for name, last in told if last is not None}


class MemoryCommands:
    """Commands that wait for the engine."""

    def __init__(self) -> None:
        self.waiting: list[Command] = []

    def send_exit(self, trade_id: str, expires_us: int, reason: str = "manual", prefix: str = "strategy") -> None:
        self.waiting.append(Command(f"{len(self.waiting)}-0", "exit", prefix, trade_id, reason, expires_us))

    def read(self, shard: str) -> list[Command]:
        return list(self.waiting)

    def acknowledge(self, shard: str, stream_id: str) -> None:
        ids = [command.stream_id for command in self.waiting]
        del self.waiting[: ids.index(stream_id) + 1]


def venue(name: str, **changes: Any) -> Venue:
    """10 ms each way, maker 2 bps, taker 5 bps."""
    fees = {"maker_fee_rate": D("0.0002"), "taker_fee_rate": D("0.0005")}
    latencies = {"order_latency_us": 10_000, "response_latency_us": 10_000}
    return Venue(name=name, **{**fees, **latencies, **changes})


def instrument(venue_name: str, lot_step: str = "0.001") -> Instrument:
    return Instrument(venue_name, "BTCUSDT", "BTC", "USDT", "linear_perpetual", D("0.1"), D(lot_step))


def strategy(**changes: Any) -> Strategy:
    """Buys alpha and sells beta from 20 bps on, 1,000 USD per leg, one trade at a time."""
    defaults: dict[str, Any] = {
        "prefix": "strategy",
        "name": "Test",
        "pairs": (Pair(ALPHA, BETA),),
        "position_size_usd": D(1000),
        "entry_threshold_bps": D(20),
        "cooldown_seconds": D(2),
    }
    return Strategy(**{**defaults, **changes})


def desk(
    *strategies: Strategy, alpha: Venue | None = None, beta: Venue | None = None, alpha_step: str = "0.001"
) -> Desk:
    venues = (alpha or venue("alpha"), beta or venue("beta"))
    return Desk(venues, (instrument("alpha", alpha_step), instrument("beta")), strategies or (strategy(),), seed=7)


class Scene:
    """An engine, its stores, and events written in milliseconds after the start."""

    def __init__(
        self,
        used: Desk | None = None,
        stores: dict[str, MemoryStore] | None = None,
        at_ms: int = 0,
        quotes: MemoryQuotes | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        self.desk = used or desk()
        self.stores = stores or {each.prefix: MemoryStore() for each in self.desk.strategies}
        self.clock = EventClock(START_US + at_ms * 1000)
        self.quotes = quotes or MemoryQuotes()
        self.commands = MemoryCommands()
        self.engine = Engine(self.desk, self.stores, self.quotes, self.commands, self.clock, shard)
        self.engine.start(START_US + at_ms * 1000)
        self._print_id = 0

    @property
    def store(self) -> MemoryStore:
        return self.stores["strategy"]

    @property
    def portfolio(self) -> Portfolio:
        return self.engine.portfolios["strategy"]

    @property
    def trade(self) -> Trade:
        """The only trade, as stored."""
        (trade,) = [*self.store.open.values(), *self.store.closed.values()]
        return trade

    def order(self, role: Role, leg: str) -> Order:
        """The trade's order of a role and leg."""
        return next(o for o in self.trade.all_orders if o.role is role and o.leg.value == leg)

    def event(self, event: MarketEvent) -> None:
        self.engine.on_event(event)

    def top(
        self, ms: int, instrument_id: str, bid: str, ask: str, bid_quantity: str = "10.0", ask_quantity: str = "10.0"
    ) -> None:
        self.event(TopOfBook(instrument_id, us(ms), bid, bid_quantity, ask, ask_quantity))

    def print_(self, ms: float, instrument_id: str, price: str, quantity: str, aggressor: str) -> None:
        self._print_id += 1
        self.event(Print(instrument_id, us(ms), self._print_id, price, quantity, aggressor))  # type: ignore[arg-type]

    def book(self, ms: int, instrument_id: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        self.event(BookSnapshot(instrument_id, us(ms), bids, asks, 100 + ms))

    def diff(self, ms: int, instrument_id: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        market_book = self.engine.markets[instrument_id].book
        last_id = market_book._last_id
        self.event(BookDiff(instrument_id, us(ms), bids, asks, last_id + 1, last_id + 1))

    def funding(self, ms: int, instrument_id: str, rate: str, mark: str, settles_ms: int) -> None:
        self.event(FundingRate(instrument_id, us(ms), rate, 8, mark, us(settles_ms)))

    def time(self, ms: float) -> None:
        self.engine.on_time(us(ms))

    def close(self, trade_id: str, reason: str = "manual") -> bool:
        return self.engine.close_trade("strategy", trade_id, reason)

    def open_trade(self) -> Trade:
        """Both tops such that the spread is (50,200 - 50,000) / 50,100 = 39.9 bps; the entry is sent at 1,100 ms.

        The quantity is floor(1000 / 50,210 = 0.01991..., 0.001) = 0.019.
        """
        self.time(1000)
        self.top(1050, ALPHA, "49990.0", "50000.0")
        self.time(2000)
        self.top(2100, BETA, "50200.0", "50210.0")
        return self.trade


def us(ms: float) -> int:
    return START_US + int(ms * 1000)


def changed(trade: Trade, **fields: Any) -> Trade:
    return msgspec.structs.replace(trade, **fields)
