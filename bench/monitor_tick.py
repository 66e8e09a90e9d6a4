"""A monitor tick over many open trades, against the documents' loop: one GET and one parse for each trade."""

from __future__ import annotations

import random
import tempfile
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import orjson
import redis

from bench.measure import Ratio, compare, ratio_of, seconds_of
from paperdesk.embedded.redis_server import running_redis
from paperdesk.tables import TABLES
from trading.config import load_desk
from trading.domain.orders import Leg, Liquidity, Order, OrderStatus, OrderType, Role, Side
from trading.domain.portfolio import PortfolioState
from trading.domain.strategy import Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.engine.clock import EventClock
from trading.engine.monitor import Monitor
from trading.stores.command_store import CommandStore
from trading.stores.keys import OUTBOX, PortfolioKeys
from trading.stores.market_store import MarketQuote, MarketStore
from trading.stores.monitor_store import MonitorStore
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.rows import PAPER_TRADE, trade_row
from trading.stores.wire import decode_trade, encode_state, encode_trade

OPEN_TRADES = 10_000
OPEN_TRADES_MANY = 100_000
LOOP_LIMIT = 0.1
SECONDS_MAX = 0.5
CHANGED = 100  # between two ticks, of which
OPENED = CLOSED = 10
PAID_USD = Decimal("0.001")  # of funding: too little to reach a limit
KEYS_PER_WRITE = 2_000
NOW_US = 1_750_000_000_000_000
PRICE = Decimal(60_000)
SIZE_USD = Decimal(600)


def run(turns: int) -> list[Ratio]:
    """Three ratios: against the documents' loop, and a tick over many trades against half a second."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as url:
        client = redis.Redis.from_url(url)
        some = Crowd(client, OPEN_TRADES)
        name = f"monitor tick, {OPEN_TRADES:,} open trades"
        ours = (f"warm, {CHANGED} just changed", some.tick)
        bare = ("SMEMBERS, then GET and parse each", lambda: documents_loop(client, some.keys))
        found = [compare(name, ours, bare, turns, limit=LOOP_LIMIT, before_each=some.change)]
        client.flushall()
        many = Crowd(client, OPEN_TRADES_MANY)
        many.tick()
        quiet = [(seconds_of(many.tick), SECONDS_MAX) for _ in range(turns)]
        busy = []
        for _ in range(turns):
            many.change()
            busy.append((seconds_of(many.tick), SECONDS_MAX))
    name = f"monitor tick, {OPEN_TRADES_MANY:,} open trades"
    found.append(ratio_of(name, "warm", "half a second", quiet, limit=1.0))
    found.append(ratio_of(name, f"warm, {CHANGED} just changed", "half a second", busy, limit=1.0))
    return found


class Crowd:
    """A monitor over a portfolio with many open trades, which stay between their limits."""

    def __init__(self, client: redis.Redis, open_trades: int) -> None:
        desk = load_desk(defaults="synthetic")
        desk = msgspec.structs.replace(desk, strategies=desk.strategies[:1])
        strategy, market = desk.strategies[0], MarketStore(client)
        self.keys = PortfolioKeys(strategy.prefix)
        self._client = client
        self._outbox = Outbox(TABLES)
        self._model = open_trade(strategy)
        self._record = encode_trade(self._model)
        self._raws: dict[str, bytes] = {}
        state = PortfolioState.new(SIZE_USD * open_trades, NOW_US)
        PortfolioStore(client, strategy.prefix, self._outbox).create(state)
        self._open(open_trades)
        self._state = msgspec.structs.replace(
            state,
            available_capital=Decimal(0),
            total_open_positions=SIZE_USD * open_trades,
            active_trades=tuple(self._raws),
        )
        client.set(self.keys.state, encode_state(self._state))
        market.publish({each.id: MarketQuote(bid=PRICE, ask=PRICE, event_us=NOW_US) for each in desk.instruments})
        stores = {strategy.prefix: MonitorStore(client, strategy.prefix, self._outbox)}
        self._monitor = Monitor(desk, stores, market, CommandStore(client), EventClock(NOW_US))

    def tick(self) -> None:
        """One tick. Raises AssertionError if it missed a trade, or wanted one closed: that would be other work."""
        [portfolio] = self._monitor.tick().portfolios
        if portfolio.exits or len(portfolio.reading.trades) != len(self._raws) or portfolio.documents is None:
            raise AssertionError(f"{len(portfolio.reading.trades)} trades seen, {len(portfolio.exits)} to be closed")

    def change(self) -> None:
        """Opens, closes and rewrites trades as the engine would: set and state change, the outbox tells of each."""
        some = random.sample(list(self._raws), CHANGED - OPENED)
        for trade_id in some[:CLOSED]:
            closing = msgspec.structs.replace(self._trade(trade_id), status=TradeStatus.CLOSED, exit_us=NOW_US)
            del self._raws[trade_id]
            self._client.srem(self.keys.active_trades, trade_id)
            self._client.delete(self.keys.active_trade(trade_id))
            self._tell(closing)
        for trade_id in some[CLOSED:]:
            trade = self._trade(trade_id)
            changes = {"version": trade.version + 1, "funding_long_usd": trade.funding_long_usd + PAID_USD}
            trade = msgspec.structs.replace(trade, **changes)
            self._raws[trade_id] = encode_trade(trade, self._raws[trade_id])
            self._client.set(self.keys.active_trade(trade_id), self._raws[trade_id])
            self._tell(trade)
        for trade_id in self._open(OPENED):
            self._tell(self._trade(trade_id))
        self._state = msgspec.structs.replace(self._state, active_trades=tuple(self._raws))
        self._client.set(self.keys.state, encode_state(self._state))

    def _open(self, count: int) -> list[str]:
        ids = [str(uuid.uuid4()) for _ in range(count)]
        self._raws |= {each: self._record.replace(self._model.id.encode(), each.encode()) for each in ids}
        for start in range(0, count, KEYS_PER_WRITE):
            some = ids[start : start + KEYS_PER_WRITE]
            self._client.mset({self.keys.active_trade(each): self._raws[each] for each in some})
            self._client.sadd(self.keys.active_trades, *some)
        return ids

    def _trade(self, trade_id: str) -> Trade:
        return decode_trade(self._raws[trade_id], trade_id, self.keys.prefix)

    def _tell(self, trade: Trade) -> None:
        self._client.xadd(OUTBOX, cast(Any, self._outbox.entry(PAPER_TRADE, trade_row(trade))))


def open_trade(strategy: Strategy) -> Trade:
    """An Active trade of the strategy's first pair, both legs filled at the same price."""
    pair = strategy.pairs[0]
    long, short = pair.long.partition(":"), pair.short.partition(":")
    quantity = SIZE_USD / PRICE
    orders = {
        leg: Order(
            id=str(uuid.uuid4()),
            exchange=venue,
            symbol=symbol,
            leg=leg,
            role=Role.ENTRY,
            side=side,
            order_type=OrderType.LIMIT,
            price=PRICE,
            quantity=quantity,
            created_us=NOW_US,
            status=OrderStatus.FILLED,
            filled_us=NOW_US,
            fill_price=PRICE,
            filled_quantity=quantity,
            cash=-side.sign * SIZE_USD,
            liquidity=Liquidity.MAKER,
        )
        for leg, side, (venue, _, symbol) in ((Leg.LONG, Side.BUY, long), (Leg.SHORT, Side.SELL, short))
    }
    return Trade(
        id=str(uuid.uuid4()),
        portfolio=strategy.prefix,
        symbol=long[2],
        long_exchange=long[0],
        short_exchange=short[0],
        entry_us=NOW_US,
        entry_long_price=PRICE,
        entry_short_price=PRICE,
        entry_spread_bps=Decimal(0),
        position_size_usd=SIZE_USD,
        quantity=quantity,
        funding_delta_entry=Decimal(0),
        projected_profit_usd=Decimal(0),
        long_order=orders[Leg.LONG],
        short_order=orders[Leg.SHORT],
        status=TradeStatus.ACTIVE,
    )


def documents_loop(client: redis.Redis, keys: PortfolioKeys) -> float:
    """The documents' monitoring loop: the unrealised P&L of every trade, read one by one."""
    total = 0.0
    for trade_id in cast(set[bytes], client.smembers(keys.active_trades)):
        trade = orjson.loads(cast(bytes, client.get(keys.active_trade(trade_id.decode()))))
        size = trade["long_order"]["size"]
        total += size * (60_000 - trade["entry_long_price"]) + size * (trade["entry_short_price"] - 60_000)
    return total
