"""Whether a desk under test is back to normal after a fault.

Everything is asked of the servers themselves and must have been renewed since the fault ended: the engine published
and no portfolio of it is in trouble, the monitor made a snapshot, the web answers, a turn of the sync began, no
follower is in trouble, and what the stream had when the fault ended is in every store.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, cast

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from results.pipeline.report import published
from results.pipeline.stream import START, order_of
from trading.stores import keys
from trading.stores.errors import StoreError
from trading.stores.market_store import MarketStore

READERS = ("reconcile", "duckdb")  # of the outbox, in which others go on writing
FOLLOWERS = ("django", "clickhouse")  # of the log
POLL_SECONDS = 0.1
WEB_SECONDS_MAX = 1.0


def now_us() -> int:
    """The wall clock, microseconds UTC."""
    return time.time_ns() // 1_000


class Normal:
    """Asks one desk. `address` is that of the web; `require_running` raises when its processes have ended."""

    def __init__(self, client: Redis, address: str, require_running: Callable[[], None]) -> None:
        self._client = client
        self._address = address
        self._require_running = require_running
        self._head = 0  # of the log, once it has what is waited for

    def last_id(self) -> str:
        """The id that the outbox gave last; the start while Redis does not answer."""
        try:
            return cast("dict[str, bytes]", self._client.xinfo_stream(keys.OUTBOX))["last-generated-id"].decode()
        except RedisError:
            return START

    def lacking(self, since_us: int, last_id: str) -> list[str]:
        """What is not normal yet, in sentences; `last_id` is what the stream had when the fault ended."""
        try:
            return [*self._engine(since_us), *self._monitor(since_us), *self._sync(since_us, last_id), *self._web()]
        except (RedisError, StoreError) as error:
            return [f"Redis does not answer: {error}"]

    def wait(self, since_us: int, seconds_max: float) -> tuple[float, list[str]]:
        """Wait until everything is normal: seconds since `since_us`, and what still is not after `seconds_max`. What
        has ended by itself never is: raises what `require_running` raises."""
        last_id, deadline = self.last_id(), time.monotonic() + seconds_max
        self._head = 0
        while (lacking := self.lacking(since_us, last_id)) and time.monotonic() < deadline:
            self._require_running()
            time.sleep(POLL_SECONDS)
            if last_id == START:
                last_id = self.last_id()
        return (now_us() - since_us) / 1e6, lacking

    def _engine(self, since_us: int) -> list[str]:
        feeds = MarketStore(self._client).feeds()
        if not feeds:
            return ["no engine has published"]
        found = [f"engine {shard} is silent" for shard, feed in feeds.items() if feed.at_us <= since_us]
        return found + [f"{prefix}: {why}" for feed in feeds.values() for prefix, why in feed.troubles.items()]

    def _monitor(self, since_us: int) -> list[str]:
        raw = cast("bytes | None", self._client.get(keys.SNAPSHOT))
        snapshot: dict[str, Any] = msgspec.json.decode(raw) if raw else {}
        return [] if snapshot.get("at_us", 0) > since_us else ["the monitor is silent"]

    def _sync(self, since_us: int, last_id: str) -> list[str]:
        states = published(self._client)
        found = [f"{name}: {state.error}" for name, state in states.items() if state.error]
        found += [f"{name} is silent" for name, state in states.items() if (state.at_us or 0) <= since_us]
        late = [name for name in READERS if name not in states or order_of(states[name].position) < order_of(last_id)]
        if late or not states.keys() >= set(FOLLOWERS):
            return [*found, *(f"{name} has not drained the outbox" for name in late)]
        self._head = self._head or max(int(states[name].position) + states[name].lag for name in FOLLOWERS)
        behind = {name: self._head - int(states[name].position) for name in FOLLOWERS}
        return [*found, *(f"{name} is behind by {rows}" for name, rows in behind.items() if rows > 0)]

    def _web(self) -> list[str]:
        try:
            with urllib.request.urlopen(f"{self._address}/readyz", timeout=WEB_SECONDS_MAX):
                return []
        except (urllib.error.URLError, OSError) as error:
            return [f"the web does not answer: {error}"]
