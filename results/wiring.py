"""The clients of the durable side, each made at first use and kept for the life of the process.

Nothing is opened by making one: Redis and ClickHouse connect at the first call, DuckDB only inside its gate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import structlog
from django.conf import settings
from django.db import DatabaseError

from paperdesk.checks import fsync_sentence
from paperdesk.embedded.redis_server import answers
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.durable_rows import DurableRows
from results.pipeline.keep.compaction import Compaction
from results.pipeline.keep.confirmed import ConfirmedRows
from results.pipeline.keep.retention import Limits, Retention
from results.pipeline.keep.trade_archive import TradeArchive
from results.pipeline.keep.window import Window
from results.pipeline.mirror import DjangoTables
from results.pipeline.reconcile.reconciler import Reconciler
from results.pipeline.sync import Sync
from results.pipeline.verify.audit import Audit
from results.pipeline.verify.hot_audit import HotAudit
from results.pipeline.verify.look import Keeper
from results.pipeline.verify.repair import Repairer
from results.pipeline.verify.sources import ClickHouseRows, DjangoRows
from results.pipeline.verify.verifier import Verifier
from results.reconcile.tolerances import tolerances_in_force, tolerances_seed
from results.review import following
from results.stores.clickhouse import ClickHouse
from results.stores.failures import ClickHouseAway
from results.stores.gate import Gate
from trading.wiring import redis_client

HOUR_US = 3_600_000_000
logger = structlog.get_logger(__name__)


def now_us() -> int:
    """The wall clock in microseconds UTC."""
    return time.time_ns() // 1_000


@cache
def gate() -> Gate:
    """The way to the DuckDB file."""
    return Gate(settings.DUCKDB_PATH)


@cache
def clickhouse() -> ClickHouse:
    """ClickHouse. Raises ClickHouseAway when there is no address of one."""
    if not settings.CLICKHOUSE_URL:
        raise ClickHouseAway("ClickHouse: CLICKHOUSE_URL is not set and no desk is running")
    return ClickHouse(settings.CLICKHOUSE_URL, settings.CLICKHOUSE_CLUSTER)


@cache
def sync() -> Sync:
    """The pipeline of this process, on the wall clock; the shipped tolerance is stored if there is none yet. Its log
    begins with how safe Redis is, if that answers.
    """
    made = new_sync(now_us)
    try:
        tolerances_seed(now_us())
    except DatabaseError as error:  # it is in force all the same; the next process stores it
        logger.warning("tolerance not stored", reason=str(error))
    if answers(settings.REDIS_URL):
        logger.info("redis", fsync=fsync_sentence(settings.REDIS_URL))
    return made


def new_sync(clock_us: Callable[[], int]) -> Sync:
    """A pipeline that remembers nothing yet; `clock_us` is its clock, microseconds UTC."""
    client = redis_client()
    followers = [keeper.follower for keeper in keepers()]
    return Sync(client, gate(), followers, reconciler(), clock_us)


def reconciler() -> Reconciler:
    """A reconciler that goes by the tolerances in the database."""
    return Reconciler(redis_client(), tolerances_in_force, gate())


@cache
def keepers() -> tuple[Keeper, ...]:
    """The stores that follow the durable log, in the order in which they are written."""
    return (
        Keeper(DjangoRows(), DjangoTables(following.cases_follow)),
        Keeper(ClickHouseRows(clickhouse), ClickHouseTables(clickhouse, gate)),
    )


@cache
def retention() -> Retention:
    """What removes result hashes from Redis, within the limits of the settings."""
    limits = Limits(settings.RETAIN_HOURS * HOUR_US, settings.HOT_HASHES_MAX)
    return Retention(redis_client(), confirmed_rows(), limits)


@cache
def trade_archive() -> TradeArchive | None:
    """What moves closed trades out of Redis; None unless the settings ask for it."""
    if not settings.ARCHIVE_DAYS:
        return None
    age_us = settings.ARCHIVE_DAYS * 24 * HOUR_US
    return TradeArchive(redis_client(), confirmed_rows(), DurableRows(gate()), age_us)


def confirmed_rows() -> ConfirmedRows:
    """Asks every durable store for rows."""
    return ConfirmedRows(gate(), [keeper.follower for keeper in keepers()], clickhouse)


@cache
def window() -> Window:
    """The window of the Django tables."""
    follower = ClickHouseTables(clickhouse, gate)
    return Window(gate(), clickhouse, follower, settings.TABLES_DAYS, now_us)


@cache
def compaction() -> Compaction:
    """The compaction of the durable log."""
    return Compaction(gate(), [keeper.follower for keeper in keepers()], now_us)


@cache
def verifier() -> Verifier:
    """The verifier over all stores."""
    return Verifier(redis_client(), gate(), keepers(), now_us)


@cache
def audit() -> Audit:
    """The daily audit of this process."""
    return Audit(redis_client(), verifier(), HotAudit(redis_client(), gate()), now_us)


def repairer() -> Repairer:
    """A repairer for one repair."""
    return Repairer(redis_client(), gate(), keepers(), now_us())
