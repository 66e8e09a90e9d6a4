"""An atomic open and close in a portfolio with a long history, against the same in a young one."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import redis

from bench.measure import Ratio, compare
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
PER_TURN = 5  # a turn of a few milliseconds: on a busy machine many short turns tell more than few long ones
TURNS_EACH = 10
LIMIT = 1.2
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
        words = (f"{OLD:,} closed trades", f"{YOUNG} closed trades")
        refill = both(one.refill, other.refill)
        return [
            compare(
                "atomic open", (words[0], one.open_some), (words[1], other.open_some), turns * TURNS_EACH, LIMIT, refill
            ),
            compare(
                "atomic close",
                (words[0], one.close_some),
                (words[1], other.close_some),
                turns * TURNS_EACH,
                LIMIT,
                refill,
            ),
        ]


class Books:
    """A portfolio on a Redis of its own, with that many closed trades and always as many open ones."""

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
        while len(self._open) < OPEN_TRADES:
            self._open_one()

    def open_some(self) -> None:
        """Opens trades."""
        for _ in range(PER_TURN):
            self._open_one()

    def close_some(self) -> None:
        """Closes trades."""
        for _ in range(PER_TURN):
            self._close_one()

    def refill(self) -> None:
        """Brings the number of open trades back to where it was."""
        while len(self._open) < OPEN_TRADES:
            self._open_one()
        while len(self._open) > OPEN_TRADES:
            self._close_one()

    def _open_one(self) -> None:
        trade = with_new_ids(self._model)
        self._state = self._state.opened(trade)
        self._open.append(trade)
        self._store.commit(Transition(operation_id=trade.id, at_us=NOW_US, state=self._state, trades=(trade,)))

    def _close_one(self) -> None:
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


def both(one: Callable[[], object], other: Callable[[], object]) -> Callable[[], None]:
    """One after the other."""

    def run_both() -> None:
        one()
        other()

    return run_both
