"""A local server that speaks the messages of binanceusdm, bybit and okx: REST and WebSocket, on 127.0.0.1.

One perpetual, BTCUSDT, on each. The formats are those of the exchanges' documents as ccxt 4.5 quotes and reads them. A
test moves the market from its own thread (`change`, `trade`, `mark`) and breaks things (`cut`, `garbage`, `mute`).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from typing import Any

from aiohttp import WSMsgType, web

from tests.trading.market.exchange_messages import SPEAKERS, Speaker

Json = dict[str, Any]
CALL_SECONDS_MAX = 10.0


class Connection:
    """One WebSocket of a client, and what it subscribed to."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.request = request
        self.topics: set[str] = set()


class Venue:
    """One exchange: its speaker, its connections, and what is broken about it."""

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self.connections: list[Connection] = []
        self.opened = 0
        self.requests: list[str] = []
        self.is_down = False
        self.is_mute = False

    async def rest(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        if self.is_down:
            return web.json_response({"error": "maintenance"}, status=503)
        answer = self.speaker.rest(request.path, dict(request.query))
        return web.json_response(answer) if answer is not None else web.Response(status=404, text=request.path)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if self.is_down:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, request)
        self.connections.append(connection)
        self.opened += 1
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT and not self.is_mute:
                    await self._hear(connection, message.data)
        finally:
            self.connections.remove(connection)
        return socket

    async def _hear(self, connection: Connection, text: str) -> None:
        pong = self.speaker.pong(text)
        if pong is not None:
            await connection.socket.send_str(pong)
            return
        topics, answers = self.speaker.subscribed(json.loads(text))
        connection.topics.update(topics)
        for answer in answers:
            await connection.socket.send_str(json.dumps(answer))

    async def say(self, messages: list[tuple[str, Json]]) -> None:
        for topic, message in messages if not self.is_mute else []:
            await self.say_text(json.dumps(message), topic)

    async def say_text(self, text: str, topic: str | None = None) -> None:
        for connection in list(self.connections):
            if topic is None or topic in connection.topics:
                await connection.socket.send_str(text)

    async def cut(self) -> None:
        for connection in list(self.connections):
            transport = connection.request.transport
            if transport is not None:
                transport.abort()

    async def close(self) -> None:
        for connection in list(self.connections):
            await connection.socket.close(code=1001)


class ExchangeServer:
    """Runs in a thread of its own from the start until `stop`."""

    def __init__(self) -> None:
        self.venues = {name: Venue(speaker()) for name, speaker in SPEAKERS.items()}
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exchanges", daemon=True)
        self._thread.start()
        assert self._ready.wait(CALL_SECONDS_MAX)

    def settings(self, name: str, urls: Json) -> Json:
        """ccxt's settings for an exchange of that id whose addresses are all here instead."""
        return {"urls": {"api": self._here(name, urls["api"])}, "timeout": 3_000}

    def speaker(self, name: str) -> Speaker:
        return self.venues[name].speaker

    def change(self, name: str, bids: dict[str, str], asks: dict[str, str]) -> None:
        """New quantities at prices; "0" removes a level."""
        self.call(self.venues[name].say(self.speaker(name).change(bids, asks)))

    def trade(self, name: str, price: str, quantity: str, side: str, **fields: Any) -> None:
        self.call(self.venues[name].say(self.speaker(name).trade(price, quantity, side, **fields)))

    def mark(self, name: str, price: str, rate: str | None = None) -> None:
        self.call(self.venues[name].say(self.speaker(name).mark(price, rate)))

    def garbage(self, name: str, text: str) -> None:
        self.call(self.venues[name].say_text(text))

    def cut(self, name: str) -> None:
        """Every connection is reset, without a closing message."""
        self.call(self.venues[name].cut())

    def close_streams(self, name: str) -> None:
        """Every connection is closed as a server does that goes into maintenance."""
        self.call(self.venues[name].close())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS_MAX)

    def call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS_MAX)

    def _here(self, name: str, urls: Any) -> Any:
        if isinstance(urls, dict):
            return {key: self._here(name, value) for key, value in urls.items()}
        scheme, _, rest = urls.partition("://")
        _, _, path = rest.partition("/")
        here = "ws" if scheme == "wss" else "http"
        return f"{here}://127.0.0.1:{self.port}/{name}" + (f"/{path}" if path else "")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._app(), shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{venue}/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        venue = self.venues[request.match_info["venue"]]
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await venue.stream(request)
        return await venue.rest(request)
