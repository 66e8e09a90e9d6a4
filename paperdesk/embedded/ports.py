"""Ports of this machine. Everything that a desk starts listens on 127.0.0.1."""

import socket

LOCAL = "127.0.0.1"
CONNECT_SECONDS_MAX = 0.5


def free_port() -> int:
    """Return a port that nobody listens on now; the caller binds it at once."""
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        port: int = probe.getsockname()[1]
        return port


def can_listen(port: int) -> bool:
    """Tell whether a server could bind `port` now (a just-closed one counts as free, as it does for uvicorn)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL, port))
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    """Tell whether somebody accepts connections on `port`."""
    try:
        with socket.create_connection((LOCAL, port), timeout=CONNECT_SECONDS_MAX):
            return True
    except OSError:
        return False
