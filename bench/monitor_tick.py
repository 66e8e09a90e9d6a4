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
from trading.stores.wire import decode_trade, encode_trade

OPEN_TRADES = 10_000
OPEN_TRADES_MANY = 100_000
LOOP_LIMIT = 0.1
SECONDS_MAX = 0.5
CHANGED = 100
KEYS_PER_WRITE = 2_000
NOW_US = 1_750_000_000_000_000
PRICE = Decimal(60_000)
SIZE_USD = Decimal(600)


def run(turns: int) -> list[Ratio]:
    """Three ratios: against the documents' loop, and a tick over many trades against half a second."""
    found = []
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as url:
        client = redis.Redis.from_url(url)
        monitor, keys, _ = prepare(client, OPEN_TRADES)
        found += [
            compare(
                f"monitor tick, {OPEN_TRADES:,} open trades",
                ("tick, warm", monitor.tick),
                ("SMEMBERS, then GET and parse each", lambda: documents_loop(client, keys)),
                turns,
                limit=LOOP_LIMIT,
            )
        ]
        client.flushall()
        monitor, keys, raws = prepare(client, OPEN_TRADES_MANY)
        monitor.tick()
        quiet = [(seconds_of(monitor.tick), SECONDS_MAX) for _ in range(turns)]
        busy = []
        for _ in range(turns):
            change(client, raws)
            busy.append((seconds_of(monitor.tick), SECONDS_MAX))
    name = f"monitor tick, {OPEN_TRADES_MANY:,} open trades"
    found.append(ratio_of(name, "tick, warm", "half a second", quiet, limit=1.0))
    found.append(ratio_of(name, f"tick, {CHANGED} of them just changed", "half a second", busy, limit=1.0))
    return found


def prepare(client: redis.Redis, open_trades: int) -> tuple[Monitor, PortfolioKeys, dict[str, bytes]]:
    """A monitor over a portfolio with open trades that stay between their limits; their records by key."""
    desk = load_desk(defaults="synthetic")
    desk = msgspec.structs.replace(desk, strategies=desk.strategies[:1])
    strategy, clock, outbox = desk.strategies[0], EventClock(NOW_US), Outbox(TABLES)
    keys, market = PortfolioKeys(strategy.prefix), MarketStore(client)
    model = open_trade(strategy)
    record, ids = encode_trade(model), [str(uuid.uuid4()) for _ in range(open_trades)]
    capital = SIZE_USD * open_trades
    state = PortfolioState.new(capital, NOW_US)
    state = msgspec.structs.replace(
        state, available_capital=Decimal(0), total_open_positions=capital, active_trades=tuple(ids)
    )
    PortfolioStore(client, strategy.prefix, outbox).create(state)
    raws = {keys.active_trade(each): record.replace(model.id.encode(), each.encode()) for each in ids}
    for start in range(0, open_trades, KEYS_PER_WRITE):
        some = ids[start : start + KEYS_PER_WRITE]
        client.mset({key: raws[key] for key in map(keys.active_trade, some)})
        client.sadd(keys.active_trades, *some)
    market.publish({each.id: MarketQuote(bid=PRICE, ask=PRICE, event_us=NOW_US) for each in desk.instruments})
    stores = {strategy.prefix: MonitorStore(client, strategy.prefix, outbox)}
    return Monitor(desk, stores, market, CommandStore(client), clock), keys, raws


def change(client: redis.Redis, raws: dict[str, bytes]) -> None:
    """Rewrites some records as the engine would: the outbox tells of each."""
    outbox = Outbox(TABLES)
    for key in random.sample(list(raws), CHANGED):
        trade = decode_trade(raws[key], key, "strategy")
        changes = {"version": trade.version + 1, "funding_long_usd": trade.funding_long_usd + 1}
        trade = msgspec.structs.replace(trade, **changes)
        raws[key] = encode_trade(trade, raws[key])
        client.set(key, raws[key])
        client.xadd(OUTBOX, cast(Any, outbox.entry(PAPER_TRADE, trade_row(trade))))


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
