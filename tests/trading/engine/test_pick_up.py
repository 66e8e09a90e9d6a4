"""New settings for a running engine: in force from the next decision on, open trades go on, what must wait waits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.trading.engine.scene import ALPHA, BETA, MemoryStore, Scene, desk, instrument, strategy, venue
from trading.domain.events import FundingRate
from trading.domain.instruments import Instrument
from trading.domain.shards import Shard
from trading.domain.strategy import Desk, Pair
from trading.domain.trades import TradeStatus
from trading.engine.pick_up import PickUp
from trading.engine.portfolio import SWITCHED_OFF
from trading.stores.desk_store import InForce, VersionedDesk

D = Decimal
replace = msgspec.structs.replace


class Wanted:
    """The newest settings, as a database would give them; and what was published."""

    def __init__(self, first: Desk) -> None:
        self.newest = VersionedDesk(1, first)
        self.published: list[tuple[Desk, InForce]] = []
        self.pick_up = PickUp(lambda: self.newest, publish=lambda whole, told: self.published.append((whole, told)))
        self.pick_up.begin(0)

    def change(self, wanted: Desk) -> None:
        self.newest = VersionedDesk(self.newest.version + 1, wanted)


def changed(before: Desk, prefix: str = "strategy", **changes: Any) -> Desk:
    strategies = [replace(each, **changes) if each.prefix == prefix else each for each in before.strategies]
    return replace(before, strategies=tuple(strategies))


def widen(scene: Scene, ms: int) -> None:
    """Tops such that the spread is 39.9 bps."""
    scene.top(ms, ALPHA, "49990.0", "50000.0")
    scene.top(ms, BETA, "50200.0", "50210.0")


def quiet_scene(**changes: Any) -> Scene:
    """Nothing is entered at 39.9 bps."""
    scene = Scene(desk(strategy(entry_threshold_bps=D(60), **changes)))
    scene.time(1000)
    widen(scene, 1100)
    scene.time(3000)
    widen(scene, 3100)
    assert not scene.store.open
    return scene


def test_a_lower_threshold_enters_at_the_next_top_of_book() -> None:
    scene = quiet_scene()
    scene.engine.retune(changed(scene.desk, entry_threshold_bps=D(20)))
    scene.top(3110, BETA, "50200.0", "50210.0")  # the prices of before
    assert len(scene.store.open) == 1


def test_a_higher_threshold_keeps_from_entering() -> None:
    scene = Scene(desk(strategy(entry_threshold_bps=D(20))))
    scene.time(1000)
    scene.engine.retune(changed(scene.desk, entry_threshold_bps=D(60)))
    widen(scene, 1100)
    assert not scene.store.open


def test_a_strategy_that_is_switched_off_enters_nothing_and_its_open_trade_goes_on_to_its_end() -> None:
    scene = Scene()
    trade = scene.open_trade()
    scene.print_(2200, ALPHA, "49980.0", "1", "sell")
    scene.print_(2210, BETA, "50220.0", "1", "buy")
    assert scene.trade.status is TradeStatus.ACTIVE
    scene.engine.retune(changed(scene.desk, enabled=False))
    assert scene.portfolio.trouble is None
    widen(scene, 9000)
    assert scene.close(trade.id)
    scene.time(9500)
    widen(scene, 9600)
    assert scene.store.closed[trade.id].exit_reason == "manual"
    widen(scene, 30000)
    assert not scene.store.open
    scene.engine.retune(scene.desk)
    widen(scene, 31000)
    assert len(scene.store.open) == 1


def test_a_new_strategy_begins_its_portfolio_and_takes_part_in_funding_and_entries() -> None:
    scene = quiet_scene()
    added = strategy(prefix="second", name="Second")
    scene.stores["second"] = MemoryStore()
    scene.engine.retune(desk(*scene.desk.strategies, added))
    widen(scene, 3200)
    assert not scene.store.open
    (trade,) = scene.stores["second"].open.values()
    assert trade.portfolio == "second"
    scene.commands.send_exit(trade.id, 0, prefix="second")
    scene.engine.on_commands()
    assert not scene.commands.waiting  # the portfolio is known to those who read commands


def test_a_strategy_that_never_began_and_is_switched_off_has_no_portfolio_until_it_is_switched_on() -> None:
    used = desk(strategy(enabled=False))
    scene = Scene(used)
    assert scene.store.state is None
    assert (scene.portfolio.halted, scene.portfolio.trouble) == (SWITCHED_OFF, None)
    scene.engine.retune(changed(used, enabled=True))
    assert scene.store.state is not None
    scene.open_trade()


def test_a_strategy_that_the_desk_no_longer_has_enters_nothing() -> None:
    scene = Scene(desk(strategy(), strategy(prefix="second", name="Second")))
    scene.engine.retune(desk(strategy(prefix="second", name="Second")))
    scene.time(1000)
    widen(scene, 1100)
    assert not scene.store.open
    assert len(scene.stores["second"].open) == 1


def test_a_baseline_goes_on_when_other_settings_change_and_begins_anew_when_it_looks_back_otherwise() -> None:
    scene = Scene(desk(strategy(signal="basis", baseline_seconds=3, entry_threshold_bps=D(60))))
    for second in range(1, 6):
        widen(scene, second * 1000 - 10)
        scene.time(second * 1000)
    (before,) = scene.engine._signals
    mean = before.watchers[0].baseline.mean_bps(scene.engine.now_us)  # type: ignore[union-attr]
    assert mean is not None
    scene.engine.retune(changed(scene.desk, entry_threshold_bps=D(1)))
    (after,) = scene.engine._signals
    assert after.watchers[0].baseline.mean_bps(scene.engine.now_us) == mean  # type: ignore[union-attr]
    assert after.watchers[0].screen_bps == pytest.approx(float(mean) + 1, abs=1e-5)
    scene.engine.retune(changed(scene.desk, baseline_seconds=9))
    (anew,) = scene.engine._signals
    assert anew.watchers[0].baseline.mean_bps(scene.engine.now_us) is None  # type: ignore[union-attr]
    assert [len(market.signals) for market in scene.engine.markets.values()] == [1, 1]


def test_a_venues_fees_hold_for_the_next_fill_and_its_book_age_for_the_next_look() -> None:
    scene = Scene()
    scene.open_trade()
    dear = venue("alpha", maker_fee_rate=D("0.001"), book_age_us_max=2_000_000)
    scene.engine.retune(desk(strategy(), alpha=dear))
    scene.print_(2200, ALPHA, "49980.0", "1", "sell")
    # 0.019 * 49,990 * 0.001 = 0.94981
    assert scene.trade.long_order.fee == D("0.94981")
    assert scene.engine.markets[ALPHA].book.state(scene.engine.now_us + 2_000_000) == "stale"


def third_venue(before: Desk) -> Desk:
    gamma = Instrument("gamma", "BTCUSDT", "BTC", "USDT", "linear_perpetual", D("0.1"), D("0.001"))
    return Desk((*before.venues, venue("gamma")), (*before.instruments, gamma), before.strategies, before.seed)


def test_a_new_instrument_asks_for_another_feed_and_is_traded_like_the_others() -> None:
    scene = quiet_scene()
    wanted = Wanted(scene.desk)
    assert not wanted.pick_up.turn(scene.engine, 1)
    wanted.change(changed(third_venue(scene.desk), pairs=(Pair(ALPHA, "gamma:BTCUSDT"),), entry_threshold_bps=D(20)))
    assert wanted.pick_up.turn(scene.engine, 2)
    assert not wanted.pick_up.turn(scene.engine, 3)
    scene.top(3200, ALPHA, "49990.0", "50000.0")
    scene.top(3200, "gamma:BTCUSDT", "50200.0", "50210.0")
    assert scene.trade.short_exchange == "gamma"
    scene.engine.publish()
    assert "gamma:BTCUSDT" in scene.quotes.published[-1]
    scene.event(FundingRate("gamma:BTCUSDT", scene.engine.now_us, "0.0001", 8, "50200", scene.engine.now_us + 10**6))
    assert scene.engine.markets["gamma:BTCUSDT"].funding is not None


def test_an_instruments_steps_wait_for_its_open_trade_and_the_rest_of_the_version_does_not() -> None:
    scene = Scene()
    trade = scene.open_trade()
    wanted = Wanted(scene.desk)
    coarse = replace(instrument("alpha"), lot_step=D("0.01"))
    both = replace(changed(scene.desk, leg_out_ms=900), instruments=(coarse, instrument("beta")))
    wanted.change(both)
    assert not wanted.pick_up.turn(scene.engine, 5)
    assert scene.engine.markets[ALPHA].instrument.lot_step == D("0.001")
    assert scene.portfolio.strategy.leg_out_ms == 900
    whole, told = wanted.published[-1]
    assert whole.instruments[0].lot_step == D("0.001")
    assert (told.version, told.waiting) == (
        2,
        {
            "instrument alpha:BTCUSDT": "instrument alpha:BTCUSDT: a trade in it is open, its new settings wait until "
            "it is closed"
        },
    )
    scene.time(60_000)  # the entry timeout closes it
    assert trade.id in scene.store.closed and not scene.store.open
    assert wanted.pick_up.turn(scene.engine, 7)
    assert scene.engine.markets[ALPHA].instrument.lot_step == D("0.01")
    whole, told = wanted.published[-1]
    assert (whole, told.waiting) == (both, {})
    assert told.since_us == {
        "venue alpha": 0,
        "venue beta": 0,
        "instrument alpha:BTCUSDT": 7,
        "instrument beta:BTCUSDT": 0,
        "strategy strategy": 5,
    }


def test_what_is_in_force_is_published_once_and_again_after_redis_was_away() -> None:
    scene = quiet_scene()
    wanted = Wanted(scene.desk)
    for now_us in (1, 2):
        wanted.pick_up.turn(scene.engine, now_us)
    assert [told.version for _, told in wanted.published] == [1]
    wanted.change(changed(scene.desk, leg_out_ms=700))
    away = [True]
    publish = wanted.pick_up._publish

    def failing(whole: Desk, told: InForce) -> object:
        if away.pop() if away else False:
            raise ConnectionError
        return publish(whole, told)

    wanted.pick_up._publish = failing
    with pytest.raises(ConnectionError):
        wanted.pick_up.turn(scene.engine, 3)
    assert scene.portfolio.strategy.leg_out_ms == 700
    wanted.pick_up.turn(scene.engine, 4)
    assert [(told.version, told.at_us) for _, told in wanted.published] == [(1, 0), (2, 3)]


def test_a_shard_opens_its_feed_anew_only_for_instruments_of_its_own_and_publishes_the_whole_desk() -> None:
    eth = tuple(replace(instrument(each), symbol="ETHUSDT", base_asset="ETH") for each in ("alpha", "beta"))
    used = desk(strategy(), strategy(prefix="second", name="Second"))
    published: list[Desk] = []
    newest = VersionedDesk(1, used)
    pick_up = PickUp(
        lambda: newest, part=Shard(1, 2).part_of, publish=lambda whole, _told: published.append(whole)
    )  # BTC falls to 1 of 2, ETH to 0
    pick_up.begin(0)
    scene = Scene(pick_up.whole)
    both = replace(used, instruments=(*used.instruments, *eth))
    newest = VersionedDesk(2, changed(both, "second", leg_out_ms=800))
    assert not pick_up.turn(scene.engine, 1)
    assert scene.engine.portfolios["second"].strategy.leg_out_ms == 800
    assert [each.id for each in pick_up.feed_desk.instruments] == [ALPHA, BETA]
    assert published[-1] == newest.desk
    newest = VersionedDesk(3, third_venue(newest.desk))
    assert pick_up.turn(scene.engine, 2)
    assert [each.id for each in pick_up.feed_desk.instruments] == [ALPHA, BETA, "gamma:BTCUSDT"]
