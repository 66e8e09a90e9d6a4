"""Engine shards on one portfolio in Redis: each has its own symbols and trades, all share capital and limits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from redis import Redis

from tests.trading.engine.machine_shards import SHARDS
from tests.trading.engine.scene import D, us
from tests.trading.engine.shard_scene import Running, desk_of
from tests.trading.stores import made
from trading.domain.events import FundingRate, Print
from trading.domain.shards import WHOLE, Shard
from trading.domain.strategy import Pair
from trading.domain.trades import TradeStatus
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.keys import PortfolioKeys
from trading.stores.portfolio_store import PortfolioStore


@pytest.fixture
def two(redis_client: Redis) -> tuple[Running, Running]:
    """ETHUSDT and BTCUSDT."""
    return Running(redis_client, SHARDS[0]), Running(redis_client, SHARDS[1])


def test_each_shard_knows_its_own_markets_and_publishes_them_alone(two: tuple[Running, Running]) -> None:
    for running in two:
        assert sorted(running.engine.markets) == [f"alpha:{running.symbol}", f"beta:{running.symbol}"]
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.spread(100, symbol)
        running.engine.publish()
        assert sorted(running.quotes.published[-1]) == sorted(running.engine.markets)
        assert {trade.symbol for trade in running.portfolio.trades.values()} == {running.symbol}


def test_two_entries_on_one_state_both_come_in_under_ids_of_their_own(two: tuple[Running, Running]) -> None:
    """The second one finds the state moved, and reserves from what is left."""
    first, second = two
    first.spread(100)
    assert second.portfolio.state.version == 0
    second.spread(100)
    assert first.trade.id != second.trade.id
    state = second.portfolio.state
    assert state.active_trades == (first.trade.id, second.trade.id)
    assert (state.version, state.available_capital) == (2, D(18_000))
    first.engine.catch_up()
    assert first.portfolio.state == state


def test_profit_and_capital_of_both_are_one(two: tuple[Running, Running], redis_client: Redis) -> None:
    for running in two:
        running.spread(100)
        running.fill(200)
        assert running.trade.status is TradeStatus.ACTIVE
    for running in two:
        running.close(400)
        assert running.portfolio.trades == {}
    state, trades = PortfolioStore(redis_client, "strategy", made.OUTBOX).load()
    assert state is not None and trades == {}
    assert (state.total_trades, state.available_capital, len(state.closed_trades)) == (2, D(20_000), 2)
    assert state == two[1].portfolio.state


def test_the_limit_of_open_trades_counts_those_of_all_shards(redis_client: Redis) -> None:
    first, second = (Running(redis_client, shard, desk_of(trades_open_max=1)) for shard in SHARDS)
    first.spread(100)
    second.spread(100)  # it does not know yet, and is told by the state
    assert second.portfolio.trades == {} and second.portfolio.halted is None
    assert redis_client.scard(PortfolioKeys("strategy").active_trades) == 1
    second.spread(9_000)
    assert second.portfolio.trades == {}


def test_capital_that_another_shard_has_reserved_is_not_there(redis_client: Redis) -> None:
    first, second = (Running(redis_client, shard, desk_of(starting_capital=D(1500))) for shard in SHARDS)
    first.spread(100)
    second.spread(100)
    assert second.portfolio.trades == {} and second.portfolio.halted is None
    assert second.portfolio.state.available_capital == D(500)
    first.engine.on_time(us(3_000))  # its entry times out
    second.spread(9_000)
    assert second.portfolio.trades == {}, "it cannot know yet"
    second.engine.catch_up()
    second.spread(18_000)
    assert second.trade.symbol == "BTCUSDT"


def test_a_shard_takes_up_its_own_trades_and_the_others_are_no_alarm(redis_client: Redis) -> None:
    first, second = (Running(redis_client, shard) for shard in SHARDS)
    for running in (first, second):
        running.spread(100)
        running.fill(200)
    again = Running(redis_client, SHARDS[1], at_ms=5_000)
    assert again.portfolio.trades == second.portfolio.trades
    assert again.portfolio.trouble is None
    redis_client.delete(PortfolioKeys("strategy").active_trade(first.trade.id))
    lost = Running(redis_client, SHARDS[1], at_ms=6_000)
    assert lost.portfolio.trouble == "open trades hold 1000 USD, the portfolio's state says 2000 USD"


def test_a_command_for_a_trade_of_another_shard_is_left_to_it(
    two: tuple[Running, Running], redis_client: Redis
) -> None:
    for running in two:
        running.spread(100)
        running.fill(200)
    first, second = two
    CommandStore(redis_client).send_exit("strategy", first.trade.id, "manual", us(9_000))
    assert second.engine.on_commands() == 0
    assert second.trade.status is TradeStatus.ACTIVE
    assert first.engine.on_commands() == 1
    assert first.trade.status is TradeStatus.EXITING
    assert redis_client.exists(keys.commands_position("0/2"), keys.commands_position("1/2")) == 2


def test_funding_is_booked_by_the_shard_that_has_the_trade(two: tuple[Running, Running], redis_client: Redis) -> None:
    for running in two:
        running.spread(100)
        running.fill(200)
    for running in two:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.engine.on_event(FundingRate(f"beta:{symbol}", us(300), "0.0001", 8, "50000", us(1_000)))
        running.engine.on_time(us(1_000))
        assert running.trade.funding_short_usd == D("0.019") * 50_000 * D("0.0001")
    entries: Any = redis_client.xrange(keys.OUTBOX)
    tables = [fields[b"table"] for _, fields in entries]
    assert tables.count(b"funding_payment") == 2


def test_new_settings_bring_new_symbols_to_the_shard_that_they_fall_to(two: tuple[Running, Running]) -> None:
    """SOL falls to 1 of 2."""
    instruments = tuple(
        msgspec.structs.replace(each, symbol="SOLUSDT", base_asset="SOL")
        for each in desk_of().instruments
        if each.symbol == "BTCUSDT"
    )
    before = desk_of()
    pairs = (*before.strategies[0].pairs, Pair("alpha:SOLUSDT", "beta:SOLUSDT"))
    wider = msgspec.structs.replace(
        before,
        instruments=(*before.instruments, *instruments),
        strategies=(msgspec.structs.replace(before.strategies[0], pairs=pairs),),
    )
    for running in two:
        running.engine.retune(wider)
        running.spread(100, "SOLUSDT")
    first, second = two
    assert first.portfolio.trades == {} and "alpha:SOLUSDT" not in first.engine.markets
    assert second.trade.symbol == "SOLUSDT"


def test_a_shard_without_symbols_is_idle_and_ready_for_one(redis_client: Redis) -> None:
    empty = next(shard for shard in (Shard(i, 16) for i in range(16)) if not shard.part_of(desk_of()).instruments)
    idle = Running(redis_client, empty)
    idle.spread(100)
    idle.engine.on_time(us(5_000))
    idle.engine.publish_feed("none")
    assert (idle.portfolio.trouble, idle.portfolio.trades, idle.quotes.feed[-1].instruments) == (None, {}, 0)


def test_when_the_desk_is_divided_otherwise_trades_and_what_was_watched_go_over(redis_client: Redis) -> None:
    """0/1 ends with two entries in the queue: their progress stands in the trades, who watched them in its
    checkpoint. What is lost is what was printed since."""
    whole = Running(redis_client, WHOLE)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        whole.spread(100, symbol)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        whole.engine.on_event(Print(f"alpha:{symbol}", us(150), 1, "49990.0", "0.5", "sell"))
    whole.engine.checkpoint()
    orders = {order.id for trade in whole.portfolio.trades.values() for order in trade.all_orders}
    shadows: set[str] = set()
    for shard in SHARDS:
        part = Running(redis_client, shard, at_ms=1_000, ran_ms=0)
        (own,) = part.portfolio.trades.values()
        assert own.symbol == part.symbol
        assert own.long_order.queue is not None and own.long_order.queue.cumulative_volume == D("0.5")
        told = {shadow.order_id: shadow.watched_until_us for shadow in part.portfolio.cut_off}
        assert told == dict.fromkeys((order.id for order in own.all_orders), us(150))
        shadows |= told.keys()
        part.engine.on_time(us(2_000))
        assert part.portfolio.trades == {}, "an entry of before is called off"
        part.spread(4_100)  # another one, which is watched
        part.engine.on_time(us(4_200))
        part.engine.checkpoint()
    assert shadows == orders
    again = Running(redis_client, WHOLE, at_ms=6_000, ran_ms=0)
    assert {trade.symbol for trade in again.portfolio.trades.values()} == {"BTCUSDT", "ETHUSDT"}
    shadows = {shadow.order_id for shadow in again.portfolio.cut_off if shadow.watched_until_us == us(4_200)}
    assert shadows == {order.id for trade in again.portfolio.trades.values() for order in trade.all_orders}
    back = Running(redis_client, SHARDS[0], at_ms=6_000, ran_ms=0)
    assert {shadow.watched_until_us for shadow in back.portfolio.cut_off} == {us(4_200)}, "that of 0/1 is older"
