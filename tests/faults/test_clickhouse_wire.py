"""The ClickHouse follower over a wire that breaks: nothing is lost or doubled, no mark is ahead of its rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from results.stores import clickhouse_wire
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from tests.faults.follower import World
from tests.faults.plan import Fault, Kind, Listed, Seeded
from tests.faults.proxy import Proxy
from tests.results.stores.conftest import clickhouse, fresh_clickhouse_url, gate
from tests.results.stores.made import drop_database

__all__ = ["clickhouse", "fresh_clickhouse_url", "gate"]

SEEDS = 12
FAULTS_MIN = 100  # that all seeds together must have met; the same in each run but for drips and repetitions
ANSWER_SECONDS = 1  # in place of 30: a freeze that outlasts it is an outage, a shorter one a delay
ROWS = 40
FAULTS = {
    Kind.CUT_REQUEST: Fault(Kind.CUT_REQUEST, 700),  # in the body of an INSERT, behind the end of a question
    Kind.LOSE_REPLY: Fault(Kind.LOSE_REPLY, is_reset=False),
    Kind.CUT_REPLY: Fault(Kind.CUT_REPLY, 60, is_reset=False),  # within the headers: it looks like an empty answer
    Kind.REFUSE: Fault(Kind.REFUSE, seconds=0.05),
    Kind.FREEZE: Fault(Kind.FREEZE, seconds=1.3),
    Kind.DELAY: Fault(Kind.DELAY, seconds=0.05),
    Kind.DRIP: Fault(Kind.DRIP, 50, 0.001),
}


@pytest.fixture
def proxy(clickhouse: ClickHouse) -> Iterator[Proxy]:
    if clickhouse.address.interface != "http":
        pytest.skip("the proxy knows no TLS")
    with Proxy(clickhouse.address.port, clickhouse.address.host) as running:
        yield running


@pytest.fixture
def broken(proxy: Proxy, fresh_clickhouse_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClickHouse]:
    monkeypatch.setattr(clickhouse_wire, "ANSWER_SECONDS_MAX", ANSWER_SECONDS)
    address = clickhouse_wire.address_of(fresh_clickhouse_url)
    login = f"{quote(address.username)}:{quote(address.password, safe='')}"
    store = ClickHouse(f"http://{login}@127.0.0.1:{proxy.port}/{address.database}")
    yield store
    store.close()


@pytest.fixture
def world(gate: Gate, clickhouse: ClickHouse, broken: ClickHouse) -> World:
    return World(gate, broken, clickhouse)


def test_seeded_faults_lose_and_double_nothing_and_no_mark_is_ahead(world: World, proxy: Proxy) -> None:
    count = 0
    for seed in range(SEEDS):
        chance = random.Random(seed)
        world.append(chance, ROWS, range(seed, seed + 30))
        if chance.random() < 0.3:
            world.broken.close()  # as a new process: it has to connect again
        proxy.follow(Seeded(seed, 0.5, freeze_seconds=1.3 if seed % 6 == 5 else 0.1))
        try:
            world.settle()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n{proxy.log_text()}") from error
        count += len(proxy.log)
        proxy.pass_all()
    assert world.check_same().doubled == 0
    assert count >= FAULTS_MIN
    assert world.failures


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.DELAY, Kind.DRIP)])  # those lose nothing
def test_a_fault_at_each_step_of_a_slice_is_made_good_by_the_next_turn(world: World, proxy: Proxy, kind: Kind) -> None:
    chance = random.Random(kind)
    world.append(chance, ROWS, range(30))
    world.settle()
    number = 0
    while True:  # an INSERT for each table, one count of all, the marks before and after
        number += 1
        world.append(chance, ROWS, range(30))
        proxy.follow(Listed({number: FAULTS[kind]}))
        world.settle()
        has_happened = bool(proxy.log)
        proxy.pass_all()
        if not has_happened:
            break
    assert number > 7
    assert world.check_same().doubled == 0


@pytest.mark.parametrize("kind", [Kind.CUT_REQUEST, Kind.LOSE_REPLY, Kind.CUT_REPLY])
def test_a_fault_while_it_connects_leaves_no_half_client(world: World, proxy: Proxy, kind: Kind) -> None:
    world.append(random.Random(1), ROWS, range(30))
    for number in range(1, 5):
        world.broken.close()
        proxy.follow(Listed({number: FAULTS[kind]}))
        world.turn()
        proxy.pass_all()
    world.settle()
    assert world.check_same().doubled == 0


def test_a_migration_over_a_broken_wire_is_finished_by_the_next_ones(broken: ClickHouse, proxy: Proxy) -> None:
    drop_database(broken)
    proxy.follow(Seeded(3, 0.2, kinds=[Kind.CUT_REQUEST, Kind.LOSE_REPLY, Kind.CUT_REPLY, Kind.REFUSE]))
    failures = 0
    for _ in range(100):
        try:
            if not broken.migrate():
                break
        except clickhouse_wire.ClickHouseAway:
            failures += 1
    proxy.pass_all()
    assert failures > 1
    assert broken.plan().lines == []


@pytest.mark.parametrize("count", range(5, 260, 17))
def test_a_reply_that_ends_early_is_never_taken_for_an_answer(broken: ClickHouse, proxy: Proxy, count: int) -> None:
    assert broken.rows("SELECT 1") == [(1,)]
    proxy.follow(Listed({1: Fault(Kind.CUT_REPLY, count, is_reset=False), 2: Fault(Kind.CUT_REPLY, count)}))
    with pytest.raises(clickhouse_wire.ClickHouseAway):
        broken.rows("SELECT number FROM numbers(1000)")
