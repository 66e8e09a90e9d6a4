"""A client that works as fast as it can until it is killed: `python -m tests.faults.client`.

On its input are lives (`tests.faults.lives.Life`), one JSON object a line; see `tests.faults.forked`. What a life was
told is in its own list (`tests.faults.acknowledged`).
"""

from __future__ import annotations

import os
import signal
import warnings
from typing import Any, NoReturn

warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")

import django  # noqa: E402
import msgspec  # noqa: E402
from redis import Redis  # noqa: E402
from redis.connection import Connection, ConnectionPool  # noqa: E402
from redis.exceptions import ConnectionError  # noqa: E402

django.setup()

from tests.faults.forked import serve  # noqa: E402
from tests.faults.lives import Death, Life, Point  # noqa: E402
from tests.faults.work import Work  # noqa: E402

SCRIPT_NAME_WITHIN = 32  # bytes
LOST_EVERY = 20  # of the scripts that were run


class MortalConnection(Connection):
    """A connection to Redis whose process dies at its n-th request (those of the handshake count too), and which is
    lost now and then after a script has run and before its reply was read: whoever sent it sends it again."""

    def __init__(self, death: Death, **kwargs: Any) -> None:
        self._death = death
        self._requests = self._scripts = 0
        self._is_script = False
        super().__init__(**kwargs)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a request, or die doing so."""
        self._requests += 1
        self._is_script = any(b"EVALSHA" in part[:SCRIPT_NAME_WITHIN] for part in command[:1])
        if self._requests != self._death.after or self._death.point not in (Point.CUT, Point.SENT):
            super().send_packed_command(command, check_health)
            return
        whole = b"".join(command)
        super().send_packed_command([whole[: len(whole) // 2] if self._death.point is Point.CUT else whole], False)
        die()

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read a reply, and perhaps die of it."""
        response = super().read_response(*args, **kwargs)
        if self._death.point is Point.ANSWERED and self._requests >= self._death.after:
            die()
        if self._is_script:
            self._is_script = False
            self._scripts += 1
            if self._scripts % LOST_EVERY == 0:
                self.disconnect()
                raise ConnectionError("the reply was lost")
        return response


def die() -> NoReturn:
    """End this process as `kill -9` does: that is what it is."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL did not kill")


def live(line: bytes) -> None:
    """Work until death."""
    life = msgspec.json.decode(line, type=Life)
    pool = ConnectionPool.from_url(life.redis_url, connection_class=MortalConnection, death=life.death)
    Work(Redis(connection_pool=pool), life).go_on()


if __name__ == "__main__":
    serve(live)
