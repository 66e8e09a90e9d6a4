"""A TCP proxy in front of Redis that loses replies: the command arrives, its answer does not come back."""

from __future__ import annotations

import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

BYTES_PER_READ = 65_536


class CuttingProxy:
    """Forwards 127.0.0.1:`port` to Redis. `cut(n)` closes the connection instead of passing on the next n answers."""

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._cuts = 0
        proxy = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._forward(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def cut(self, answers: int) -> None:
        """Lose the next answers."""
        self._cuts = answers

    def _forward(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._redis_port)) as server:
            while request := client.recv(BYTES_PER_READ):
                server.sendall(request)
                answer = server.recv(BYTES_PER_READ)
                if self._cuts and answer:
                    self._cuts -= 1
                    return
                client.sendall(answer)
