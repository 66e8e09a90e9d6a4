"""What a shard makes of a state that moved: another shard has traded, or something is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from tests.trading.engine.machine_shards import SHARDS
from tests.trading.engine.scene import us
from tests.trading.engine.shard_scene import Running
from tests.trading.stores import made
from trading.domain.shards import WHOLE
from trading.domain.trades import TradeStatus
from trading.engine import sharing
from trading.stores import keys
from trading.stores.keys import PortfolioKeys
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Transition

STATE = PortfolioKeys("strategy").state


@pytest.fixture
def two(redis_client: Redis) -> tuple[Running, Running]:
    """ETHUSDT and BTCUSDT."""
    return Running(redis_client, SHARDS[0]), Running(redis_client, SHARDS[1])


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
