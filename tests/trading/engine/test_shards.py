"""Engine shards on one portfolio in Redis: each has its own symbols and trades, all share capital, state and limits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from redis import Redis

from tests.trading.engine.machine_shards import SHARDS, shared_desk
from tests.trading.engine.scene import D, MemoryQuotes, us
from tests.trading.stores import made
from trading.domain.events import FundingRate, Print, TopOfBook
from trading.domain.shards import WHOLE, Shard
from trading.domain.strategy import Desk, Pair
from trading.domain.trades import Trade, TradeStatus
from trading.engine import sharing
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.portfolio import Portfolio
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.keys import PortfolioKeys
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Transition

STATE = PortfolioKeys("strategy").state


def desk_of(**changes: Any) -> Desk:
    """One portfolio on BTCUSDT and ETHUSDT, each bought at alpha and sold at beta."""
    both = shared_desk({}, {})
    first = msgspec.structs.replace(both.strategies[0], trades_open_per_pair_max=1, **changes)
    return msgspec.structs.replace(both, strategies=(first,))


class Running:
    """An engine of a shard on Redis, which has run for a second, and events in milliseconds from then on."""

    def __init__(
        self, client: Redis, shard: Shard, used: Desk | None = None, at_ms: int = 0, ran_ms: int = 1_000
    ) -> None:
        self.symbol = "ETHUSDT" if shard == SHARDS[0] else "BTCUSDT"
        self.desk = used or desk_of()
        self.stores = {"strategy": PortfolioStore(client, "strategy", made.OUTBOX, None, shard)}
        self.quotes = MemoryQuotes()
        self.clock = EventClock(us(at_ms))
        self.engine = Engine(self.desk, self.stores, self.quotes, CommandStore(client), self.clock, shard)
        self.engine.start(us(at_ms - ran_ms))
        self.engine.on_time(us(at_ms))

    @property
    def portfolio(self) -> Portfolio:
        return self.engine.portfolios["strategy"]

    @property
    def trade(self) -> Trade:
        (trade,) = self.portfolio.trades.values()
        return trade

    def spread(self, ms: int, symbol: str = "") -> None:
        """Tops of both venues, 39.9 bps apart."""
        for name, bid, ask in (("alpha", "49990.0", "50000.0"), ("beta", "50200.0", "50210.0")):
            self.engine.on_event(TopOfBook(f"{name}:{symbol or self.symbol}", us(ms), bid, "10", ask, "10"))

    def fill(self, ms: int) -> None:
        """Both entries of the trade, through their prices."""
        self.engine.on_event(Print(f"alpha:{self.symbol}", us(ms), ms, "49980.0", "1", "sell"))
        self.engine.on_event(Print(f"beta:{self.symbol}", us(ms), ms, "50220.0", "1", "buy"))

    def close(self, ms: int) -> None:
        assert self.engine.close_trade("strategy", self.trade.id, "manual")
        self.engine.on_time(us(ms))


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


def test_a_trade_that_another_program_moved_still_stops_the_portfolio(
    two: tuple[Running, Running], redis_client: Redis
) -> None:
    first, second = two
    for running in two:
        running.spread(100)
    key = PortfolioKeys("strategy").active_trade(first.trade.id)
    raw: Any = redis_client.get(key)
    redis_client.set(key, raw.replace(b'"position_size_usd":1000', b'"position_size_usd":1001'))
    first.fill(200)
    assert first.portfolio.halted is not None and key in first.portfolio.halted
    second.fill(200)
    assert second.portfolio.halted is None


def broken_states(raw: bytes) -> dict[str, tuple[bytes, str]]:
    return {
        "version": (raw.replace(b'"version":2', b'"version":1'), "version was 1, is 1"),
        "capital": (raw.replace(b'"available_capital":18000', b'"available_capital":18001'), "not 20000 USD"),
        "start": (raw.replace(b'"starting_capital":20000', b'"starting_capital":30000'), "starting_capital was 20000"),
    }


@pytest.mark.parametrize("name", ["version", "capital", "start"])
def test_a_state_that_no_engine_has_made_stops_the_portfolio(
    name: str, two: tuple[Running, Running], redis_client: Redis
) -> None:
    first, second = two
    first.spread(100)
    second.spread(100)
    raw: Any = redis_client.get(STATE)
    changed, sentence = broken_states(raw)[name]
    assert changed != raw
    redis_client.set(STATE, changed)
    first.engine.catch_up()
    assert first.portfolio.halted is not None
    assert sentence in first.portfolio.halted
    first.engine.catch_up()  # one that is stopped is left alone


def test_a_state_without_our_trade_stops_the_portfolio(two: tuple[Running, Running], redis_client: Redis) -> None:
    first, second = two
    first.spread(100)
    second.spread(100)
    raw: Any = redis_client.get(STATE)
    redis_client.set(STATE, raw.replace(first.trade.id.encode(), b"another"))
    first.engine.catch_up()
    assert f"trade {first.trade.id} is open and the state does not have it" in (first.portfolio.halted or "")


def test_in_an_undivided_desk_every_move_of_the_state_stops_the_portfolio(redis_client: Redis) -> None:
    whole = Running(redis_client, WHOLE)
    other = Running(redis_client, SHARDS[0])  # no lease keeps it out here
    whole.spread(100)
    other.spread(100)
    whole.spread(3_000, "ETHUSDT")
    whole.engine.catch_up()
    assert whole.portfolio.halted is not None
    assert "another program changed strategy:portfolio:state" in whole.portfolio.halted


def test_a_race_that_is_lost_again_and_again_ends_in_a_halt(
    two: tuple[Running, Running], redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something moves the state in each pause; after so many times nobody waits any longer."""
    first, second = two
    state = PortfolioStore(redis_client, "strategy", made.OUTBOX)
    pauses: list[int] = []

    def move_on(_share: object, lost: int) -> None:
        raw: Any = redis_client.get(STATE)
        version = state.load()[0].version  # type: ignore[union-attr]
        redis_client.set(STATE, raw.replace(b'"version":%d' % version, b'"version":%d' % (version + 1)))
        pauses.append(lost)

    monkeypatch.setattr(sharing.Share, "pause", move_on)
    first.spread(100)
    monkeypatch.setattr("trading.engine.portfolio.ATTEMPTS_MAX", 3)
    moving = second.portfolio.store
    refresh = moving.refresh

    def late() -> Any:
        found = refresh()
        move_on(None, 0)
        return found

    monkeypatch.setattr(moving, "refresh", late)
    second.spread(100)
    assert second.portfolio.halted == "strategy: the state was moved by other shards 3 times in a row"
    assert second.portfolio.trades == {}


def test_a_step_whose_answer_was_lost_long_ago_is_known_though_another_shard_went_on(
    two: tuple[Running, Running], redis_client: Redis
) -> None:
    """The operation is forgotten by Redis; the trade's record tells that it was written."""
    first, second = two
    committed: list[Transition] = []
    store = first.stores["strategy"]
    commit, held = store.commit, store._held

    def late(transition: Transition) -> list[str]:
        """Written, then moved on by the other, and heard of only after Redis has forgotten the operation."""
        commit(transition)
        if not committed:
            committed.append(transition)
            store._held = held
            second.spread(100)
            redis_client.delete(keys.operation(transition.operation_id))
            assert commit(transition) == []
        return []

    store.commit = late  # type: ignore[method-assign]
    first.spread(100)
    assert len(committed) == 1
    first.fill(200)
    assert first.trade.status is TradeStatus.ACTIVE
    assert first.portfolio.halted is None


def test_the_first_two_shards_make_one_portfolio(redis_client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one comes between looking and writing."""
    load = PortfolioStore.load
    others: list[Running] = []

    def late(store: PortfolioStore) -> Any:
        found = load(store)
        if not others:
            others.append(None)  # type: ignore[arg-type]
            others[0] = Running(redis_client, SHARDS[1], at_ms=7)
        return found

    monkeypatch.setattr(PortfolioStore, "load", late)
    first = Running(redis_client, SHARDS[0])
    assert first.portfolio.halted is None
    assert first.portfolio.state == others[0].portfolio.state
    assert first.portfolio.state.started_us == us(7 - 1_000)


def test_a_portfolio_is_read_as_of_one_instant(two: tuple[Running, Running], redis_client: Redis) -> None:
    """A trade that is opened between the reading of the state and of the trades is no alarm."""
    first, second = two
    store = PortfolioStore(redis_client, "strategy", made.OUTBOX)
    read_trades = store._read_trades
    turns: list[int] = []

    def meanwhile(trade_ids: list[str]) -> None:
        if not turns:
            first.spread(100)
        turns.append(len(trade_ids))
        read_trades(trade_ids)

    store._read_trades = meanwhile  # type: ignore[method-assign]
    state, trades = store.load()
    assert state is not None
    assert state.active_trades == tuple(trades) == (first.trade.id,)
    assert turns == [0, 1]


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
        told = {shadow.order_id: shadow.watched_until_us for shadow in part.portfolio.finished}
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
    shadows = {shadow.order_id for shadow in again.portfolio.finished if shadow.watched_until_us == us(4_200)}
    assert shadows == {order.id for trade in again.portfolio.trades.values() for order in trade.all_orders}
    back = Running(redis_client, SHARDS[0], at_ms=6_000, ran_ms=0)
    assert {shadow.watched_until_us for shadow in back.portfolio.finished} == {us(4_200)}, "that of 0/1 is older"
