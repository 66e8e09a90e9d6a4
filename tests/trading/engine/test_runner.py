"""The engine as a process on a real Redis: lease, waiting, outages, clean stops."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.conf import settings
from django.core.management import call_command
from redis import Redis

from paperdesk.embedded.ports import free_port
from paperdesk.embedded.redis_server import answers, redis_command, redis_url
from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR
from paperdesk.errors import PaperDeskError
from results.stores.schema import TABLES
from tests.trading.engine.scene import ALPHA, BETA, START_US, D, MemoryStore, Scene
from trading.config import DEFAULTS, load_desk
from trading.domain.shards import WHOLE, Shard
from trading.domain.trades import TradeStatus
from trading.engine.clock import SystemClock
from trading.engine.patience import Patience, PatientStore
from trading.engine.pick_up import PickUp, fixed
from trading.engine.runner import Job, Runner, Stores
from trading.management.commands.run_engine import engine_runner
from trading.market.feed import open_feed
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.errors import LeaseLost, RedisAway
from trading.stores.lease import Lease
from trading.stores.market_store import MarketStore
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore

SECONDS_MAX = 30.0


def wait_until(true: Callable[[], object], what: str, seconds: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(0.02)


def test_what_is_merely_shown_is_left_alone_for_a_second_after_redis_was_away() -> None:
    tried: list[int] = []

    def away() -> None:
        tried.append(1)
        raise RedisAway("Redis did not answer")

    shown, kept = Job(100_000, away, may_skip=True), Job(100_000, away)
    for now_us in (1, 500_000, 999_999, 1_000_001):
        shown.run_if_due(now_us)
    assert len(tried) == 2
    with pytest.raises(RedisAway):
        kept.run_if_due(1)


class UnlockedLease:
    """A lease that is simply there."""

    name = "engine:0/1"
    token: int | None = 1

    def acquire(self) -> int:
        return 1

    def renew(self) -> None:
        return

    def release(self) -> None:
        return


def test_a_transition_is_sent_again_until_redis_answers_and_is_written_once() -> None:
    scene = Scene()
    memory = scene.store
    scene.portfolio.store = PatientStore(memory, Patience(UnlockedLease(), threading.Event()))
    memory.away_for = 3
    scene.open_trade()
    assert memory.away_for == 0
    assert len(memory.log) == 1
    assert scene.portfolio.trades == memory.open


def test_memory_is_unchanged_when_the_engine_stops_while_redis_is_away() -> None:
    scene = Scene()
    stopping = threading.Event()
    scene.portfolio.store = PatientStore(scene.store, Patience(UnlockedLease(), stopping))
    before = scene.portfolio.state
    stopping.set()
    scene.store.away_for = 1_000
    with pytest.raises(RedisAway):
        scene.open_trade()
    assert (scene.portfolio.state, scene.portfolio.trades, scene.store.log) == (before, {}, [])


def test_a_lease_that_ran_out_is_taken_again_if_nobody_had_it(redis_client: Redis) -> None:
    lease = Lease(redis_client, "engine:0/1", "one")
    patience = Patience(lease, threading.Event())
    patience.take_lease()
    store = PatientStore(PortfolioStore(redis_client, "strategy", Outbox(TABLES), lease), patience)
    redis_client.delete(lease.key)  # its time is over
    scene = Scene()
    store.create(scene.portfolio.state)
    state, _ = store.load()
    assert state == scene.portfolio.state


def test_a_lease_that_another_engine_had_in_between_is_lost(redis_client: Redis) -> None:
    lease = Lease(redis_client, "engine:0/1", "one")
    patience = Patience(lease, threading.Event())
    patience.take_lease()
    redis_client.delete(lease.key)  # its time is over
    other = Lease(redis_client, "engine:0/1", "other")
    other.acquire()
    other.release()
    with pytest.raises(LeaseLost, match="another engine held it in between"):
        patience.renew_lease()


def test_redis_holds_what_the_engine_holds(redis_client: Redis) -> None:
    """A leg-out, an active trade and a pending one, through the real store; then another store reads them back."""
    store = PortfolioStore(redis_client, "strategy", Outbox(TABLES))
    scene = Scene(stores={"strategy": store})  # type: ignore[dict-item]
    scene.time(1000)
    for second in (2, 8):
        scene.top(second * 1000, ALPHA, "49990.0", "50000.0")
        scene.top(second * 1000 + 100, BETA, "50200.0", "50210.0")
        scene.print_(second * 1000 + 200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(8300, BETA, "50210.0", "2.0", "buy")
    state, trades = PortfolioStore(redis_client, "strategy", Outbox(TABLES)).load()
    assert state == scene.portfolio.state
    assert trades == scene.portfolio.trades
    assert [trade.status for trade in trades.values()] == [TradeStatus.ACTIVE]
    assert state is not None
    assert (state.leg_out_count, state.total_trades, state.available_capital) == (1, 1, D(19_000))
    assert redis_client.llen(keys.PortfolioKeys("strategy").leg_out_events) == 1
    (first,) = state.closed_trades
    closed = json.loads(redis_client.get(f"strategy:trades:closed:{first}") or "{}")
    assert (closed["status"], closed["exit_reason"], closed["leg_out_event"]["filled_leg"]) == (
        "Closed",
        "leg_out",
        "long",
    )
    assert len(redis_client.keys("result:*")) == 5  # entry, failed entry and hedge; then two entries


@contextlib.contextmanager
def redis_on(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir(exist_ok=True)
    server = subprocess.Popen(tied(redis_command(folder, port)), stdout=subprocess.DEVNULL)
    wait_until(lambda: answers(redis_url(port)), "Redis answers")
    try:
        yield server
    finally:
        server.terminate()
        server.wait(10)


def runner_on(client: Redis, stopping: threading.Event) -> Runner:
    desk, clock = load_desk(), SystemClock()
    lease = Lease(client, "engine:0/1", "test", lifetime_ms=1_000)
    stores = Stores(
        lambda prefix: PortfolioStore(client, prefix, Outbox(TABLES), lease), MarketStore(client), CommandStore(client)
    )
    feed = lambda: open_feed("synthetic", desk, clock, 600.0)  # noqa: E731
    return Runner(PickUp(fixed(desk)), feed, stores, Patience(lease, stopping), clock, stopping, WHOLE)


def test_an_engine_survives_a_redis_that_was_away_longer_than_its_lease(tmp_path: Path) -> None:
    port, stopping = free_port(), threading.Event()
    client = Redis.from_url(redis_url(port), socket_timeout=1)
    done: list[dict[str, Any]] = []
    with redis_on(tmp_path / "redis", port):
        runner = runner_on(client, stopping)
        running = threading.Thread(target=lambda: done.append(runner.run()))
        running.start()
        wait_until(lambda: client.exists(keys.OUTBOX), "something was traded")
    time.sleep(2.5)
    assert running.is_alive()
    with redis_on(tmp_path / "redis", port):
        before = runner.report()["transitions"]
        wait_until(lambda: runner.report()["transitions"] > before, "trading goes on")
        stopping.set()
        running.join(10)
        assert not running.is_alive()
        assert runner._engine is not None
        for prefix, portfolio in runner._engine.portfolios.items():
            state, trades = PortfolioStore(client, prefix, Outbox(TABLES)).load()
            assert portfolio.halted is None
            assert state == portfolio.state
            assert trades == portfolio.trades
    (summary,) = done
    assert summary["messages"] > 0


def start_engine(environment: Mapping[str, str], errors: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "manage.py",
        "run_engine",
        "--feed",
        "synthetic",
        "--json",
        "--strategy",
        str(DEFAULTS["synthetic"]),
    ]
    with open(errors, "wb") as log:
        return subprocess.Popen(tied(command), cwd=BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=log)


def test_a_second_engine_waits_and_takes_over_when_the_first_stops(
    redis_client: Redis, bare_environment: Mapping[str, str], tmp_path: Path
) -> None:
    environment = {**bare_environment, "REDIS_URL": settings.REDIS_URL}
    first = start_engine(environment, tmp_path / "first")
    wait_until(lambda: redis_client.scard(keys.MARKET_INDEX) == 15, "the first engine publishes quotes")
    second = start_engine(environment, tmp_path / "second")
    wait_until(lambda: b"engine_waits" in (tmp_path / "second").read_bytes(), "the second engine says that it waits")
    assert b"engine_started" not in (tmp_path / "second").read_bytes()
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=10)
    assert first.returncode == 0
    assert json.loads(output)["messages"] > 0
    wait_until(lambda: b"engine_started" in (tmp_path / "second").read_bytes(), "the second engine starts")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=10)
    assert second.returncode == 0
    assert not redis_client.exists(keys.lease("engine:0/1"))


@pytest.fixture
def own_signals() -> Iterator[None]:
    """The command replaces the process's handlers; a test gives them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--feed", "carrier-pigeon"], "feed 'carrier-pigeon' is unknown"),
        (["--feed", "replay:/nowhere.gz"], "/nowhere.gz"),
        (["--shard", "2/2"], "shard '2/2' is no part of a whole: it is I/N, with N from 1 to 16 and I from 0 to N-1"),
        (["--shard", "x"], "shard 'x' is no part of a whole"),
        (["--shard", "0/0"], "shard '0/0' is no part of a whole"),
        (["--shard", "0/17"], "shard '0/17' is no part of a whole"),
        (["--strategy", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_wrong_words_end_in_one_sentence_and_leave_no_lease(
    words: list[str], sentence: str, redis_client: Redis, own_signals: None, db: None
) -> None:
    with pytest.raises(PaperDeskError, match=re.escape(sentence)):
        call_command("run_engine", *words)
    assert not redis_client.keys("paperdesk:lease:*")


def test_the_memory_store_is_as_strict_as_it_claims() -> None:
    scene = Scene(at_ms=0)
    scene.open_trade()
    with pytest.raises(AssertionError):
        scene.store.commit(scene.store.log[0])
    assert isinstance(scene.store, MemoryStore)
    assert scene.trade.entry_us > START_US


def test_a_shard_to_which_no_symbol_falls_waits_idle_and_stops_cleanly(redis_client: Redis) -> None:
    """It holds its lease, and the page does not take it for silent. 0/16 has none of the five symbols."""
    stopping = threading.Event()
    words = {"feed": "synthetic", "strategy": str(DEFAULTS["synthetic"]), "shard": "0/16", "record": None}
    runner = engine_runner(words, stopping)
    done: list[dict[str, Any]] = []
    with structlog.testing.capture_logs() as said:
        running = threading.Thread(target=lambda: done.append(runner.run()))
        running.start()
        wait_until(lambda: MarketStore(redis_client).feeds(), "the shard publishes how it does")
        stopping.set()
        running.join(20)
    assert {"shard": "0/16", "reason": "no instrument falls to it"}.items() <= next(
        each.items() for each in said if each["event"] == "shard_is_idle"
    )
    assert MarketStore(redis_client).feeds()[Shard(0, 16)].instruments == 0
    assert (done[0]["shard"], done[0]["messages"]) == ("0/16", 0)
