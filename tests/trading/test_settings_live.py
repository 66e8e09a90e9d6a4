"""The whole way of a setting: saved in the database, taken in by a running engine within 3 s, seen by the monitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError
from redis import Redis

from paperdesk.tables import TABLES
from tests.trading.engine.test_runner import wait_until
from trading import settings_watch
from trading.domain.shards import WHOLE
from trading.engine.clock import SystemClock
from trading.engine.patience import Patience
from trading.engine.pick_up import PickUp
from trading.engine.runner import Runner, Stores
from trading.live_portfolios import live_portfolios
from trading.market.feed import open_feed
from trading.models import Instrument, Strategy, Venue
from trading.settings_desk import current_desk
from trading.settings_service import settings_save, settings_seed
from trading.settings_watch import SettingsWatch
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.desk_store import DeskStore, InForce
from trading.stores.lease import Lease
from trading.stores.market_store import MarketStore
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

IN_FORCE_SECONDS_MAX = 3.0
D = Decimal


class Running:
    """An engine on the synthetic feed and the settings of the database, in a thread."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.desks = DeskStore(client)
        self.stopping = threading.Event()
        clock = SystemClock()
        settings_seed("synthetic", clock.now_us())
        watch = SettingsWatch(self.stopping)
        watch.start()
        self.pick_up = PickUp(watch.newest, publish=self._publish)
        lease = Lease(client, "engine:0/1", "test")
        stores = Stores(
            lambda prefix: PortfolioStore(client, prefix, Outbox(TABLES), lease),
            MarketStore(client),
            CommandStore(client),
        )
        self.runner = Runner(
            self.pick_up,
            lambda: open_feed("synthetic", self.pick_up.feed_desk, clock, 300.0),
            stores,
            Patience(lease, self.stopping),
            clock,
            self.stopping,
            WHOLE,
        )
        self.thread = threading.Thread(target=self.runner.run)
        self.thread.start()

    def _publish(self, whole: Any, told: InForce) -> None:
        self.desks.publish(whole)
        self.desks.publish_in_force("0/1", told)

    @property
    def in_force(self) -> InForce:
        """What the engine says that it runs on."""
        return self.desks.in_force().get("0/1") or InForce(0)

    def strategy(self, prefix: str) -> Any:
        """What the engine itself decides by."""
        assert self.runner._engine is not None
        return self.runner._engine.portfolios[prefix].strategy

    def wait_for_version(self, version: int) -> float:
        """Seconds until the engine runs on it."""
        began = time.monotonic()
        wait_until(lambda: self.in_force.version == version, f"version {version} is in force")
        return time.monotonic() - began

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(10)
        assert not self.thread.is_alive()
        time.sleep(0.1)  # the watch closes its connection


@pytest.fixture
def running(redis_client: Redis) -> Iterator[Running]:
    engine = Running(redis_client)
    try:
        engine.wait_for_version(1)
        wait_until(lambda: engine.runner.report()["messages"] > 0, "the feed delivers")
        yield engine
    finally:
        engine.stop()


def save(row: Any, **changes: Any) -> int:
    for name, value in changes.items():
        setattr(row, name, value)
    return settings_save([row], "ann", SystemClock().now_us()).version


def stored(prefix: str = "strategy") -> Strategy:
    return Strategy.objects.get(pk=prefix)


def test_a_changed_threshold_is_in_force_within_three_seconds_and_the_monitor_reads_it(running: Running) -> None:
    version = save(stored(), entry_threshold_bps=D("31.5"))
    assert running.wait_for_version(version) < IN_FORCE_SECONDS_MAX
    assert running.strategy("strategy").entry_threshold_bps == D("31.5")
    assert running.strategy("strategy_complete").entry_threshold_bps == D(16)
    assert running.desks.read() == current_desk().desk
    told = running.in_force
    assert told.since_us["strategy strategy"] > told.since_us["strategy strategy_complete"]


def test_a_renamed_strategy_is_renamed_without_a_restart(running: Running) -> None:
    def name() -> str:
        return {line["prefix"]: line["name"] for line in live_portfolios(running.client)}["strategy"]

    wait_until(lambda: running.client.hexists(keys.PORTFOLIOS, "strategy"), "the portfolio began")
    assert name() == stored().name != "Renamed"
    assert running.wait_for_version(save(stored(), name="Renamed")) < IN_FORCE_SECONDS_MAX
    assert (name(), running.strategy("strategy").name) == ("Renamed", "Renamed")


def test_a_new_strategy_and_a_new_instrument_start_without_a_restart(running: Running) -> None:
    engine = running.runner._engine
    first = Instrument.objects.get(pk="okx:BTCUSDT")
    doge = Instrument(**{name: getattr(first, name) for name in ("contract_type", "quote_asset", "tick_size")})
    doge.venue, doge.symbol, doge.base_asset, doge.lot_step = "okx", "DOGEUSDT", "DOGE", D(1)
    save(doge)
    copy = stored()
    copy.prefix, copy.name, copy.version, copy.day = "third", "Third", 0, None
    assert running.wait_for_version(save(copy)) < IN_FORCE_SECONDS_MAX
    wait_until(lambda: running.client.exists("third:portfolio:state"), "the portfolio began")
    wait_until(lambda: running.client.sismember(keys.MARKET_INDEX, "okx:DOGEUSDT"), "the instrument is quoted")
    before = running.runner.report()["messages"]
    wait_until(lambda: running.runner.report()["messages"] > before + 50, "the feed goes on")
    assert running.runner._engine is engine  # it is the same engine, with what it knew
    assert [each["halted"] for each in running.runner.report()["portfolios"].values()] == [None, None, None]


def test_what_is_refused_changes_nothing_for_the_engine(running: Running) -> None:
    okx = Venue.objects.get(name="okx")
    okx.taker_fee_rate = D("0.9")
    with pytest.raises(Exception, match="venue okx: taker_fee_rate is 0.9"):
        save(okx)
    time.sleep(1.5)
    assert running.in_force.version == 1
    assert running.desks.read() == current_desk().desk


def test_a_database_that_is_away_or_wrong_leaves_the_last_settings_in_force(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = settings_watch.settings_version

    def away() -> int:
        raise DatabaseError("the server closed the connection")

    monkeypatch.setattr(settings_watch, "settings_version", away)
    version = save(stored(), leg_out_ms=900)
    time.sleep(1.5)
    assert (running.in_force.version, running.thread.is_alive()) == (1, True)
    Strategy.objects.filter(pk="strategy_complete").update(hedge="pray")  # past every check
    monkeypatch.setattr(settings_watch, "settings_version", read)
    time.sleep(1.5)
    assert running.in_force.version == 1
    Strategy.objects.filter(pk="strategy_complete").update(hedge="complete")
    assert running.wait_for_version(version) < IN_FORCE_SECONDS_MAX
    assert running.strategy("strategy").leg_out_ms == 900


def test_an_engine_that_is_gone_is_not_told_to_have_settings_in_force(redis_client: Redis) -> None:
    DeskStore(redis_client).publish_in_force("0/1", InForce(3))
    assert DeskStore(redis_client).in_force() == {}
