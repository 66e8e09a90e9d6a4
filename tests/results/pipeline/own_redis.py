"""A Redis of a test's own, whose data folder can be copied, put back and emptied."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import redis

from paperdesk.embedded.ports import free_port
from paperdesk.embedded.redis_server import redis_command

SECONDS_MAX = 30.0


class OwnRedis:
    """A server on `folder` / "data". `client` connects to whichever runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.client = redis.Redis(port=self.port)
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.data.mkdir(exist_ok=True)
        self._server = subprocess.Popen(redis_command(self.data, self.port), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop it; what it was given is in its folder."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(SECONDS_MAX)
            self._server = None
        self.client.connection_pool.disconnect()

    def copy(self) -> None:
        """Keep a copy of what it has now."""
        self.stop()
        shutil.copytree(self.data, self.folder / "copy")
        self.start()

    def restore(self) -> None:
        """Put the copy in the place of what it has."""
        self.empty_folder()
        shutil.copytree(self.folder / "copy", self.data)
        self.start()

    def wipe(self) -> None:
        """Start anew on an empty folder."""
        self.empty_folder()
        self.start()

    def empty_folder(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        shutil.rmtree(self.data)
