"""The monitor at work on a live desk: one turn is a tick, the snapshot of it, and a call to the browsers.

Only the holder of the lease `monitor` takes turns; another one does nothing. Two at once would do no harm, since
everything that a tick writes is compared with what it was computed from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trading.domain.strategy import Desk
from trading.domain.units import text_of
from trading.engine.alarms import age_ms, alarms
from trading.engine.clock import Clock
from trading.engine.feeds import Feeds, joined
from trading.engine.monitor import Monitor, Tick
from trading.engine.snapshot import snapshot
from trading.stores.command_store import CommandStore
from trading.stores.desk_store import DeskStore
from trading.stores.errors import LeaseHeld, LeaseLost
from trading.stores.lease import Lease
from trading.stores.market_store import MarketQuote, MarketStore
from trading.stores.monitor_store import MonitorStore, SnapshotStore

SYNC_SHOWN = ("duckdb", "django", "clickhouse", "sweep", "reconcile", "relay", "verify", "audit", "trail")
SWEEP_COUNTS = ("seen", "accepted", "set_aside", "open", "incomplete")


class Watch:
    """Takes turns over the portfolios of one Redis. `portfolio` makes a portfolio's store under the lease."""

    def __init__(
        self,
        desks: DeskStore,
        portfolio: Callable[[str, Lease], MonitorStore],
        market: MarketStore,
        commands: CommandStore,
        snapshots: SnapshotStore,
        lease: Lease,
        clock: Clock,
        announce: Callable[[], None],
    ) -> None:
        self._desks = desks
        self._portfolio = portfolio
        self._market = market
        self._commands = commands
        self._snapshots = snapshots
        self._lease = lease
        self._clock = clock
        self._announce = announce
        self._desk: Desk | None = None
        self._stores: dict[str, MonitorStore] = {}
        self._monitor: Monitor | None = None
        self._began_us: int | None = None

    def turn(self, record: bool = False) -> Tick | None:
        """One turn; None, and nothing was done, while another monitor holds the lease or no engine has started.

        Raises RedisAway, WireError.
        """
        monitor = self._ready()
        if monitor is None or not self._held():
            return None
        try:
            tick = monitor.tick(record)
        except LeaseLost:
            self._lease.token = None
            return None
        self._snapshots.publish(msgspec.json.encode(self.snapshot(tick)))
        self._announce()
        return tick

    def release(self) -> None:
        """Lets another monitor take over at once."""
        self._lease.release()

    def snapshot(self, tick: Tick) -> dict[str, Any]:
        """The snapshot of a tick, with feed, followers and alarms as they are now."""
        now_us = tick.at_us
        feeds = joined(self._market.feeds(), now_us)
        feed = feed_part(feeds)
        states = self._snapshots.sync()
        followers = {name: follower_part(states[name], now_us) for name in SYNC_SHOWN if name in states}
        unreadable = {key: error for store in self._stores.values() for key, error in store.unreadable.items()}
        markets = [market_part(name, quote, now_us) for name, quote in tick.quotes.items()]
        sentences = alarms(feed, feeds.troubles, followers, unreadable, feeds.feed_troubles)
        if self._began_us is None:
            self._began_us = now_us
        up_ms = max(0, now_us - self._began_us) // 1_000
        return snapshot(tick, now_us // 1_000, feed, followers, markets, sentences, up_ms)

    def _ready(self) -> Monitor | None:
        desk = self._desks.read()
        if desk is not None and desk is not self._desk:
            self._desk = desk
            self._stores = {each.prefix: self._portfolio(each.prefix, self._lease) for each in desk.strategies}
            self._monitor = Monitor(
                desk, self._stores, self._market, self._commands, self._clock, pulse=self._lease.renew
            )
        return self._monitor

    def _held(self) -> bool:
        try:
            if self._lease.token is None:
                self._lease.acquire()
            else:
                self._lease.renew()
        except (LeaseHeld, LeaseLost):
            return False
        return True


def feed_part(feeds: Feeds) -> dict[str, Any]:
    """The feed as the snapshot shows it."""
    return {"name": feeds.name, "age_ms": feeds.age_ms, "messages_per_second": feeds.messages_per_second}


def follower_part(state: Mapping[str, Any], now_us: int) -> dict[str, Any]:
    """A follower as the snapshot shows it."""
    shown = {name: state.get(name) for name in ("lag", "error", "since_us")}
    shown |= {name: state[name] for name in SWEEP_COUNTS if name in state}
    return {**shown, "age_ms": age_ms(now_us, state.get("at_us"))}


def market_part(instrument: str, quote: MarketQuote, now_us: int) -> dict[str, Any]:
    """An instrument as the snapshot shows it; prices are text."""
    return {
        "instrument": instrument,
        "bid": None if quote.bid is None else text_of(quote.bid),
        "ask": None if quote.ask is None else text_of(quote.ask),
        "funding_rate": None if quote.funding_rate is None else text_of(quote.funding_rate),
        "age_ms": age_ms(now_us, quote.event_us),
        "state": quote.state,
        "reason": quote.reason,
    }
