"""Ports of this machine. Everything that a desk starts listens on 127.0.0.1."""

import random
import socket

LOCAL = "127.0.0.1"
CONNECT_SECONDS_MAX = 0.5
CHOICE = range(10_000, 32_000)  # below what systems give to outgoing connections, which take a free port at any time
TRIES_MAX = 1_000


def free_port() -> int:
    """Return a port that nobody uses now; the caller binds it at once. Raises OSError if none is found."""
    anywhere = random.SystemRandom()  # a seeded choice would be the same in every process
    for _ in range(TRIES_MAX):
        port = anywhere.choice(CHOICE)
        with socket.socket() as probe:
            try:
                probe.bind((LOCAL, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port among {TRIES_MAX} tried from {CHOICE.start} to {CHOICE.stop - 1}")


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
