"""The fault proxy by itself, before a server that answers each line with the line and remembers what it got."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.plan import Fault, Kind, Listed, Seeded
from tests.faults.proxy import Event, Proxy

ALL_KINDS = 7


class Echo(socketserver.ThreadingTCPServer):
    """Answers `line` with `you said line`; `heard` has the bytes of all connections, in order of arrival."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard = b""
        echo = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = b""
                with contextlib.suppress(OSError):
                    while byte := self.rfile.read(1):
                        echo.heard += byte
                        line += byte
                        if byte == b"\n":
                            self.wfile.write(b"you said " + line)
                            line = b""

        super().__init__(("127.0.0.1", 0), Connection)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(int(echo.server_address[1])) as running:
        yield running


class Client:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)

    def say(self, line: bytes) -> bytes:
        """The answer; empty at an ordinary end. Raises OSError."""
        self.socket.sendall(line + b"\n")
        return self.answer()

    def answer(self) -> bytes:
        """Everything up to the end of a line or of the connection."""
        got = b""
        while not got.endswith(b"\n") and (more := self.socket.recv(100)):
            got += more
        return got


@contextlib.contextmanager
def connected(proxy: Proxy) -> Iterator[Client]:
    client = Client(proxy)
    try:
        yield client
    finally:
        client.socket.close()


def waited_for(echo: Echo, heard: bytes) -> bool:
    """Whether the server has heard this and nothing else, within 5 s."""
    deadline = time.monotonic() + 5
    while echo.heard != heard and time.monotonic() < deadline:
        time.sleep(0.01)
    return echo.heard == heard


def test_without_a_fault_everything_passes_and_nothing_is_logged(echo: Echo, proxy: Proxy) -> None:
    long = b"x" * 300_000
    with connected(proxy) as one, connected(proxy) as other:
        assert one.say(b"a") == b"you said a\n"
        assert other.say(long) == b"you said " + long + b"\n"
        assert one.say(b"b") == b"you said b\n"
    assert (proxy.exchanges, proxy.log) == (3, [])


def test_a_lost_reply_was_executed_once_and_the_next_connection_works(echo: Echo, proxy: Proxy) -> None:
    fault = Fault(Kind.LOSE_REPLY)
    proxy.follow(Listed({2: fault}))
    with connected(proxy) as client:
        assert client.say(b"a") == b"you said a\n"
        with pytest.raises(ConnectionResetError):
            client.say(b"b")
    with connected(proxy) as client:
        assert client.say(b"c") == b"you said c\n"
    assert echo.heard == b"a\nb\nc\n"
    assert proxy.log == [Event(2, fault, 0)]


def test_a_connection_may_end_without_a_reset(proxy: Proxy) -> None:
    proxy.follow(Listed({1: Fault(Kind.LOSE_REPLY, is_reset=False)}))
    with connected(proxy) as client:
        assert client.say(b"a") == b""


@pytest.mark.parametrize("count", [0, 1, 5])
def test_of_a_cut_request_the_server_gets_its_first_bytes(echo: Echo, proxy: Proxy, count: int) -> None:
    proxy.follow(Listed({1: Fault(Kind.CUT_REQUEST, count, is_reset=False)}))
    with connected(proxy) as client:
        assert client.say(b"request") == b""
    assert waited_for(echo, b"request"[:count])
    assert proxy.log == [Event(1, Fault(Kind.CUT_REQUEST, count, is_reset=False), count)]


def test_a_cut_behind_the_end_of_the_request_loses_the_reply(echo: Echo, proxy: Proxy) -> None:
    proxy.follow(Listed({1: Fault(Kind.CUT_REQUEST, 1_000)}))
    with connected(proxy) as client, pytest.raises(ConnectionResetError):
        client.say(b"a")
    assert echo.heard == b"a\n"


@pytest.mark.parametrize(("count", "expected"), [(0, b""), (3, b"you"), (1_000, b"you said a")])
def test_of_a_cut_reply_the_client_gets_the_first_bytes_and_never_the_last(
    proxy: Proxy, count: int, expected: bytes
) -> None:
    proxy.follow(Listed({1: Fault(Kind.CUT_REPLY, count, is_reset=False)}))
    with connected(proxy) as client:
        assert client.say(b"a") == expected


def test_a_refused_exchange_is_never_executed_and_for_a_while_nobody_listens(echo: Echo, proxy: Proxy) -> None:
    proxy.follow(Listed({1: Fault(Kind.REFUSE, seconds=0.3)}))
    with connected(proxy) as client, pytest.raises(ConnectionResetError):
        client.say(b"a")
    with pytest.raises(ConnectionRefusedError):
        Client(proxy)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), connected(proxy) as client:
            assert client.say(b"b") == b"you said b\n"
            break
        time.sleep(0.02)
    assert echo.heard == b"b\n"


def test_a_freeze_holds_up_every_connection_and_then_all_of_it_arrives(echo: Echo, proxy: Proxy) -> None:
    with connected(proxy) as one, connected(proxy) as other:
        assert one.say(b"a") == b"you said a\n"
        proxy.freeze()
        one.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            one.say(b"b")
        other.socket.sendall(b"c\n")
        assert echo.heard == b"a\n"
        proxy.thaw()
        one.socket.settimeout(5)
        assert (one.answer(), other.answer()) == (b"you said b\n", b"you said c\n")


def test_what_a_client_sent_into_a_freeze_arrives_although_the_client_has_left(echo: Echo, proxy: Proxy) -> None:
    proxy.follow(Listed({1: Fault(Kind.FREEZE, seconds=0.3)}))
    with connected(proxy) as client:
        client.socket.sendall(b"late\n")
    assert echo.heard == b""
    assert waited_for(echo, b"late\n")


def test_a_delayed_reply_comes_late_and_whole(proxy: Proxy) -> None:
    proxy.follow(Listed({1: Fault(Kind.DELAY, seconds=0.2)}))
    with connected(proxy) as client:
        started = time.monotonic()
        assert client.say(b"a") == b"you said a\n"
        assert time.monotonic() - started >= 0.2


def test_a_dripping_exchange_is_whole(echo: Echo, proxy: Proxy) -> None:
    proxy.follow(Listed({1: Fault(Kind.DRIP, 2, 0.001)}))
    with connected(proxy) as client:
        assert client.say(b"a long line") == b"you said a long line\n"
    assert {event.exchange for event in proxy.log} == {1}


def test_commands_cut_and_refuse_at_once(echo: Echo, proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert client.say(b"a")
        proxy.cut()
        with pytest.raises(ConnectionError):
            client.say(b"b")
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        Client(proxy)
    proxy.pass_all()
    with connected(proxy) as client:
        assert client.say(b"c") == b"you said c\n"
    assert [event.exchange for event in proxy.log] == [0, 0]


def test_a_server_that_is_not_there_is_not_there_through_the_proxy(proxy: Proxy) -> None:
    with Proxy(proxy.port) as second:
        proxy.refuse()
        with pytest.raises(ConnectionError), connected(second) as client:
            client.say(b"a")


def traffic(proxy: Proxy, seed: int) -> list[Event]:
    """The log of the same 60 exchanges, one connection after the other."""
    proxy.follow(Seeded(seed, 0.4, refuse_seconds=0.01, freeze_seconds=0.01))
    for number in range(60):
        with contextlib.suppress(OSError):
            while True:
                with contextlib.suppress(ConnectionRefusedError), connected(proxy) as client:
                    client.say(b"x" * (number % 7) * 40)
                    break
    return list(proxy.log)


def test_the_same_seed_does_the_same_to_the_same_traffic_and_another_seed_something_else(proxy: Proxy) -> None:
    first, again, other = traffic(proxy, 7), traffic(proxy, 7), traffic(proxy, 8)
    assert first == again != other
    assert len({event.fault.kind for event in first}) == ALL_KINDS
    assert proxy.log_text().startswith(f"exchange {other[0].exchange}: {other[0].fault}")


def test_a_plan_depends_on_seed_and_number_alone() -> None:
    faults = [Seeded(3).fault(number) for number in range(1, 2_000)]
    assert faults[::-1] == [Seeded(3).fault(number) for number in range(1_999, 0, -1)]
    assert (
        500 < sum(fault is not None for fault in faults) < 700
    )  # 0.3 of 1,999 is 600; by the seed, so always the same
