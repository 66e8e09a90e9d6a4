"""The engine as a process on a live or synthetic feed: one lease, one loop, nothing else in it.

    take the lease -> load -> (poll the feed, timers, commands, quotes, settings, checkpoint, renew) ... -> stop

A second engine of the same shard waits for the lease and says so, and so does one of another division while this one is
at work (`0/2` beside `0/1`). What is written goes through `patience`; what is
merely shown (quotes, the feed's status) is skipped while Redis is away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog

from trading.domain.events import FeedGap, MarketEvent
from trading.domain.shards import Shard
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS
from trading.engine.clock import Clock
from trading.engine.commands import CommandSource
from trading.engine.engine import Engine
from trading.engine.patience import Patience, PatientStore
from trading.engine.pick_up import PickUp
from trading.engine.publication import QuoteStore
from trading.market.errors import MarketError
from trading.stores.errors import LeaseHeld, LeaseLost, RedisAway
from trading.stores.transition import TransitionStore

POLL_SECONDS = 0.02
REST_SECONDS = 0.01  # between two polls: events come in batches, which halves the cost of a busy feed
LEASE_WAIT_SECONDS = 1.0
SAY_AGAIN_US = 30 * MICROSECONDS  # how often an engine without a lease says that it waits
SKIP_US = 1 * MICROSECONDS  # how long what is merely shown is left alone after Redis was away

COMMANDS_EVERY_US = 50_000
CATCH_UP_EVERY_US = 100_000  # with what other shards have made of the portfolios
QUOTES_EVERY_US = 100_000
FEED_EVERY_US = 250_000
CHECKPOINT_EVERY_US = 250_000
LEASE_EVERY_US = 1_500_000  # a lease lives 5 s: two renewals may be lost
RELOAD_EVERY_US = 2_000_000
SETTINGS_EVERY_US = 250_000  # looks at what another thread has read

logger = structlog.get_logger(__name__)


class Feed(Protocol):
    """Market events in real time; see `trading.market.feed`."""

    name: str

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong now, in sentences by instrument, venue or file."""

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        """The events that have come up."""

    def close(self) -> None:
        """Ends the feed."""


class Stores(msgspec.Struct, frozen=True):
    """What the wiring gives an engine. `portfolio` makes the store of a prefix, under the engine's lease."""

    portfolio: Callable[[str], TransitionStore]
    market: QuoteStore
    command: CommandSource


class PatientStores(dict[str, TransitionStore]):
    """The stores of an engine's portfolios by prefix, each made when it is first asked for."""

    def __init__(self, stores: Stores, patience: Patience) -> None:
        super().__init__()
        self._stores = stores
        self._patience = patience

    def __missing__(self, prefix: str) -> TransitionStore:
        self[prefix] = made = PatientStore(self._stores.portfolio(prefix), self._patience)
        return made


class Job:
    """Something that is done every so often; after RedisAway it is skipped for a while."""

    def __init__(self, every_us: int, action: Callable[[], object], may_skip: bool = False) -> None:
        self._every_us = every_us
        self._action = action
        self._may_skip = may_skip
        self._next_us = 0

    def run_if_due(self, now_us: int) -> None:
        """Does it if it is time. Raises what it raises, but RedisAway only if it must not be skipped."""
        if now_us < self._next_us:
            return
        self._next_us = now_us + self._every_us
        try:
            self._action()
        except RedisAway:
            if not self._may_skip:
                raise
            self._next_us = now_us + SKIP_US


class Runner:
    """One engine process. `grace_us` is how long after its event time an event may arrive and still come before the
    timers of that time: the way from a real exchange takes a while. `open_feed` opens the feed for the settings that
    are in force then. They are published once the lease is held: an engine that does nothing must not change what the
    monitor decides by."""

    def __init__(
        self,
        settings: PickUp,
        open_feed: Callable[[], Feed],
        stores: Stores,
        patience: Patience,
        clock: Clock,
        stopping: threading.Event,
        shard: Shard,
        grace_us: int = 0,
    ) -> None:
        self._settings = settings
        self._open_feed = open_feed
        self._stores = stores
        self._patience = patience
        self._clock = clock
        self._stopping = stopping
        self._shard = shard
        self._grace_us = grace_us
        self._feed_is_stale = False
        self._transitions = 0
        self._say_again_us = 0
        self._engine: Engine | None = None

    def run(self) -> dict[str, Any]:
        """Trades until `stopping` is set; returns what was done. Raises MarketError when the feed fails."""
        began_us = self._clock.now_us()
        while not self._stopping.is_set():
            if self._lease_taken():
                self._trade_under_lease()
        return self.report() | {"seconds": (self._clock.now_us() - began_us) / MICROSECONDS}

    def report(self) -> dict[str, Any]:
        """What this process has done so far."""
        engine = self._engine
        portfolios = engine.portfolios.values() if engine else ()
        return {
            "shard": str(self._shard),
            "messages": engine.messages if engine else 0,
            "transitions": self._transitions,
            "portfolios": {
                each.prefix: {
                    "open_trades": len(each.trades),
                    "closed_trades": each.state.total_trades,
                    "leg_outs": each.state.leg_out_count,
                    "net_pnl": str(each.state.cumulative_pnl),
                    "halted": each.halted,
                    "entries_stopped": each.entries_stopped,
                }
                for each in portfolios
            },
        }

    @staticmethod
    def _brief(engine: Engine) -> dict[str, int]:
        """The engine in one log line, over all portfolios."""
        portfolios = engine.portfolios.values()
        return {
            "messages": engine.messages,
            "open_trades": sum(len(each.trades) for each in portfolios),
            "closed_trades": sum(each.state.total_trades for each in portfolios),
            "leg_outs": sum(each.state.leg_out_count for each in portfolios),
        }

    def _lease_taken(self) -> bool:
        try:
            self._patience.take_lease()
        except (LeaseHeld, RedisAway) as error:
            now_us = self._clock.now_us()
            if now_us >= self._say_again_us:
                self._say_again_us = now_us + SAY_AGAIN_US
                logger.warning("engine_waits", reason=str(error))
            self._stopping.wait(LEASE_WAIT_SECONDS)
            return False
        self._say_again_us = 0
        return True

    def _trade_under_lease(self) -> None:
        """Opens the feed anew each time: an engine that begins with empty books needs the feed's snapshots."""
        self._settings.begin(self._clock.now_us())
        engine = self._engine = self._new_engine()
        try:
            self._settings.turn(engine, self._clock.now_us())
            feed = self._open_feed()
            try:
                engine.start(self._clock.now_us())
                logger.info("engine_started", shard=str(self._shard), feed=feed.name, **self._brief(engine))
                if not engine.markets:
                    logger.warning("shard_is_idle", shard=str(self._shard), reason="no instrument falls to it")
                while not self._stopping.is_set():
                    self._loop(engine, feed)
                    feed = self._opened_anew(engine, feed)
            finally:
                feed.close()
            self._finish(engine)
        except LeaseLost as lost:
            logger.error("lease_lost", error=str(lost))
        except RedisAway as error:
            logger.error("stopped_while_redis_was_away", error=str(error))
        except MarketError:
            self._finish(engine)
            raise
        finally:
            self._patience.release_lease()

    def _finish(self, engine: Engine) -> None:
        engine.checkpoint()
        engine.publish()
        logger.info("engine_stopped", **self._brief(engine))

    def _new_engine(self) -> Engine:
        return Engine(
            self._settings.whole,
            PatientStores(self._stores, self._patience),
            self._stores.market,
            self._stores.command,
            self._clock,
            self._shard,
            listener=self._tell,
        )

    def _loop(self, engine: Engine, feed: Feed) -> None:
        """Trades until it is told to stop, or new settings need another feed."""
        jobs = self._jobs(engine, feed)
        while not self._stopping.is_set() and not self._feed_is_stale:
            polled_us = self._clock.now_us()
            for event in feed.poll(POLL_SECONDS):
                engine.on_event(event)
            engine.on_time(polled_us - self._grace_us)
            now_us = self._clock.now_us()
            for job in jobs:
                job.run_if_due(now_us)
            self._stopping.wait(REST_SECONDS)

    def _jobs(self, engine: Engine, feed: Feed) -> list[Job]:
        return [
            Job(LEASE_EVERY_US, self._patience.renew_lease, may_skip=True),
            Job(COMMANDS_EVERY_US, engine.on_commands, may_skip=True),
            Job(CATCH_UP_EVERY_US, engine.catch_up),
            Job(QUOTES_EVERY_US, engine.publish, may_skip=True),
            Job(FEED_EVERY_US, lambda: engine.publish_feed(feed.name, feed.troubles.values()), may_skip=True),
            Job(SETTINGS_EVERY_US, lambda: self._pick_up(engine), may_skip=True),
            Job(CHECKPOINT_EVERY_US, engine.checkpoint),
            Job(RELOAD_EVERY_US, lambda: self._reload(engine)),
        ]

    def _pick_up(self, engine: Engine) -> None:
        self._feed_is_stale |= self._settings.turn(engine, self._clock.now_us())

    def _opened_anew(self, engine: Engine, feed: Feed) -> Feed:
        """Another feed for new instruments; the one that is there goes on if that one cannot be opened. What was
        printed in between is unknown: every book waits for its snapshot."""
        if not self._feed_is_stale:
            return feed
        self._feed_is_stale = False
        try:
            other = self._open_feed()
        except MarketError as error:
            logger.error("feed_not_opened_for_new_settings", error=str(error))
            return feed
        feed.close()
        for instrument in engine.markets:
            engine.on_event(FeedGap(instrument, engine.now_us, "opened anew for new settings"))
        logger.info("feed_opened_anew", feed=other.name)
        return other

    def _reload(self, engine: Engine) -> None:
        for portfolio in engine.portfolios.values():
            if portfolio.halted and portfolio.trouble:
                logger.error("portfolio_halted", portfolio=portfolio.prefix, reason=portfolio.halted)
                engine.start_portfolio(portfolio)
                if not portfolio.halted:
                    logger.warning("portfolio_reloaded", portfolio=portfolio.prefix)

    def _tell(self, prefix: str, before: Trade | None, after: Trade) -> None:
        self._transitions += 1
        if before is not None and before.status is after.status:
            return
        about: dict[str, Any] = {"portfolio": prefix, "trade_id": after.id, "symbol": after.symbol}
        if after.exit_reason is not None:
            about["reason"] = after.exit_reason
        if after.actual_profit_usd is not None:
            about["net_usd"] = str(after.actual_profit_usd)
        logger.debug(f"trade_{after.status.value.lower()}", **about)
