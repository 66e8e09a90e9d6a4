"""The newest snapshot, followed once per process for every live page that is open in it.

The monitor writes `keys.SNAPSHOT` and sends {"type": "live.snapshot"} to the channels group `live`. That message is
only a call to look: the snapshot itself is read from the key, so older ones drop out by themselves, and a look each
`LOOK_SECONDS_MAX` makes up for a lost call. `version` grows with every change of `snapshot` or `notice`.

Invariants: a snapshot is a JSON object, passed on as it was written; while Redis does not answer, `notice` says so
and the last snapshot stands; the channel is in its group at all times (it joins again long before `group_expiry`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import orjson
import structlog
from channels.layers import get_channel_layer
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trading.stores import keys
from trading.wiring import LIVE_GROUP

log = structlog.get_logger(__name__)

LOOK_SECONDS_MAX = 2.0
LOOK_SECONDS_MIN = 0.2  # however often the monitor calls, Redis is asked at most five times a second
RETRY_SECONDS = 1.0
REDIS_SECONDS_MAX = 2.0  # a local read takes under 1 ms; two seconds without an answer is a server that is away
JOINS_PER_EXPIRY = 4
EQUITY_POINTS_MAX = 900  # a quarter of an hour at one snapshot a second

NO_REDIS = "No Redis is set up, so there is no desk to show. Start one with: make run"
NOTHING_YET = "The desk has not published anything yet. Numbers appear as soon as its monitor runs."


class GroupLayer(Protocol):
    """What is used of a channel layer."""

    async def new_channel(self) -> str: ...
    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
    async def receive(self, channel: str) -> dict[str, Any]: ...


class LiveFeed:
    """Follows the snapshot while it has viewers. `snapshot` is JSON text, `notice` a sentence, "" when all is well,
    `equity` the recent (instant in microseconds, USD) points by portfolio prefix."""

    def __init__(self, redis_url: str) -> None:
        self.snapshot: str | None = None
        self.notice = ""
        self.version = 0
        self.equity: dict[str, deque[tuple[int, float]]] = {}
        self._redis_url = redis_url
        self._changed = asyncio.Event()
        self._viewers = 0
        self._task: asyncio.Task[None] | None = None

    def join(self) -> None:
        """Count a viewer; the first one starts the following."""
        self._viewers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="live feed")

    async def leave(self) -> None:
        """Count a viewer off; the last one ends the following."""
        self._viewers -= 1
        if self._viewers or self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self.snapshot, self.notice = None, ""  # the next viewer waits for a look of its own, not for an old page

    async def newer_than(self, version: int) -> int:
        """Wait until something changed since `version`; return the version that stands then."""
        while self.version <= version:
            await self._changed.wait()
        return self.version

    def _change(self, snapshot: str | None, notice: str) -> None:
        if (snapshot, notice) == (self.snapshot, self.notice):
            return
        self.snapshot, self.notice = snapshot, notice
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def _follow(self) -> None:
        if not self._redis_url:
            self._change(None, NO_REDIS)
            return
        while True:
            client = Redis.from_url(
                self._redis_url, socket_timeout=REDIS_SECONDS_MAX, socket_connect_timeout=REDIS_SECONDS_MAX
            )
            try:
                await self._follow_group(client, get_channel_layer())
            except (RedisError, OSError) as error:
                if not self.notice:
                    log.warning("live_feed_redis_away", error=str(error))
                    since = datetime.now(UTC).strftime("%H:%M:%S")
                    self._change(self.snapshot, f"Redis does not answer since {since} UTC. The numbers stand still.")
            finally:
                await client.aclose()
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow_group(self, client: Redis, layer: GroupLayer) -> None:
        channel = await layer.new_channel()
        call: asyncio.Future[Any] | None = None
        joined = float("-inf")
        join_seconds = getattr(layer, "group_expiry", 86_400) / JOINS_PER_EXPIRY
        try:
            while True:
                if time.monotonic() - joined >= join_seconds:
                    await layer.group_add(LIVE_GROUP, channel)
                    joined = time.monotonic()
                self._take(await client.get(keys.SNAPSHOT))
                await asyncio.sleep(LOOK_SECONDS_MIN)
                call = call or asyncio.ensure_future(layer.receive(channel))
                called, _ = await asyncio.wait({call}, timeout=LOOK_SECONDS_MAX)
                if called:
                    call.result()
                    call = None
        finally:
            if call:
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            with contextlib.suppress(RedisError, OSError):
                await layer.group_discard(LIVE_GROUP, channel)

    def _take(self, raw: Any) -> None:
        if raw is None:
            self._change(None, NOTHING_YET)
            return
        text = raw.decode(errors="replace")
        if text == self.snapshot:
            self._change(text, "")
            return
        try:
            self._keep_equity(orjson.loads(raw))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            log.warning("live_feed_snapshot_unreadable", error=str(error))
            self._change(self.snapshot, f"The newest snapshot cannot be read: {error}")
            return
        self._change(text, "")

    def _keep_equity(self, snapshot: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what is not a snapshot."""
        at_us = int(snapshot["at_us"])
        for portfolio in snapshot["portfolios"]:
            points = self.equity.setdefault(portfolio["prefix"], deque(maxlen=EQUITY_POINTS_MAX))
            equity = portfolio["equity_usd"]
            if equity is not None and (not points or points[-1][0] < at_us):
                points.append((at_us, float(equity)))


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, LiveFeed] = WeakKeyDictionary()


def live_feed() -> LiveFeed:
    """The feed of the running event loop, made on first use."""
    loop = asyncio.get_running_loop()
    if loop not in _feeds:
        _feeds[loop] = LiveFeed(settings.REDIS_URL)
    return _feeds[loop]
