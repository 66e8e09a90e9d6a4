"""A Redis of a test's own that can be made to refuse every write, as one whose disk is full does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from paperdesk.embedded.redis_server import running_redis
from tests.faults.disk import no_longer_files

TURN_SECONDS_MAX = 60.0  # the server tries to write its file again each second
POLL_SECONDS = 0.02


class Refusing:
    """The server at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = Redis.from_url(url)
        self._pid: int = self.client.info("server")["process_id"]

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """It can write nothing to its append-only file meanwhile: MISCONF. It takes writes again afterwards."""
        with no_longer_files(self._pid):
            self._await(taken=False)
            yield
        self._await(taken=True)

    def _await(self, taken: bool) -> None:
        deadline = time.monotonic() + TURN_SECONDS_MAX
        while self._takes_a_write() is not taken:
            assert time.monotonic() < deadline, f"the server still {'refuses' if taken else 'takes'} writes"
            time.sleep(POLL_SECONDS)

    def _takes_a_write(self) -> bool:
        try:
            self.client.set("asked", 1)
        except ResponseError as error:
            assert str(error).startswith("MISCONF"), error
            return False
        return True


@contextlib.contextmanager
def refusing_redis(folder: Path) -> Iterator[Refusing]:
    """The server, with its file in a folder, for the length of a `with` block."""
    with running_redis(folder) as url:
        server = Refusing(url)
        try:
            yield server
        finally:
            server.client.close()
