"""Two engine shards beside each other for the state machine: each a world of its own, one Redis, the same portfolios.

Shard 0 of 2 has alpha's and beta's ETHUSDT, shard 1 their BTCUSDT; the prices are the same for both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from redis import Redis

from tests.trading.engine.machine_ledger import Ledger, Sums
from tests.trading.engine.machine_stores import RedisBackend
from tests.trading.engine.machine_world import BEGIN_US, World
from tests.trading.engine.scene import D, instrument, strategy, venue
from trading.domain.events import BookSnapshot, Print, TopOfBook
from trading.domain.orders import Order
from trading.domain.shards import Shard
from trading.domain.strategy import Desk, Pair
from trading.engine.working import Working

SHARDS = (Shard(0, 2), Shard(1, 2))
SYMBOLS = ("ETHUSDT", "BTCUSDT")  # of the shards
MIDS = {"alpha": 499_950, "beta": 502_050}  # tenths of a dollar
NOON_US = BEGIN_US + 12 * 3_600_000_000  # two engines whose times differ must not end a day between them
OPEN_MAX = 3


def shared_desk(first: Mapping[str, Any], second: Mapping[str, Any]) -> Desk:
    """Two portfolios on both symbols; three open trades fit into the first one, two into the second one's capital."""
    instruments = [instrument(name) for name in ("alpha", "beta")]
    eth = [msgspec.structs.replace(each, symbol="ETHUSDT", base_asset="ETH") for each in instruments]
    common: dict[str, Any] = {
        "pairs": tuple(Pair(f"alpha:{symbol}", f"beta:{symbol}") for symbol in SYMBOLS),
        "trades_open_per_pair_max": 3,
        "trades_open_max": OPEN_MAX,
        "cooldown_seconds": D("0.2"),
        "entry_timeout_seconds": D(2),
        "exit_timeout_seconds": D(1),
    }
    poor = {"prefix": "second", "starting_capital": D(2500), "leg_out_ms": 300}
    strategies = (strategy(**{**common, **first}), strategy(**{**common, **poor, **second}))
    return Desk((venue("alpha"), venue("beta")), (*instruments, *eth), strategies, seed=7)


class ShardWorld(World):
    """One shard, its market and its ledger."""

    def __init__(self, client: Redis, used: Desk, number: int) -> None:
        self.symbol = SYMBOLS[number]
        super().__init__(RedisBackend(client, SHARDS[number]), used, SHARDS[number], NOON_US)

    def at_us(self, ms: int) -> int:
        """An instant that many milliseconds from now."""
        return self.now_us + ms * 1_000

    def show_book(self, venue_name: str, ms: int, offset: int, lots: Sequence[int]) -> None:
        """A snapshot and its top, five dollars around the mid, a dollar between levels, both sides alike."""
        mid, name = MIDS[venue_name] + offset * 20, f"{venue_name}:{self.symbol}"
        self.book_id += 1
        below = [(f"{(mid - 50 - 10 * n) / 10:.1f}", f"{each / 1000:.3f}") for n, each in enumerate(lots)]
        above = [(f"{(mid + 50 + 10 * n) / 10:.1f}", f"{each / 1000:.3f}") for n, each in enumerate(lots)]
        self.deliver(BookSnapshot(name, self.at_us(ms), below, above, self.book_id))
        self.deliver(TopOfBook(name, self.now_us, *below[0], *above[0]))

    def resting(self) -> list[Working]:
        """The orders that rest at the venues."""
        return [each for market in self.engine.markets.values() for each in market.resting] if self.engine else []

    def hit(self, order: Order, ms: int) -> None:
        """A large print a tick through an order's price."""
        self.print_id += 1
        price = order.price - order.side.sign * Decimal("0.1")
        side: Any = "buy" if order.side.sign < 0 else "sell"
        self.show_print(Print(order.instrument, self.at_us(ms), self.print_id, f"{price:.1f}", "0.900", side))


def together(ledgers: Sequence[Ledger]) -> Ledger:
    """What all engines have written as one ledger. Raises AssertionError if two of them have something in common."""
    whole = Ledger()
    whole.sums = defaultdict(Sums)
    for ledger in ledgers:
        assert not whole.trades.keys() & ledger.trades.keys(), "two engines have written one trade"
        assert not whole.results.keys() & ledger.results.keys(), "two engines have written one result"
        whole.trades.update(ledger.trades)
        whole.sums.update(ledger.sums)
        whole.results.update(ledger.results)
        whole.paid.update(ledger.paid)
    return whole
