"""The monitor at work on a real Redis: turns, lease, snapshot and alarms."""

from __future__ import annotations

import time
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import redis

from paperdesk.tables import TABLES
from tests.trading.engine.test_monitor import active_trade, desk, quote
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade
from trading.engine import marks
from trading.engine.alarms import alarms
from trading.engine.clock import EventClock
from trading.engine.marks import MarkTable
from trading.engine.watch import Watch, follower_part
from trading.live_portfolios import live_portfolios
from trading.stores import keys, open_trades
from trading.stores.command_store import CommandStore
from trading.stores.desk_store import DeskStore
from trading.stores.errors import WireError
from trading.stores.keys import PortfolioKeys
from trading.stores.lease import LIFETIME_MS, Lease
from trading.stores.market_store import MarketStore
from trading.stores.monitor_store import MonitorStore, SnapshotStore
from trading.stores.open_trades import OpenTrades
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Transition

NOON_US = 20_000 * 86_400_000_000 + 43_200_000_000
KEYS = PortfolioKeys("strategy")


def watch_of(client: redis.Redis, owner: str = "one", lifetime_ms: int = LIFETIME_MS) -> tuple[Watch, list[str]]:
    announced: list[str] = []
    outbox = Outbox(TABLES)
    watch = Watch(
        DeskStore(client),
        lambda prefix, lease: MonitorStore(client, prefix, outbox, lease),
        MarketStore(client),
        CommandStore(client),
        SnapshotStore(client),
        Lease(client, "monitor", owner, lifetime_ms),
        EventClock(NOON_US),
        lambda: announced.append(owner),
    )
    return watch, announced


@pytest.fixture
def running(redis_client: redis.Redis) -> redis.Redis:
    """A Redis in which an engine has opened one trade that is far above its profit target."""
    DeskStore(redis_client).publish(desk())
    store = PortfolioStore(redis_client, "strategy", Outbox(TABLES))
    state = PortfolioState.new(active_trade().position_size_usd * 4, NOON_US)
    store.create(state, "Test")
    trade = msgspec.structs.replace(active_trade(), id="0b0f6c3e-8f5e-4a52-b1a2-0d5f0a4b1c11")
    store.commit(Transition(operation_id="open", at_us=NOON_US, state=state.opened(trade), trades=(trade,)))
    MarketStore(redis_client).publish({"a:BTCUSDT": quote("42900"), "b:BTCUSDT": quote("42000")})
    return redis_client


def test_a_renamed_strategy_is_renamed_on_the_page_and_in_the_list_of_portfolios(running: redis.Redis) -> None:
    watch, _ = watch_of(running)
    watch.turn()
    running.hset(keys.PORTFOLIOS, "other", '{"name":"Of another desk"}')
    before = msgspec.json.decode(running.hget(keys.PORTFOLIOS, "strategy") or b"")
    assert before["name"] == "Test"
    (strategy,) = desk().strategies
    renamed = msgspec.structs.replace(desk(), strategies=(msgspec.structs.replace(strategy, name="Renamed \u00e9"),))
    DeskStore(running).publish(renamed)
    watch.turn()
    snapshot = msgspec.json.decode(SnapshotStore(running).newest() or b"")
    assert snapshot["portfolios"][0]["name"] == "Renamed \u00e9"
    after = {line["prefix"]: line for line in live_portfolios(running)}
    assert (after["strategy"]["name"], after["other"]["name"]) == ("Renamed \u00e9", "Of another desk")
    line = msgspec.json.decode(running.hget(keys.PORTFOLIOS, "strategy") or b"")
    assert {**line, "name": "Test"} == before


def test_a_turn_writes_metrics_asks_for_exits_and_publishes_a_snapshot(running: redis.Redis) -> None:
    watch, announced = watch_of(running)
    tick = watch.turn()
    assert tick is not None and announced == ["one"]
    assert [command.reason for command in CommandStore(running).read("0/1")] == ["profit_target"]
    snapshot = msgspec.json.decode(SnapshotStore(running).newest() or b"")
    part = snapshot["portfolios"][0]
    assert part["metrics"] == msgspec.json.decode(running.get(KEYS.metrics))  # type: ignore[arg-type]
    assert part["metrics"]["active_trade_count"] == len(part["trades"]) == 1
    marks: Any = running.hgetall(KEYS.marks)
    assert msgspec.json.decode(marks[b"trade_ids"]) == [part["trades"][0]["id"]]
    assert msgspec.json.decode(marks[b"unrealised_usd"]) == [float(part["trades"][0]["unrealised_usd"])]


def test_a_quote_that_grew_too_old_is_shown_as_stale_and_leaves_its_trade_unmarked(running: redis.Redis) -> None:
    old = msgspec.structs.replace(quote("42000"), event_us=NOON_US - 60_000_000)
    MarketStore(running).publish({"a:BTCUSDT": quote("42900"), "b:BTCUSDT": old})
    watch_of(running)[0].turn()
    snapshot = msgspec.json.decode(SnapshotStore(running).newest() or b"")
    shown = {market["instrument"]: (market["state"], market["reason"]) for market in snapshot["markets"]}
    assert shown == {"a:BTCUSDT": ("ok", ""), "b:BTCUSDT": ("stale", "its newest quote is 60 s old")}
    assert snapshot["portfolios"][0]["trades"][0]["unrealised_usd"] is None
    assert snapshot["portfolios"][0]["unrealised_usd"] is None


def test_a_turn_writes_the_day_durably_at_first_sight(running: redis.Redis) -> None:
    watch_of(running)[0].turn()
    entries: Any = running.xrange(keys.OUTBOX)
    tables = [fields[b"table"] for _, fields in entries]
    assert tables == [b"paper_trade", b"daily_metrics", b"portfolio_snapshot"]
    assert msgspec.json.decode(running.get(KEYS.daily))["trades_executed"] == 0  # type: ignore[arg-type]


def test_a_second_monitor_does_nothing_until_the_first_lets_go(running: redis.Redis) -> None:
    first, second = watch_of(running)[0], watch_of(running, "two")[0]
    assert first.turn() is not None
    assert second.turn() is None
    first.release()
    assert second.turn() is not None
    assert first.turn() is None


def test_without_an_engine_there_is_nothing_to_watch(redis_client: redis.Redis) -> None:
    watch, announced = watch_of(redis_client)
    assert watch.turn() is None and announced == []


def test_a_settings_record_that_cannot_be_read_is_an_error_with_its_key(redis_client: redis.Redis) -> None:
    redis_client.set(keys.DESK, b'{"venues": 3}')
    with pytest.raises(WireError, match="paperdesk:desk: .*venues"):
        watch_of(redis_client)[0].turn()


def test_an_unreadable_trade_is_an_alarm_and_not_the_end_of_the_turn(running: redis.Redis) -> None:
    running.sadd(KEYS.active_trades, "stray")
    watch_of(running)[0].turn()
    shown = msgspec.json.decode(SnapshotStore(running).newest() or b"")
    assert any("strategy:trades:active:stray" in alarm for alarm in shown["alarms"])
    assert len(shown["portfolios"][0]["trades"]) == 1


def test_alarms_name_what_is_silent_away_or_different() -> None:
    away = {"lag": 312, "error": "refused", "since_us": NOON_US + 1_000_000, "age_ms": 9}
    differ = {"lag": 0, "error": "3 rows differ between the stores", "since_us": None, "age_ms": 9}
    found = alarms({"age_ms": 4_200}, {"strategy": "state has moved"}, {"clickhouse": away, "verify": differ}, {})
    assert found == [
        "The feed has been silent for 4 s.",
        "Portfolio strategy does not trade: state has moved",
        "ClickHouse is in trouble since 2024-10-04 12:00:01 UTC; 312 rows wait.",
        "The stores do not agree: 3 rows differ between the stores; see manage.py verify_stores.",
    ]
    audited = alarms({"age_ms": 40}, {}, {"audit": differ}, {})
    assert audited == ["The stores do not agree: 3 rows differ between the stores; see manage.py verify_stores."]
    assert alarms({"age_ms": 40}, {}, {"clickhouse": away | {"error": None}}, {}) == []


def test_a_snapshot_says_for_how_long_its_monitor_has_watched(running: redis.Redis) -> None:
    watch, _ = watch_of(running)
    for up_ms in (0, 7_000):
        watch._clock.move_to(NOON_US + 1_000 * up_ms)  # type: ignore[attr-defined]
        watch.turn()
        assert msgspec.json.decode(SnapshotStore(running).newest() or b"")["up_ms"] == up_ms


def test_records_of_other_programs_that_were_set_aside_are_an_alarm_and_counted() -> None:
    state = {"position": "5", "lag": 0, "at_us": 9_000, "seen": 5, "accepted": 3, "set_aside": 2, "open": 2}
    shown = follower_part(state, 10_000)
    assert (shown["age_ms"], shown["seen"], shown["accepted"], shown["set_aside"]) == (1, 5, 3, 2)
    assert alarms({"age_ms": 4}, {}, {"sweep": shown}, {}) == [
        "2 records of other programs could not be taken; see the dead letters in the admin."
    ]
    assert alarms({"age_ms": 4}, {}, {"sweep": shown | {"open": 0}}, {}) == []


def test_what_is_wrong_with_the_feed_is_told_in_a_few_sentences() -> None:
    found = alarms({"age_ms": 40}, {}, {}, {}, [f"okx: market {number}: gone" for number in range(7)])
    assert found[0] == "Feed: okx: market 0: gone."
    assert found[5:] == ["2 more troubles of the feed stand in the engine's log."]


def more_trades(client: redis.Redis, count: int) -> None:
    """Open trades beside the first one, as an engine writes them."""
    store = PortfolioStore(client, "strategy", Outbox(TABLES))
    state, _ = store.load()
    for number in range(count):
        trade = msgspec.structs.replace(active_trade(), id=str(uuid.UUID(int=number)), position_size_usd=Decimal(1))
        assert state is not None
        state = state.opened(trade)
        store.commit(Transition(operation_id=f"open {number}", at_us=NOON_US, state=state, trades=(trade,)))


def test_a_first_look_at_more_trades_than_the_lease_has_time_for_counts(
    running: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight slices of a quarter of a second each, under a lease of one second."""
    more_trades(running, 15)
    read = OpenTrades._records

    def slowly(self: OpenTrades, trade_ids: list[str]) -> list[bytes | None]:
        time.sleep(0.25)
        return read(self, trade_ids)

    monkeypatch.setattr(open_trades, "READ_AT_ONCE", 2)
    monkeypatch.setattr(OpenTrades, "_records", slowly)
    watch, announced = watch_of(running, lifetime_ms=1_000)
    tick = watch.turn()
    assert tick is not None
    assert (len(tick.portfolios[0].reading.trades), announced) == (16, ["one"])
    assert tick.portfolios[0].documents is not None


def test_while_many_trades_are_marked_for_the_first_time_the_lease_is_kept(
    running: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    more_trades(running, 7)
    mark = MarkTable._numbers

    def slowly(self: MarkTable, trade: Trade) -> tuple[float, ...]:
        time.sleep(0.2)
        return mark(self, trade)

    monkeypatch.setattr(marks, "TAKEN_AT_ONCE", 1)
    monkeypatch.setattr(MarkTable, "_numbers", slowly)
    watch, _ = watch_of(running, lifetime_ms=1_000)
    tick = watch.turn()
    assert tick is not None and tick.portfolios[0].documents is not None


def test_a_look_that_lost_its_lease_on_the_way_is_made_up_for_by_the_next(
    running: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    more_trades(running, 15)
    monkeypatch.setattr(open_trades, "READ_AT_ONCE", 4)
    watch, announced = watch_of(running)
    read, looks = OpenTrades._records, []

    def losing(self: OpenTrades, trade_ids: list[str]) -> list[bytes | None]:
        looks.append(trade_ids)
        if len(looks) == 2:
            running.delete(keys.lease("monitor"))
        return read(self, trade_ids)

    monkeypatch.setattr(OpenTrades, "_records", losing)
    assert watch.turn() is None
    assert (len(looks), announced) == (2, [])
    tick = watch.turn()
    assert tick is not None
    ids = [trade.id for trade in tick.portfolios[0].reading.trades]
    assert len(ids) == len(set(ids)) == 16
