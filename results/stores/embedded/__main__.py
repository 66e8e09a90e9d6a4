"""`python -m results.stores.embedded --data DIR --port PORT`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    # chdb takes pyarrow only for results that this process never asks for; without it the process is 40 MB smaller.
    sys.modules["pyarrow"] = None  # type: ignore[assignment]

import uvicorn

from results.stores.embedded.engine import Engine, FolderUnusable
from results.stores.embedded.interface import Interface

ADDRESS = "127.0.0.1"
PASSWORD_VARIABLE = "EMBEDDED_CLICKHOUSE_PASSWORD"
STOP_SECONDS_MAX = 3  # for statements that run when the signal comes; an INSERT takes milliseconds
REQUESTS_AT_ONCE_MAX = 64
IDLE_CONNECTION_SECONDS_MAX = 30  # the sync comes every 3 s and keeps its connection
EXIT_REFUSED = 2


class Server(uvicorn.Server):
    """uvicorn, which says `ready` on standard output once it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        print("ready", flush=True)


def main() -> int:
    """Serve one directory. Returns 0 after a signal, 2 when the port or the directory is taken."""
    options = _options()
    try:
        listener = listening(options.port)
    except OSError as error:
        return _refused(f"cannot listen on {ADDRESS}:{options.port}: {error.strerror}")
    engine = Engine(options.data.resolve())
    try:
        engine.open()
    except (FolderUnusable, OSError) as error:
        return _refused(str(error))
    interface = Interface(engine, os.environ.get(PASSWORD_VARIABLE, ""))
    server = Server(_configuration(interface))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal once more when it has stopped
    server.run(sockets=[listener])
    if not interface.close():
        os._exit(0)  # a statement outlasts the wait: it ends as by a kill, and what was acknowledged is on disk
    engine.close()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="results.stores.embedded", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the engine's files")
    parser.add_argument("--port", type=int, required=True, help=f"port on {ADDRESS}")
    return parser.parse_args()


def listening(port: int) -> socket.socket:
    """A socket that will listen on the port. Raises OSError where it is taken."""
    # With its protocol named, for asyncio sets TCP_NODELAY on no other: the end of a reply would wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((ADDRESS, port))
    return listener


def _configuration(interface: Interface) -> uvicorn.Config:
    return uvicorn.Config(
        interface,
        interface="asgi3",
        lifespan="off",
        loop="asyncio",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=REQUESTS_AT_ONCE_MAX,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS_MAX,
    )


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main())
