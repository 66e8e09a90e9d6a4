"""A TCP proxy between a client and Redis, ClickHouse or PostgreSQL, which does to connections what networks do.

    with Proxy(server_port) as proxy:
        client = connect(port=proxy.port)
        proxy.follow(Listed({2: Fault(Kind.LOSE_REPLY)}))  # of the exchanges from now on the second
        proxy.follow(Seeded(seed=7))                       # or by a seed
        proxy.refuse(); proxy.accept()                     # or at once: refuse, freeze, cut
        print(proxy.log_text())                            # what was done, and to which exchange

It listens on 127.0.0.1, runs in a thread of its own, and may be commanded from any. It knows no protocol: an exchange
begins with the first bytes from a client after the server has answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec

from tests.faults.plan import Fault, Kind, Listed, Plan

LOCAL = "127.0.0.1"
PIECE_BYTES = 65_536
DRIPS_MAX = 40  # of one piece; what is left of it comes at once, so that an exchange takes no minutes
ABRUPTLY = struct.pack("ii", 1, 0)  # SO_LINGER for no time: closing sends RST
NOTHING = Listed({})


class Event(msgspec.Struct, frozen=True):
    """What was done: to which exchange (0: to all connections, by command), which fault, after how many bytes."""

    exchange: int
    fault: Fault
    bytes: int


class Proxy:
    """Forwards 127.0.0.1:`port` to the server."""

    def __init__(self, server_port: int, server_host: str = LOCAL) -> None:
        self.server_port = server_port
        self.server_host = server_host
        self.log: list[Event] = []
        self.exchanges = 0
        self._plan: Plan = NOTHING
        self._lines: set[_Line] = set()
        self._holder = _bound(0)  # never listens: it keeps the port while nobody else does
        self.port = int(self._holder.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thawed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._thawed.set()
        self.accept()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()

    def follow(self, plan: Plan) -> None:
        """Do as the plan says; its exchanges are counted from now on, and the log begins anew."""
        self._call(lambda: self._follow(plan))

    def pass_all(self) -> None:
        """Undo every fault: accept, thaw, and plan none. The log stays."""
        self._plan = NOTHING
        self.thaw()
        self.accept()

    def cut(self) -> None:
        """Lose all connections; new ones are accepted."""
        self._call(lambda: self._cut_all(Fault(Kind.CUT_REQUEST)))

    def refuse(self) -> None:
        """Lose all connections and refuse new ones, until `accept`."""
        self._call(lambda: self._refuse(Fault(Kind.REFUSE)))

    def accept(self) -> None:
        """Accept connections."""
        self._run(self._accept())

    def freeze(self) -> None:
        """Let nothing pass, until `thaw`."""
        self._call(self._thawed.clear)

    def thaw(self) -> None:
        """Let everything pass, with what was held up."""
        self._call(self._thawed.set)

    def log_text(self) -> str:
        """The log, a line for each fault."""
        return "\n".join(f"exchange {each.exchange}: {each.fault} after {each.bytes} bytes" for each in self.log)

    def _follow(self, plan: Plan) -> None:
        self._plan, self.exchanges, self.log = plan, 0, []

    def _begin(self) -> tuple[int, Fault | None]:
        self.exchanges += 1
        return self.exchanges, self._plan.fault(self.exchanges)

    def _cut_all(self, fault: Fault) -> None:
        self.log.append(Event(0, fault, 0))
        for line in list(self._lines):
            line.lose(fault)

    def _refuse(self, fault: Fault) -> None:
        self._cut_all(fault)
        if self._server is not None:
            self._server.close()
            self._server = None

    def _refuse_for_a_while(self, fault: Fault) -> None:
        self._refuse(fault)
        self._loop.call_later(fault.seconds, lambda: self._loop.create_task(self._accept()))

    def _freeze_for_a_while(self, fault: Fault) -> None:
        self._thawed.clear()
        self._loop.call_later(fault.seconds, self._thawed.set)

    async def _accept(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=_bound(self.port), backlog=128)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection(self.server_host, self.server_port)
        except OSError:
            _close(writer, abruptly=True)
            return
        line = _Line(self, (reader, writer), upstream)
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)

    async def _stop(self) -> None:
        self._refuse(Fault(Kind.REFUSE))
        self._thawed.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _call(self, do: Callable[[], Any]) -> None:
        async def done() -> None:
            do()

        self._run(done())

    def _run(self, do: Any) -> None:
        asyncio.run_coroutine_threadsafe(do, self._loop).result(10)


class _Line:
    """One client's connection and the server's behind it."""

    def __init__(self, proxy: Proxy, client: Any, server: Any) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._number = 0
        self._fault: Fault | None = None
        self._is_answered = True
        self._sent = 0

    async def run(self) -> None:
        """Forward until either side ends or a fault loses the connection."""
        directions = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            _close(self._to_client)
            _close(self._to_server)

    def lose(self, fault: Fault) -> None:
        """Lose both connections now."""
        _close(self._to_client, fault.is_reset)
        _close(self._to_server, fault.is_reset)

    async def _requests(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._from_client.read(PIECE_BYTES):
                if self._is_answered:
                    self._is_answered, self._sent = False, 0
                    self._number, self._fault = self._proxy._begin()
                    if self._fault is not None and self._fault.kind in BEFORE:
                        self._note(0)
                        BEFORE[self._fault.kind](self._proxy, self._fault)
                await self._proxy._thawed.wait()
                await self._pass(data, self._to_server, self._fault, Kind.CUT_REQUEST)

    async def _replies(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._from_server.read(PIECE_BYTES):
                await self._proxy._thawed.wait()
                fault, is_first = self._fault, not self._is_answered
                self._is_answered = True
                if fault is not None and is_first:
                    if fault.kind in (Kind.CUT_REQUEST, Kind.LOSE_REPLY):
                        self._lose_with_note(fault, 0)
                        return
                    if fault.kind is Kind.DELAY:
                        self._note(0)
                        await asyncio.sleep(fault.seconds)
                    self._sent = 0
                await self._pass(data, self._to_client, fault, Kind.CUT_REPLY)

    async def _pass(self, data: bytes, to: asyncio.StreamWriter, fault: Fault | None, cutting: Kind) -> None:
        """Send on, unless the fault is one that cuts here."""
        if fault is not None and fault.kind is Kind.DRIP:
            await self._drip(data, to, fault)
        elif fault is not None and fault.kind is cutting:
            await self._cut(data, to, fault)
        else:
            to.write(data)
            await to.drain()

    async def _cut(self, data: bytes, to: asyncio.StreamWriter, fault: Fault) -> None:
        allowed = max(0, fault.bytes - self._sent)
        if fault.kind is Kind.CUT_REPLY:
            allowed = min(allowed, len(data) - 1)  # where a reply ends nobody knows: the last byte never comes
        part = data[:allowed]
        to.write(part)
        await to.drain()
        self._sent += len(part)
        if len(part) < len(data):
            self._lose_with_note(fault, self._sent)

    async def _drip(self, data: bytes, to: asyncio.StreamWriter, fault: Fault) -> None:
        self._note(len(data))
        for _ in range(DRIPS_MAX):
            to.write(data[: fault.bytes])
            await to.drain()
            data = data[fault.bytes :]
            if not data:
                return
            await asyncio.sleep(fault.seconds)
        to.write(data)
        await to.drain()

    def _lose_with_note(self, fault: Fault, after_bytes: int) -> None:
        self._note(after_bytes)
        self.lose(fault)

    def _note(self, after_bytes: int) -> None:
        assert self._fault is not None
        event = Event(self._number, self._fault, after_bytes)
        if event not in self._proxy.log[-1:]:  # a drip has many pieces
            self._proxy.log.append(event)


BEFORE: dict[Kind, Callable[[Proxy, Fault], None]] = {
    Kind.REFUSE: Proxy._refuse_for_a_while,
    Kind.FREEZE: Proxy._freeze_for_a_while,
}


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((LOCAL, port))
    return bound


def _close(writer: asyncio.StreamWriter, abruptly: bool = False) -> None:
    peer = writer.get_extra_info("socket")
    if abruptly and peer is not None and peer.fileno() >= 0:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
        writer.transport.abort()
    else:
        writer.close()
