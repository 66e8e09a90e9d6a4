"""The trading app's clients and stores, made on first use, one of each per process.

Redis clients answer bytes (raw strings are compared byte for byte). Every number below says why it is what it is.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from paperdesk.tables import TABLES
from trading.domain.shards import WHOLE, Shard
from trading.engine.clock import SystemClock
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.connection import LOST
from trading.stores.desk_store import DeskStore
from trading.stores.errors import RedisAway
from trading.stores.lease import Lease, owner_name
from trading.stores.market_store import MarketStore
from trading.stores.monitor_store import MonitorStore, SnapshotStore
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.step import StepRunner

if TYPE_CHECKING:
    from trading.engine.watch import Watch

# A local answer takes under 1 ms and the slowest step some 10 ms; an AOF fsync on a busy disk can hold it up for 2 s.
SOCKET_SECONDS_MAX = 5.0
PAGE_SECONDS_MAX = 2.0  # a page is worth a wait of two seconds, then it is shown without what Redis knows
CONNECT_SECONDS_MAX = 2.0  # beyond a second SYN retransmission nobody is listening
# An idle connection that a firewall dropped is found out before it is used; once in 30 s costs nothing.
HEALTH_CHECK_SECONDS = 30
# One quick retry hides a connection that the server closed; steps have a longer, bounded one of their own.
RETRIES = 1
LIVE_GROUP = "live"  # the channels group of all live pages
CONNECTIONS_MAX = 32  # more than the threads of a web process


@functools.cache
def redis_client() -> Redis:
    """The process's Redis client. Raises RedisAway, with what to do, when there is none or it does not answer."""
    url = settings.REDIS_URL
    if not url:
        raise RedisAway("No Redis is running here: start the desk with `make run` or set REDIS_URL")
    client = Redis.from_url(
        url,
        socket_timeout=SOCKET_SECONDS_MAX,
        socket_connect_timeout=CONNECT_SECONDS_MAX,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_SECONDS,
        max_connections=CONNECTIONS_MAX,
        retry=Retry(ExponentialWithJitterBackoff(cap=0.1, base=0.02), RETRIES, supported_errors=LOST),
    )
    try:
        client.ping()
    except RedisError as error:
        client.close()
        raise RedisAway(
            f"No Redis answers at {address_of(url)}: start the desk with `make run` or set REDIS_URL ({error})"
        ) from None
    return client


@functools.cache
def step_redis_client() -> Redis:
    """The engine's client for its steps, one connection of its own: to take one from the pool for each command and give
    it back costs half as much as a step. Raises RedisAway."""
    return redis_client().client()


@functools.cache
def page_redis_client() -> Redis:
    """The pages' Redis client, which gives up early and never retries. Raises RedisAway when none is set up."""
    if not settings.REDIS_URL:
        raise RedisAway("No Redis is running here: start the desk with `make run` or set REDIS_URL")
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=PAGE_SECONDS_MAX,
        socket_connect_timeout=PAGE_SECONDS_MAX,
        max_connections=CONNECTIONS_MAX,
        retry=Retry(NoBackoff(), 0),
    )


def address_of(url: str) -> str:
    """A Redis address without its password."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.hostname}:{parts.port or 6379}").geturl()


def outbox() -> Outbox:
    """The outbox, with the schema of the durable tables."""
    return Outbox(TABLES)


def step_runner() -> StepRunner:
    """Runs atomic steps."""
    return StepRunner(redis_client())


def lease(name: str, owner: str = "") -> Lease:
    """A lease that is not held yet, for this process unless an owner is given."""
    return Lease(redis_client(), name, owner or owner_name())


def engine_lease(shard: Shard) -> Lease:
    """The lease of an engine shard, which no engine of another division holds beside it."""
    rivals = [keys.engine_lease(rival) for rival in shard.rivals]
    return Lease(redis_client(), keys.engine_lease(shard), owner_name(), rivals=rivals)


def portfolio_store(prefix: str, lease: Lease | None = None, shard: Shard = WHOLE) -> PortfolioStore:
    """An engine shard's store of one portfolio. Without a lease only a replay may write it."""
    return PortfolioStore(step_redis_client(), prefix, outbox(), lease, shard)


def monitor_store(prefix: str, lease: Lease | None = None) -> MonitorStore:
    """The monitor's store of one portfolio."""
    return MonitorStore(redis_client(), prefix, outbox(), lease)


def market_store() -> MarketStore:
    """Quotes and the feed's status."""
    return MarketStore(redis_client())


def command_store() -> CommandStore:
    """Commands to the engine."""
    return CommandStore(redis_client())


def snapshot_store() -> SnapshotStore:
    """The newest snapshot for the browsers."""
    return SnapshotStore(redis_client())


def desk_store() -> DeskStore:
    """The settings that the engine runs on."""
    return DeskStore(redis_client())


@functools.cache
def watch() -> Watch:
    """The monitor of this process."""
    from trading.engine.watch import Watch  # it needs NumPy, which is slow to load, and which nobody else needs

    return Watch(
        desk_store(),
        monitor_store,
        market_store(),
        command_store(),
        snapshot_store(),
        lease("monitor"),
        SystemClock(),
        announce,
    )


def announce() -> None:
    """Tells every live page to look at the newest snapshot; a page that misses it looks by itself within seconds."""
    async_to_sync(get_channel_layer().group_send)(LIVE_GROUP, {"type": "live.snapshot"})
