"""The embedded Redis: durable, and judged by the same checks as anybody's."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from paperdesk.checks import UnsafeRedis, redis_problems, refuse_unsafe_redis
from paperdesk.embedded import ports
from paperdesk.embedded.ports import CHOICE, accepts, free_port
from paperdesk.embedded.redis_server import RedisDidNotStart, redis_command, redis_url, running_redis
from paperdesk.embedded.tied import tied


@contextmanager
def redis_with(folder: Path, **options: str) -> Iterator[str]:
    """A Redis whose configuration departs from ours by the given options."""
    port = free_port()
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    server = subprocess.Popen(tied([*redis_command(folder, port), *words]), stdout=subprocess.DEVNULL)
    client = redis.Redis.from_url(redis_url(port), retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100))
    try:
        client.ping()
        yield redis_url(port)
    finally:
        client.close()
        server.terminate()
        server.wait()


def ids(url: str) -> list[str]:
    return [str(problem.id) for problem in redis_problems(url)]


def test_data_is_there_after_a_restart(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        with running_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
            assert client.get("strategy:trades:active:1") == expected
            client.set("strategy:trades:active:1", "1")


def test_data_is_there_after_a_kill_without_warning(tmp_path: Path) -> None:
    with running_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.set("strategy:trades:active:1", "1")
        psutil.Process(int(client.info("server")["process_id"])).kill()
    with running_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.get("strategy:trades:active:1") == b"1"


def test_no_server_is_left_after_the_block(tmp_path: Path) -> None:
    with running_redis(tmp_path) as url, redis.Redis.from_url(url) as client:
        server = psutil.Process(int(client.info("server")["process_id"]))
    assert not server.is_running()


def test_a_folder_that_cannot_be_used_is_said_in_the_servers_words(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(RedisDidNotStart, match="did not start: .*"), running_redis(tmp_path):
        pass


def test_a_free_port_is_none_that_an_outgoing_connection_could_take() -> None:
    """Linux gives those from 32768 on, other systems from 49152: taken between the choice and the bind, it is lost."""
    assert CHOICE.stop <= 32_768
    assert all(free_port() in CHOICE for _ in range(50))
    with socket.create_server(("127.0.0.1", free_port())) as taken, pytest.MonkeyPatch.context() as only:
        only.setattr(ports, "CHOICE", range(taken.getsockname()[1], taken.getsockname()[1] + 1))
        with pytest.raises(OSError, match="no free port among 1000 tried"):
            free_port()


def test_the_embedded_redis_passes_its_own_checks(redis_server: str) -> None:
    assert redis_problems(redis_server) == []
    refuse_unsafe_redis(redis_server)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"appendonly": "no"}, ["paperdesk.E003"]),
        ({"maxmemory_policy": "allkeys-lru"}, ["paperdesk.E004"]),
        ({"cluster_enabled": "yes", "cluster_port": "a free port"}, ["paperdesk.E005", "paperdesk.E007"]),
        ({"appendfsync": "no"}, ["paperdesk.W001"]),
        ({"databases": "1"}, ["paperdesk.E007"]),
    ],
)
def test_what_could_lose_trades_is_found(tmp_path: Path, options: dict[str, str], expected: list[str]) -> None:
    chosen = {name: str(free_port()) if value == "a free port" else value for name, value in options.items()}
    with redis_with(tmp_path, **chosen) as url:
        assert ids(url) == expected


def test_a_redis_without_aof_is_refused_with_a_sentence(tmp_path: Path) -> None:
    refusal = pytest.raises(UnsafeRedis, match=r"has appendonly off\. Set `appendonly yes`")
    with redis_with(tmp_path, appendonly="no") as url, refusal:
        refuse_unsafe_redis(url)


def test_a_replica_is_refused(tmp_path: Path, redis_server: str) -> None:
    port = redis_server.rsplit(":")[-1].split("/")[0]
    with redis_with(tmp_path, replicaof=f"127.0.0.1 {port}") as url:
        assert ids(url) == ["paperdesk.E006"]


def test_a_redis_that_is_away_is_an_error_and_not_a_traceback() -> None:
    assert ids(redis_url(free_port())) == ["paperdesk.E002"]


@pytest.mark.parametrize("password", ["", ":guessed@"])
def test_a_redis_that_wants_a_password_asks_for_it_and_repeats_none(tmp_path: Path, password: str) -> None:
    port = free_port()
    server = subprocess.Popen(
        tied([*redis_command(tmp_path, port), "--requirepass", "secret"]), stdout=subprocess.DEVNULL
    )
    url = redis_url(port).replace("127.0.0.1", f"{password}127.0.0.1")
    sentence = "asks for another user or password. Give them in REDIS_URL: redis://:password@host:6379/0"
    try:
        eventually_accepts(port)
        with pytest.raises(UnsafeRedis, match=re.escape(sentence)) as refusal:
            refuse_unsafe_redis(url)
        assert "guessed" not in str(refusal.value)
    finally:
        server.terminate()
        server.wait()


def eventually_accepts(port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + 10.0
    while not accepts(port):
        assert time.monotonic() < deadline
        time.sleep(0.02)
