"""An append-only file with holes, as a full disk leaves them, is mended at the next start; nothing of it is lost."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from paperdesk.embedded.append_only import remove_holes
from paperdesk.embedded.ports import free_port
from paperdesk.embedded.redis_server import redis_command, redis_url, running_redis

PATIENCE_SECONDS = 30.0
SET = b"*3\r\n$3\r\nSET\r\n$1\r\n%d\r\n$4\r\na\r\n\0\r\n"
ONE, TWO = SET % 1, SET % 2


def file_in(folder: Path, content: bytes) -> Path:
    file = folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("content", "mended"),
    [
        (ONE + b"\0" * 719 + TWO, ONE + TWO),
        (b"\0\0" + ONE + b"\0" + TWO + b"\0" * 4_096, ONE + TWO),
        (b"#TS:1731000000\r\n" + ONE + b"\0\0\0" + TWO, b"#TS:1731000000\r\n" + ONE + TWO),
        (ONE + b"\0\0" + TWO[:-7], ONE + TWO[:-7]),  # cut off at its end: Redis mends that by itself
    ],
)
def test_zero_bytes_in_the_place_of_a_command_are_removed(tmp_path: Path, content: bytes, mended: bytes) -> None:
    file = file_in(tmp_path, content)
    removed = len(content) - len(mended)
    assert remove_holes(tmp_path) == [
        f"{file.name}: {removed} zero bytes removed that a full disk had left between two commands; nothing is lost"
    ]
    assert file.read_bytes() == mended
    assert remove_holes(tmp_path) == []


@pytest.mark.parametrize("content", [b"", ONE, ONE + TWO[:-3], ONE + b"x\r\n\0", b"*1\r\n$\0\r\n", ONE + b"*1\r\n\0\0"])
def test_everything_else_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = file_in(tmp_path, content)
    assert remove_holes(tmp_path) == []
    assert file.read_bytes() == content


def test_a_folder_without_files_has_no_holes(tmp_path: Path) -> None:
    assert remove_holes(tmp_path) == []


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refuses(client: redis.Redis) -> bool:
    try:
        client.append("filler", "x" * 700)
    except redis.ResponseError as error:
        return "MISCONF" in str(error)
    return False


def takes(client: redis.Redis) -> bool:
    try:
        return bool(client.set("after", "the disk was full"))
    except redis.ResponseError:
        return False


def test_what_was_written_after_a_full_disk_is_there_at_the_next_start(tmp_path: Path) -> None:
    """A real server, rewritten file, a limit of the file's size in place of the disk's, and a kill."""
    port = free_port()
    output = subprocess.DEVNULL
    # Python ignores SIGXFSZ, and so does the server then: it sees a failed write, as on a full disk
    server = subprocess.Popen(redis_command(tmp_path, port), stdout=output, stderr=output, restore_signals=False)
    client = redis.Redis.from_url(redis_url(port), decode_responses=True)
    try:
        until(lambda: answers(client))
        client.set("before", "the disk was full")
        client.bgrewriteaof()
        until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
        until(lambda: client.info("persistence")["aof_rewrite_scheduled"] == 0)
        incr = max((tmp_path / "appendonlydir").glob("*.incr.aof"), key=lambda file: file.stat().st_mtime)
        hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (incr.stat().st_size + 1_000, hard))
        until(lambda: refuses(client))
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: takes(client))
        filler = client.strlen("filler")
        until(lambda: client.info("persistence")["aof_last_write_status"] == "ok" and not client.wait(0, 1))
    finally:
        server.kill()
        server.wait()
    assert b"\0" * 100 in incr.read_bytes(), "the server left no hole: is it another one, which needs no mending?"
    with running_redis(tmp_path) as url:
        found = redis.Redis.from_url(url, decode_responses=True)
        assert found.mget("before", "after") == ["the disk was full", "the disk was full"]
        assert found.strlen("filler") == filler


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
