"""`/ws/live/`: the snapshot stream of the desk and trade pages.

Frames to the browser, JSON objects: first {"server_us", "equity": {prefix: [[at_us, usd], ...]}}, then snapshots as
the monitor wrote them (they have `seq`), and {"notice": "sentence" | ""} when there is something to say. The newest
snapshot only, at most two frames a second. Close codes: 4401 not signed in (any more), 4408 the reader is too slow.
Frames from the browser are ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from importlib import import_module
from typing import Any

import orjson
import structlog
from channels.auth import get_user
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

from trading.live_feed import LiveFeed, live_feed

log = structlog.get_logger(__name__)

SIGNED_OUT = 4401
TOO_SLOW = 4408
SERVER_ERROR = 1011
FRAME_SECONDS_MIN = 0.5
SEND_SECONDS_MAX = 5.0  # socket buffers hold hundreds of frames: who is still behind after 5 s will not catch up
USER_CHECK_SECONDS = 30.0


class LiveConsumer(AsyncWebsocketConsumer):
    """One browser. It has no channel of its own: the process's `LiveFeed` follows the group for all of them, so
    that a Redis that is away ends no connection."""

    channel_layer_alias = "none"
    feed: LiveFeed
    _stream_task: asyncio.Task[None] | None = None
    _notice_sent = ""
    _snapshot_sent: str | None = None

    async def connect(self) -> None:
        """Accept, and close at once whoever is not signed in: only an accepted socket can carry a close code."""
        await self.accept()
        if not self.scope["user"].is_authenticated:
            await self.close(SIGNED_OUT)
            return
        self.feed = live_feed()
        self.feed.join()
        self._stream_task = asyncio.create_task(self._stream_until_over(), name="live stream")

    async def disconnect(self, code: int) -> None:
        """End the stream of a browser that left."""
        task = self._stream_task
        if task is None:
            return
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(outcome, Exception):
            log.error("live_stream_failed", exc_info=outcome)
        await self.feed.leave()

    async def _stream_until_over(self) -> None:
        """Stream, and close with the code that says why it ended; a browser that is gone needs none."""
        try:
            code = await self._stream()
        except TimeoutError:
            code = TOO_SLOW
        except OSError:
            return
        except Exception:
            await self.close(SERVER_ERROR)
            raise
        await self.close(code)

    async def _stream(self) -> int:
        """Send what is new until the user is signed out; return the close code."""
        await self._send(orjson.dumps(self._greeting()).decode())
        check_at = time.monotonic() + USER_CHECK_SECONDS
        while True:
            version = self.feed.version
            if frame := self._next_frame():
                await self._send(frame)
                await asyncio.sleep(FRAME_SECONDS_MIN)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.feed.newer_than(version), USER_CHECK_SECONDS)
            if time.monotonic() >= check_at:
                if not await self._is_still_signed_in():
                    return SIGNED_OUT
                check_at = time.monotonic() + USER_CHECK_SECONDS

    def _next_frame(self) -> str | None:
        """What this browser has not seen yet, the notice before the snapshot; None when it has seen everything."""
        if self.feed.notice != self._notice_sent:
            self._notice_sent = self.feed.notice
            return orjson.dumps({"notice": self._notice_sent}).decode()
        if self.feed.snapshot is not None and self.feed.snapshot is not self._snapshot_sent:
            self._snapshot_sent = self.feed.snapshot
            return self._snapshot_sent
        return None

    def _greeting(self) -> dict[str, Any]:
        return {
            "server_us": time.time_ns() // 1000,
            "equity": {prefix: list(points) for prefix, points in self.feed.equity.items()},
        }

    async def _is_still_signed_in(self) -> bool:
        """Look the session up again; while Redis or the database cannot tell, the answer is the old one."""
        session = import_module(settings.SESSION_ENGINE).SessionStore(self.scope["session"].session_key)
        try:
            user = await get_user({"session": session})
        except (ConnectionInterrupted, RedisError, DatabaseError, OSError):
            return True
        return bool(user.is_authenticated)

    async def _send(self, text: str) -> None:
        """Raises TimeoutError when the browser does not take it within SEND_SECONDS_MAX."""
        async with asyncio.timeout(SEND_SECONDS_MAX):
            await self.send(text_data=text)
