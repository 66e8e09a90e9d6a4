"""What the desk's programs do while the disk of Redis is full: a real server refuses with MISCONF, then goes on."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from paperdesk.celery import app
from paperdesk.embedded import roster
from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR, service_url
from tests.desk.typed import bare
from tests.faults.refusing import Refusing, refusing_redis
from trading.engine.patience import Patience
from trading.stores import keys
from trading.stores.connection import answering, members_of, raw_of, refuses_for_now
from trading.stores.errors import RedisAway, WireError
from trading.stores.lease import Lease
from trading.stores.step import Step, StepRunner

SECONDS_MAX = 90.0
MONITOR_QUEUE = "paperdesk:celery:monitor"
ENTRY = {"table": "t", "version": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refusing]:
    with refusing_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


def test_a_refused_step_wrote_nothing_and_is_written_once_when_the_disk_has_room(server: Refusing) -> None:
    runner = StepRunner(server.client)
    step = Step("refused").expect("s", None).set("s", "1").lpush("list", "x").emit(ENTRY)
    with server.full():
        with pytest.raises(RedisAway, match="Redis refuses step refused for now: MISCONF") as refusal:
            runner.run(step)
        assert refusal.value.retryable
        assert server.client.exists("s", "list", keys.OUTBOX, keys.operation("refused")) == 0
    ids = runner.run(step)
    assert server.client.lrange("list", 0, -1) == [b"x"]
    assert [entry[0].decode() for entry in server.client.xrange(keys.OUTBOX)] == ids


def test_an_engine_waits_through_a_full_disk_and_says_so(server: Refusing, caplog: pytest.LogCaptureFixture) -> None:
    patience = Patience(Lease(server.client, "engine", "me"), threading.Event())
    patience.take_lease()
    runner, refused = StepRunner(server.client), threading.Event()

    def written() -> list[str]:
        try:
            return runner.run(patience.lease.guard(Step("waits").set("w", "1")))  # type: ignore[attr-defined]
        except RedisAway:
            refused.set()
            raise

    waiting = threading.Thread(target=lambda: patience.until_answered(written), daemon=True)
    with server.full():
        waiting.start()
        assert refused.wait(SECONDS_MAX)
        assert server.client.get("w") is None
    waiting.join(SECONDS_MAX)
    assert server.client.get("w") == b"1"
    told = [record.getMessage() for record in caplog.records]
    assert "redis_away" in told[0] and "MISCONF" in told[0]
    assert "redis_back" in told[-1]


def test_what_a_pipeline_or_a_transaction_was_refused_is_known_too(server: Refusing) -> None:
    with server.full():
        for transaction in (True, False):
            pipeline = server.client.pipeline(transaction=transaction)
            pipeline.set("p", "1")
            with pytest.raises(RedisAway, match="MISCONF"), answering("a pipeline"):
                pipeline.execute()


def test_a_server_without_memory_or_replicas_refuses_for_now(redis_client: Any) -> None:
    for name, value in (("maxmemory", "1"), ("min-replicas-to-write", "1")):
        before = redis_client.config_get(name)[name]
        redis_client.config_set(name, value)
        try:
            with pytest.raises(RedisAway, match="Redis refuses a write for now"), answering("a write"):
                redis_client.set("x", "1")
        finally:
            redis_client.config_set(name, before)


def test_a_wrong_type_is_no_refusal_that_passes(redis_client: Redis) -> None:
    redis_client.set("BUSY MISCONF ", "x")
    redis_client.lpush("list", "x")
    with pytest.raises(ResponseError, match="WRONGTYPE") as wrong, answering("a write"):
        redis_client.lpush("BUSY MISCONF ", "x")
    assert not refuses_for_now(wrong.value)
    for read in (raw_of, members_of):
        with pytest.raises(WireError, match="list: WRONGTYPE"):
            read(redis_client, "list")


def test_a_worker_outlives_the_full_disk_and_takes_tasks_again(server: Refusing, tmp_path: Path) -> None:
    broker = Redis.from_url(service_url(server.url))
    with program("monitor", server, tmp_path) as (worker, log):
        send(server)
        until(lambda: not broker.exists(MONITOR_QUEUE), worker, log)
        with server.full():
            until(lambda: "MISCONF" in log.read_text(), worker, log)
        send(server)
        until(lambda: not broker.exists(MONITOR_QUEUE), worker, log)
        assert "Unrecoverable" not in log.read_text()
    broker.close()


def test_beat_outlives_the_full_disk_and_sends_tasks_again(server: Refusing, tmp_path: Path) -> None:
    broker = Redis.from_url(service_url(server.url))
    with program("beat", server, tmp_path) as (beat, log):
        until(lambda: bool(broker.exists(MONITOR_QUEUE)), beat, log)
        with server.full():
            until(lambda: "MISCONF" in log.read_text(), beat, log)
        told = log.read_text()
        assert "a task was not sent" in told
        assert "Traceback" not in told and 'File "' not in told
        broker.delete(MONITOR_QUEUE)
        until(lambda: bool(broker.exists(MONITOR_QUEUE)), beat, log)
    broker.close()


@contextlib.contextmanager
def program(name: str, server: Refusing, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A program of the desk beside the server, and the file of its lines."""
    (folder / "data").mkdir()
    environment = roster.child_environment(bare(folder / "data") | {"REDIS_URL": server.url})
    command = next(each.command for each in roster.desk_programs(0, environment) if each.name == name)
    log = folder / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            tied(command), cwd=BASE_DIR, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


def send(server: Refusing) -> None:
    """Put a task of the monitor on its queue."""
    with app.connection_for_write(service_url(server.url)) as connection:
        app.send_task("trading.tasks.monitor_tick", queue="monitor", connection=connection)


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a condition holds while a process lives."""
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert process.poll() is None, f"it ended with status {process.returncode}: {log.read_text()}"
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
