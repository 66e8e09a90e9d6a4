"""What is left when the engine or Redis is killed in the middle of its work: never a half-written transition."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis
from redis.exceptions import RedisError

from paperdesk.embedded.ports import free_port
from paperdesk.embedded.redis_server import redis_command
from tests.trading.stores import made
from trading.domain.pnl import fees_of
from trading.domain.trades import Trade
from trading.stores import keys, wire
from trading.stores.errors import StoreError
from trading.stores.keys import PortfolioKeys
from trading.stores.outbox import row_of_text
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Transition

OF = PortfolioKeys("strategy")
KILLS = 6
WAIT_SECONDS_MAX = 10.0


def trade_without_end(port: int) -> None:
    """Opens and closes small trades as fast as it can, from wherever the portfolio stands."""
    store = PortfolioStore(Redis(port=port), "strategy", made.OUTBOX)
    state, open_trades = store.load()
    if state is None:
        store.create(made.state_of())
        state = made.state_of()
    while True:
        if len(open_trades) < 3:
            trade = msgspec.structs.replace(made.active_trade(str(uuid.uuid4())), version=1)
            state = state.opened(trade)
            open_trades[trade.id] = trade
        else:
            trade = closed(open_trades.pop(next(iter(open_trades))))
            state = state.closed(trade, fees_of(trade), Decimal(0))
        results, metrics = made.results_of(named(trade))
        store.commit(
            Transition(
                operation_id=f"{trade.id}:{trade.version}",
                at_us=made.NOON_US,
                state=state,
                trades=(trade,),
                results=results,
                metrics=metrics,
            )
        )


def closed(trade: Trade) -> Trade:
    return msgspec.structs.replace(made.closed_trade(trade.id), version=trade.version + 1)


def named(trade: Trade) -> Trade:
    """The trade with order ids of its own, from which result ids are derived."""
    for order in trade.all_orders:
        trade = trade.with_order(order)
    return msgspec.structs.replace(
        trade,
        long_order=msgspec.structs.replace(trade.long_order, id=f"{trade.id}:long"),
        short_order=msgspec.structs.replace(trade.short_order, id=f"{trade.id}:short"),
        orders=(),
    )


@pytest.fixture
def engines() -> Iterator[list[Any]]:
    """Processes that were started by the test; none of them outlives it."""
    started: list[Any] = []
    yield started
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for server in started:
        server.kill()
        server.wait()


def start_redis(folder: Path, port: int, servers: list[subprocess.Popen[bytes]]) -> Any:
    """A Redis on `folder`, and a client once it answers."""
    servers.append(subprocess.Popen(redis_command(folder, port), stdout=subprocess.DEVNULL))
    client = Redis(port=port)
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        try:
            client.ping()
            return client
        except RedisError:
            assert time.monotonic() < deadline, "Redis did not come back"
            time.sleep(0.02)


def start_engine(port: int, engines: list[Any]) -> Any:
    engine = multiprocessing.get_context("fork").Process(target=trade_without_end, args=(port,))
    engine.start()
    engines.append(engine)
    return engine


def wait_for_entries(client: Any, count: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while client.xlen(keys.OUTBOX) < count:
        assert time.monotonic() < deadline, "the engine does not trade"
        time.sleep(0.005)


def assert_consistent(client: Any) -> None:
    """The documents' four guarantees, and that outbox and records tell the same story."""
    state = wire.decode_state(client.get(OF.state), OF.state)
    state.require_conserved()
    listed = {member.decode() for member in client.smembers(OF.active_trades)}
    active = {keys.id_of(key.decode()) for key in client.keys(OF.active_pattern)}
    done = {keys.id_of(key.decode()) for key in client.keys(OF.closed_pattern)}
    assert listed == active == set(state.active_trades)
    assert not active & done
    assert done == {member.decode() for member in client.zrange(OF.closed_index, 0, -1)}
    assert state.total_trades == len(done)
    metrics = wire.decode_metrics(client.get(OF.metrics), OF.metrics)
    assert (metrics.available_capital, metrics.total_trades) == (state.available_capital, state.total_trades)
    told: dict[str, dict[str, int]] = {}
    for _, fields in client.xrange(keys.OUTBOX):
        table = fields[b"table"].decode()
        row = row_of_text(made.OUTBOX.table(table).columns, fields[b"row"])
        versions = told.setdefault(table, {})
        row_id = fields[b"id"].decode()
        assert row["version"] == versions.get(row_id, 0) + 1, "each version is told once, in order"
        versions[row_id] = row["version"]
    assert set(told["paper_trade"]) == active | done
    assert {trade for trade, version in told["paper_trade"].items() if version == 2} == done
    assert set(told["trade_result"]) == {keys.id_of(key.decode()) for key in client.keys(keys.RESULT_PATTERN)}


def test_an_engine_that_is_killed_at_any_moment_leaves_whole_transitions(
    tmp_path: Path, engines: list[Any], servers: list[subprocess.Popen[bytes]]
) -> None:
    port = free_port()
    client = start_redis(tmp_path, port, servers)
    chance = random.Random(1)
    for _ in range(KILLS):
        before = client.xlen(keys.OUTBOX)
        engine = start_engine(port, engines)
        wait_for_entries(client, before + 30)
        time.sleep(chance.random() / 20)
        os.kill(engine.pid, signal.SIGKILL)
        engine.join()
        assert_consistent(client)


def test_a_redis_that_is_killed_at_any_moment_comes_back_with_whole_transitions(
    tmp_path: Path, engines: list[Any], servers: list[subprocess.Popen[bytes]]
) -> None:
    port = free_port()
    client = start_redis(tmp_path, port, servers)
    chance = random.Random(2)
    for _ in range(3):
        before = client.xlen(keys.OUTBOX)
        engine = start_engine(port, engines)
        wait_for_entries(client, before + 30)
        time.sleep(1.2 + chance.random() / 20)  # past one fsync of the append-only file
        servers[-1].kill()
        servers[-1].wait()
        engine.kill()
        engine.join()
        client = start_redis(tmp_path, port, servers)
        assert client.xlen(keys.OUTBOX) > before
        assert_consistent(client)


def test_two_engines_without_a_lease_never_overwrite_each_other(redis_client: Any) -> None:
    first, second = (PortfolioStore(redis_client, "strategy", made.OUTBOX) for _ in range(2))
    first.create(made.state_of())
    second.load()
    refused = 0
    states = {first: made.state_of(), second: made.state_of()}
    for turn in range(40):
        store = (first, second)[turn % 3 == 0]
        trade = msgspec.structs.replace(made.active_trade(str(uuid.uuid4())), version=1, position_size_usd=Decimal(1))
        try:
            opened = states[store].opened(trade)
            store.commit(Transition(operation_id=trade.id, at_us=1, state=opened, trades=(trade,)))
            states[store] = opened
        except StoreError:
            refused += 1
            loaded, _ = store.load()
            assert loaded is not None
            states[store] = loaded
    assert refused > 5
    assert redis_client.scard(OF.active_trades) == redis_client.xlen(keys.OUTBOX) == 40 - refused
    wire.decode_state(redis_client.get(OF.state), OF.state).require_conserved()
