"""The snapshot stream, through the real ASGI application, a real session and a real Redis layer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.test import Client

from paperdesk.asgi import application
from paperdesk.embedded.redis_server import running_redis
from trading import consumers, live_feed
from trading.stores import keys
from trading.wiring import LIVE_GROUP

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = (b"origin", b"http://127.0.0.1:8000")
HOST = (b"host", b"127.0.0.1:8000")


def snapshot(seq: int, equity: str | None = "20012.33") -> str:
    portfolio: dict[str, Any] = {"prefix": "strategy", "name": "Both passive", "equity_usd": equity, "trades": []}
    return json.dumps({"seq": seq, "at_us": 1_731_000_000_000_000 + seq, "portfolios": [portfolio]})


async def publish(client: redis.Redis, text: str) -> None:
    """What the monitor does: write the key, then call the group."""
    client.set(keys.SNAPSHOT, text)
    await get_channel_layer().group_send(LIVE_GROUP, {"type": "live.snapshot"})


@pytest.fixture
def cookie(db: None, redis_client: redis.Redis) -> bytes:
    browser = Client()
    browser.force_login(
        User.objects.create_user("ann", password="worthless"), "django.contrib.auth.backends.ModelBackend"
    )
    return f"sessionid={browser.cookies['sessionid'].value}".encode()


@asynccontextmanager
async def connected(cookie: bytes | None) -> AsyncIterator[ApplicationCommunicator]:
    socket = opened(cookie, ORIGIN)
    assert (await socket.receive_output(timeout=5))["type"] == "websocket.accept"
    try:
        yield socket
    finally:
        await socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await socket.wait(timeout=5)


def opened(cookie: bytes | None, origin: tuple[bytes, bytes]) -> ApplicationCommunicator:
    """A handshake on its way. (channels.testing would want daphne installed.)"""
    headers = [origin, HOST, *([(b"cookie", cookie)] if cookie else [])]
    scope = {"type": "websocket", "path": "/ws/live/", "headers": headers, "query_string": b"", "subprotocols": []}
    socket = ApplicationCommunicator(application, scope)
    socket.input_queue.put_nowait({"type": "websocket.connect"})
    return socket


async def frame(socket: ApplicationCommunicator, seconds: float = 5) -> dict[str, Any]:
    answer = await socket.receive_output(timeout=seconds)
    assert answer["type"] == "websocket.send", answer
    decoded: dict[str, Any] = json.loads(answer["text"])
    return decoded


async def test_anonymous_browser_is_closed_with_4401(redis_client: redis.Redis) -> None:
    async with connected(None) as socket:
        assert await socket.receive_output(timeout=5) == {"type": "websocket.close", "code": 4401}


async def test_foreign_origin_is_refused_before_anything_is_sent(cookie: bytes) -> None:
    socket = opened(cookie, (b"origin", b"http://evil.example"))
    assert (await socket.receive_output(timeout=5))["type"] == "websocket.close"


async def test_newest_snapshot_comes_right_after_the_greeting(cookie: bytes, redis_client: redis.Redis) -> None:
    redis_client.set(keys.SNAPSHOT, snapshot(7))
    started = time.monotonic()
    async with connected(cookie) as socket:
        greeting = await frame(socket)
        assert abs(greeting["server_us"] - time.time() * 1e6) < 5e6
        assert (await frame(socket))["seq"] == 7
    assert time.monotonic() - started < 2


async def test_snapshot_reaches_the_browser_byte_for_byte(cookie: bytes, redis_client: redis.Redis) -> None:
    text = snapshot(1).replace('"trades": []', '"trades": [], "price": 0.1000000000000000055')
    redis_client.set(keys.SNAPSHOT, text)
    async with connected(cookie) as socket:
        await frame(socket)
        assert (await socket.receive_output(timeout=5))["text"] == text


async def test_of_a_burst_only_the_newest_is_sent_and_at_most_two_a_second(
    cookie: bytes, redis_client: redis.Redis
) -> None:
    redis_client.set(keys.SNAPSHOT, snapshot(0))
    async with connected(cookie) as socket:
        await frame(socket)
        seen = [(await frame(socket))["seq"]]
        started = time.monotonic()
        for seq in range(1, 61):
            await publish(redis_client, snapshot(seq))
            await asyncio.sleep(0.02)
        while seen[-1] != 60:
            seen.append((await frame(socket))["seq"])
        elapsed = time.monotonic() - started
        assert await socket.receive_nothing(timeout=1)
    assert seen == sorted(set(seen)), "an older snapshot came after a newer one"
    assert len(seen) - 1 <= elapsed * 2 + 1, (seen, elapsed)


async def test_two_browsers_get_the_same_stream(cookie: bytes, redis_client: redis.Redis) -> None:
    async with connected(cookie) as one, connected(cookie) as two:
        for socket in (one, two):
            await frame(socket)
            assert (await frame(socket))["notice"] == live_feed.NOTHING_YET
        await publish(redis_client, snapshot(3))
        for socket in (one, two):
            assert await frame(socket) == {"notice": ""}
            assert (await frame(socket))["seq"] == 3


async def test_snapshot_is_found_even_when_its_call_is_lost(cookie: bytes, redis_client: redis.Redis) -> None:
    redis_client.set(keys.SNAPSHOT, snapshot(1))
    async with connected(cookie) as socket:
        await frame(socket), await frame(socket)
        redis_client.set(keys.SNAPSHOT, snapshot(2))
        assert (await frame(socket))["seq"] == 2


async def test_recent_equity_is_in_the_greeting_of_a_later_browser(cookie: bytes, redis_client: redis.Redis) -> None:
    redis_client.set(keys.SNAPSHOT, snapshot(1, "20000.5"))
    async with connected(cookie) as first:
        await frame(first), await frame(first)
        await publish(redis_client, snapshot(2, None))
        await publish(redis_client, snapshot(3, "20001.5"))
        while (await frame(first))["seq"] != 3:
            pass
        async with connected(cookie) as second:
            points = (await frame(second))["equity"]["strategy"]
    assert points == [[1_731_000_000_000_001, 20000.5], [1_731_000_000_000_003, 20001.5]]


async def test_unreadable_snapshot_is_told_and_the_last_good_one_stays(
    cookie: bytes, redis_client: redis.Redis
) -> None:
    redis_client.set(keys.SNAPSHOT, snapshot(1))
    async with connected(cookie) as socket:
        await frame(socket), await frame(socket)
        await publish(redis_client, '{"seq": 2, "at_us"')
        assert "cannot be read" in (await frame(socket))["notice"]
        await publish(redis_client, snapshot(3))
        assert await frame(socket) == {"notice": ""}
        assert (await frame(socket))["seq"] == 3


async def test_channel_stays_in_the_group_when_its_membership_was_lost(
    cookie: bytes, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_channel_layer(), "group_expiry", 4)
    monkeypatch.setattr(live_feed, "LOOK_SECONDS_MAX", 0.5)
    redis_client.set(keys.SNAPSHOT, snapshot(1))
    async with connected(cookie) as socket:
        await frame(socket), await frame(socket)
        services = redis.Redis.from_url(redis_client_address(redis_client))
        (group,) = services.keys("*group*live*")
        services.delete(group)
        await asyncio.sleep(2)
        assert services.zcard(group) == 1
        services.close()


def redis_client_address(client: redis.Redis) -> str:
    """The database of channels: the one after the desk's."""
    where = client.connection_pool.connection_kwargs
    return f"redis://{where['host']}:{where['port']}/{int(where.get('db', 0)) + 1}"


async def test_redis_going_away_is_told_and_the_connection_lives_on(
    cookie: bytes, redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_redis(tmp_path / "redis") as address:
        own = redis.Redis.from_url(address)
        own.set(keys.SNAPSHOT, snapshot(1))
        feed = live_feed.LiveFeed(address)
        monkeypatch.setattr(consumers, "live_feed", lambda: feed)
        async with connected(cookie) as socket:
            await frame(socket)
            assert (await frame(socket))["seq"] == 1
            own.shutdown(nosave=True)
            assert "Redis does not answer since" in (await frame(socket, 10))["notice"]
            assert await socket.receive_nothing(timeout=2), "the browser was told twice, or disconnected"


async def test_frozen_redis_is_told_and_the_stream_goes_on_when_it_thaws(
    cookie: bytes, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "REDIS_SECONDS_MAX", 0.5)
    redis_client.set(keys.SNAPSHOT, snapshot(1))
    async with connected(cookie) as socket:
        await frame(socket), await frame(socket)
        redis_client.client_pause(4_000)
        assert "Redis does not answer since" in (await frame(socket, 10))["notice"]
        assert await frame(socket, 10) == {"notice": ""}
        await publish(redis_client, snapshot(2))
        assert (await frame(socket))["seq"] == 2


async def test_browser_that_does_not_read_is_closed_with_4408(
    cookie: bytes, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "SEND_SECONDS_MAX", 0.3)
    redis_client.set(keys.SNAPSHOT, snapshot(1))
    sent: list[dict[str, Any]] = []
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    closed = asyncio.Event()

    async def stuck(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()
        if message["type"] == "websocket.close":
            closed.set()

    await events.put({"type": "websocket.connect"})
    connection = asyncio.create_task(application(opened(cookie, ORIGIN).scope, events.get, stuck))
    await asyncio.wait_for(closed.wait(), 5)
    await events.put({"type": "websocket.disconnect", "code": 4408})
    await asyncio.wait_for(connection, 5)
    assert sent[-1] == {"type": "websocket.close", "code": 4408}


@pytest.mark.parametrize("ending", ["logout", "deactivated"])
async def test_stream_ends_when_the_user_may_no_longer_see_it(
    cookie: bytes, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(consumers, "USER_CHECK_SECONDS", 0.2)
    redis_client.set(keys.SNAPSHOT, snapshot(1))
    async with connected(cookie) as socket:
        await frame(socket), await frame(socket)
        assert await socket.receive_nothing(timeout=1), "a signed-in user was sent away"
        await asyncio.to_thread(ENDINGS[ending], cookie)
        assert await socket.receive_output(timeout=5) == {"type": "websocket.close", "code": 4401}


def _log_out(cookie: bytes) -> None:
    browser = Client()
    browser.cookies["sessionid"] = cookie.decode().partition("=")[2]
    assert browser.post("/logout/").status_code == 302


ENDINGS: dict[str, Callable[[bytes], Any]] = {
    "logout": _log_out,
    "deactivated": lambda cookie: User.objects.update(is_active=False),
}
