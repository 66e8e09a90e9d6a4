"""An append-only file with holes, as a full disk leaves them, is mended at the next start; nothing of it is lost."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from paperdesk.embedded.append_only import mend, renewer
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
        (b"\0\0" + ONE + TWO, ONE + TWO),
        (ONE + TWO + b"\0" * 4_096, ONE + TWO),
        (b"#TS:1731000000\r\n" + ONE + b"\0\0\0" + TWO, b"#TS:1731000000\r\n" + ONE + TWO),
        (ONE + b"\0\0" + TWO[:-7], ONE + TWO[:-7]),  # cut off at its end: Redis mends that by itself
    ],
)
def test_zero_bytes_in_the_place_of_a_command_are_removed(tmp_path: Path, content: bytes, mended: bytes) -> None:
    file = file_in(tmp_path, content)
    removed = len(content) - len(mended)
    assert mend(tmp_path) == [
        f"{file.name}: {removed} zero bytes removed that a full disk had left between two commands; nothing is lost"
    ]
    assert file.read_bytes() == mended
    assert mend(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "kept", "overwritten"),
    [
        (ONE + b"\0" * 7 + TWO + b"\0" + ONE, ONE + TWO, b"\0" + ONE),  # before a second hole seven bytes were cut off
        (ONE + b"\0" * 7 + TWO[:-7] + b"\0" * 9 + ONE, ONE, TWO[:-7] + b"\0" * 9 + ONE),
        (ONE + TWO[:-1] + b"\0" * 3 + ONE, ONE, TWO[:-1] + b"\0" * 3 + ONE),
        (ONE + b"*3\r\n$\0\0\0*1", ONE, b"*3\r\n$\0\0\0*1"),
        (ONE + b"*3\r\n\0\0*1", ONE, b"*3\r\n\0\0*1"),
    ],
)
def test_what_was_overwritten_is_set_aside_with_all_that_follows(
    tmp_path: Path, content: bytes, kept: bytes, overwritten: bytes
) -> None:
    file, next_file = file_in(tmp_path, content), tmp_path / "appendonlydir" / "appendonly.aof.10.incr.aof"
    next_file.write_bytes(TWO)
    first, second = mend(tmp_path)
    assert f"{len(overwritten)} bytes are set aside in {file.name}.1.overwritten" in first
    assert f"{len(TWO)} bytes are set aside in {next_file.name}.1.overwritten" in second
    assert (file.read_bytes(), next_file.read_bytes()) == (kept, b"")
    assert file.with_name(f"{file.name}.1.overwritten").read_bytes() == overwritten
    assert mend(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"", ONE, ONE + TWO[:-3], ONE + b"x\r\n\0", ONE + b"*x\r\n\0\0*", ONE + b"$1\r\n\0*"]
)
def test_everything_else_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = file_in(tmp_path, content)
    assert mend(tmp_path) == []
    assert file.read_bytes() == content


def test_a_folder_without_files_has_no_holes(tmp_path: Path) -> None:
    assert mend(tmp_path) == []


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Server:
    """A real server with a rewritten file. A limit of the file's size stands for the disk's."""

    def __init__(self, folder: Path) -> None:
        port, output = free_port(), subprocess.DEVNULL
        self.url = redis_url(port)
        # Python ignores SIGXFSZ, and so does the server then: it sees a failed write, as on a full disk
        command = redis_command(folder, port)
        self.process = subprocess.Popen(command, stdout=output, stderr=output, restore_signals=False)
        self.client = redis.Redis.from_url(self.url, decode_responses=True)
        until(self.answers)
        self.client.set("before", "the disk was full")
        self.client.bgrewriteaof()
        until(self.is_rewritten)
        [self.file] = (folder / "appendonlydir").glob("*.incr.aof")

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def is_rewritten(self) -> bool:
        found = self.client.info("persistence")
        return not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]

    def is_full_once(self, number: int) -> None:
        """The disk is full, and has room again; what was acknowledged before, then and after is in its memory."""
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (self.file.stat().st_size + 1_000, hard))
        until(lambda: self.refuses(f"filler {number}"))
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: self.takes(f"after {number}"))
        until(lambda: self.client.info("persistence")["aof_last_write_status"] == "ok" and not self.client.wait(0, 1))

    def refuses(self, key: str) -> bool:
        try:
            self.client.append(key, "x" * 700)
        except redis.ResponseError as error:
            return "MISCONF" in str(error)
        return False

    def takes(self, key: str) -> bool:
        try:
            return bool(self.client.set(key, "the disk was full"))
        except redis.ResponseError:
            return False

    def everything(self) -> dict[str, str]:
        return contents(self.client)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


def contents(client: redis.Redis) -> dict[str, str]:
    return {str(key): str(client.get(key)) for key in client.scan_iter()}


def test_what_was_written_after_a_full_disk_is_there_at_the_next_start(tmp_path: Path, server: Server) -> None:
    server.is_full_once(1)
    whole = server.everything()
    server.kill()
    assert b"\0" * 100 in server.file.read_bytes(), (
        "the server left no hole: is it another one, which needs no mending?"
    )
    with running_redis(tmp_path) as url:
        assert contents(redis.Redis.from_url(url, decode_responses=True)) == whole


def test_a_disk_that_is_full_twice_takes_what_was_written_in_between_and_no_more(
    tmp_path: Path, server: Server
) -> None:
    """If the server is killed before its file is written anew."""
    server.is_full_once(1)
    server.is_full_once(2)
    whole = server.everything()
    server.kill()
    with running_redis(tmp_path) as url:
        found = contents(redis.Redis.from_url(url, decode_responses=True))
    assert found["before"] == found["after 1"] == "the disk was full"
    assert "after 2" not in found
    assert all(whole[key].startswith(value) for key, value in found.items())  # nothing is there that was overwritten


def test_a_file_without_a_hole_is_left_alone(tmp_path: Path, server: Server) -> None:
    assert renewer(tmp_path, server.url)() == []
    with running_redis(tmp_path / "new") as url:
        renew = renewer(tmp_path / "new", url)
        assert renew() == []
        redis.Redis.from_url(url).set("first", "in a file that was never rewritten")
        assert renew() == []


def test_a_file_with_a_hole_is_written_anew_so_that_a_second_full_disk_does_no_harm(
    tmp_path: Path, server: Server
) -> None:
    renew = renewer(tmp_path, server.url)
    server.is_full_once(1)
    [said] = renew()
    assert "zero bytes in its append-only file, which is written anew; nothing is lost" in said
    until(server.is_rewritten)
    until(lambda: not server.file.exists())
    assert renew() == []
    [server.file] = (tmp_path / "appendonlydir").glob("*.incr.aof")
    server.is_full_once(2)
    whole = server.everything()
    server.kill()
    assert renew() == []
    with running_redis(tmp_path) as url:
        assert contents(redis.Redis.from_url(url, decode_responses=True)) == whole
