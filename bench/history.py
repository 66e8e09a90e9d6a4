"""An atomic open and close in a portfolio with a long history, against the same in a young one."""

from __future__ import annotations

import gc
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import redis

from bench.measure import Ratio, ratio_of_medians, seconds_of_both
from bench.monitor_tick import KEYS_PER_WRITE, NOW_US, PRICE, SIZE_USD, open_trade
from paperdesk.embedded.redis_server import running_redis
from paperdesk.tables import TABLES
from trading.config import load_desk
from trading.domain.orders import Leg, Order, Role, Side
from trading.domain.outcome import metrics_of, result_of
from trading.domain.portfolio import CLOSED_TRADES_KEPT, PortfolioState
from trading.domain.strategy import Desk
from trading.domain.trades import ExitReason, Trade, TradeStatus
from trading.stores.keys import PortfolioKeys
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Transition
from trading.stores.wire import encode_trade

YOUNG, OLD = 100, 100_000
OPEN_TRADES = 100
WARM_UP = 20  # opens and closes that do not count
TIMES_A_TURN = 60  # an open takes about a millisecond: many single ones, in turn, tell more than a few long runs
LIMIT = 1.2
REWRITE_SECONDS_MAX = 60.0
HOLD_US = 60_000_000
TRANSIT_US = 40_000  # of an order, to its venue and back


def run(turns: int) -> list[Ratio]:
    """Two ratios: opening, and closing with its results."""
    desk = load_desk(defaults="synthetic")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_redis(Path(folder) / "young") as young,
        running_redis(Path(folder) / "old") as old,
    ):
        one, other = Books(old, desk, OLD), Books(young, desk, YOUNG)
        opens, closes = [], []
        with no_collection():
            for turn in range(WARM_UP + turns * TIMES_A_TURN):
                young_first = turn % 2 == 0
                opens.append(seconds_of_both(one.open, other.open, young_first, collect=False))
                closes.append(seconds_of_both(one.close, other.close, young_first, collect=False))
    words = (f"{OLD:,} closed trades", f"{YOUNG} closed trades")
    return [
        ratio_of_medians("atomic open", *words, opens[WARM_UP:], LIMIT),
        ratio_of_medians("atomic close", *words, closes[WARM_UP:], LIMIT),
    ]


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection, which would fall on one of the two by chance."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Books:
    """A portfolio on a Redis of its own, with that many closed trades at first and always as many open ones."""

    def __init__(self, url: str, desk: Desk, closed_trades: int) -> None:
        strategy = desk.strategies[0]
        self._desk = desk
        self._model = open_trade(strategy)
        self._client = redis.Redis.from_url(url)
        self._store = PortfolioStore(self._client, strategy.prefix, Outbox(TABLES))
        self._open: list[Trade] = []
        ids = write_history(self._client, PortfolioKeys(strategy.prefix), self._model, closed_trades)
        state = PortfolioState.new(SIZE_USD * OPEN_TRADES * 2, NOW_US)
        self._state = msgspec.structs.replace(
            state, total_trades=closed_trades, closed_trades=tuple(ids[:CLOSED_TRADES_KEPT])
        )
        self._store.create(self._state)
        wait_for_rewrite(self._client)
        while len(self._open) < OPEN_TRADES:
            self.open()

    def open(self) -> None:
        """Opens a trade."""
        trade = with_new_ids(self._model)
        self._state = self._state.opened(trade)
        self._open.append(trade)
        self._store.commit(Transition(operation_id=trade.id, at_us=NOW_US, state=self._state, trades=(trade,)))

    def close(self) -> None:
        """Closes the oldest trade, with its results."""
        trade = closed(self._open.pop(0))
        exits = trade.orders
        self._state = self._state.closed(trade, Decimal(0), Decimal(0))
        self._store.commit(
            Transition(
                operation_id=f"{trade.id}:close",
                at_us=NOW_US + HOLD_US,
                state=self._state,
                trades=(trade,),
                results=tuple(result_of(trade, order) for order in exits),
                metrics=tuple(metrics_of(trade, order, TRANSIT_US) for order in exits),
            )
        )


def write_history(client: redis.Redis, keys: PortfolioKeys, model: Trade, count: int) -> list[str]:
    """Writes closed trades as earlier closes would have left them; returns their ids."""
    record, ids = encode_trade(closed(model)), [str(uuid.uuid4()) for _ in range(count)]
    for start in range(0, count, KEYS_PER_WRITE):
        some = ids[start : start + KEYS_PER_WRITE]
        client.mset({keys.closed_trade(each): record.replace(model.id.encode(), each.encode()) for each in some})
        client.zadd(keys.closed_index, dict.fromkeys(some, NOW_US - start))
    return ids


def wait_for_rewrite(client: redis.Redis) -> None:
    """Returns when the server has written its append-only file anew, which loading the history has set off."""
    deadline = time.monotonic() + REWRITE_SECONDS_MAX
    while client.info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < deadline:
        time.sleep(0.05)


def with_new_ids(trade: Trade) -> Trade:
    """The same trade as another one."""
    long, short = (msgspec.structs.replace(order, id=str(uuid.uuid4())) for order in trade.all_orders)
    return msgspec.structs.replace(trade, id=str(uuid.uuid4()), long_order=long, short_order=short)


def closed(trade: Trade) -> Trade:
    """The trade after both legs were closed at the price of their entry."""
    exits = tuple(closing_order(trade.entry_order(leg)) for leg in Leg)
    return msgspec.structs.replace(
        trade,
        orders=exits,
        status=TradeStatus.CLOSED,
        exit_reason=ExitReason.PROFIT_TARGET.value,
        exit_us=NOW_US + HOLD_US,
        actual_profit_usd=Decimal(0),
        version=2,
    )


def closing_order(entry: Order) -> Order:
    """The order that closes a leg."""
    side = Side.SELL if entry.side is Side.BUY else Side.BUY
    return msgspec.structs.replace(
        entry,
        id=str(uuid.uuid4()),
        role=Role.EXIT,
        side=side,
        created_us=NOW_US + HOLD_US,
        accepted_us=NOW_US + HOLD_US,
        filled_us=NOW_US + HOLD_US,
        cash=-side.sign * PRICE * entry.quantity,
    )
