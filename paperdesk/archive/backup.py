"""A backup of a running desk: the Django database, then the durable log, then Redis, in this order.

Rows flow from Redis to the log and from there to Django, so each copy is ahead of the one before it: the database's
watermark is a place in the log's copy, and the log's a place in the stream's, which is not trimmed meanwhile. The first
syncs of the restored desk carry over what is between, as they do after any restart. Rows that are born in Django go the
other way; they are not relayed meanwhile, so the database's copy is never behind the stream's. ClickHouse is not
copied: it is sent everything anew from the log.
"""

from __future__ import annotations

import datetime
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import msgspec
from django import get_version
from django.conf import settings
from redis import Redis

from paperdesk.archive.container import Manifest, pack, refuse_target, staging
from paperdesk.archive.database import copy_database
from paperdesk.archive.hold import held
from paperdesk.archive.hot import copy_redis
from results.pipeline.keep.log_copy import CopiedLog, LogChanged, copy_log
from results.pipeline.stream import OutboxStream
from results.stores.gate import Gate
from trading.stores.connection import answering

PASSWORDS = "passwords.txt"
LOG_TRIES = 3
Say = Callable[[str], None]


def make_backup(client: Redis, gate: Gate, target: Path, say: Say) -> Manifest:
    """Write the archive `target`, which is not there yet; its manifest.

    Raises BackupRefused, LeaseHeld when another backup runs, RedisAway, StoreError, django.db.DatabaseError, OSError.
    """
    refuse_target(target)
    made_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with answering("a backup"), staging(target) as folder:
        with held(client) as check_held:
            say("copying the Django database")
            database = copy_database(folder / "database")
            log = _copied_log(gate, folder / "log", say)
            say("copying Redis")
            redis = copy_redis(client, folder / "redis", lambda n, of: say(f"copying Redis: {n:,} of {of:,} bytes"))
            check_held()
        if (settings.DATA / PASSWORDS).exists():
            shutil.copyfile(settings.DATA / PASSWORDS, folder / PASSWORDS)
        manifest = Manifest(
            made_at=made_at,
            versions={"python": platform.python_version(), "django": get_version(), "duckdb": duckdb.__version__},
            database=database,
            log=msgspec.to_builtins(log.mark),
            rows=log.rows,
            redis={**redis, **msgspec.to_builtins(OutboxStream(client).state())},
        )
        say("writing the archive")
        return pack(folder, manifest, target)


def _copied_log(gate: Gate, folder: Path, say: Say) -> CopiedLog:
    """Copy the log; once more if versions that newer ones replaced were removed from it meanwhile."""

    def tell(seq: int, last: int) -> None:
        say(f"copying DuckDB: row {seq:,} of {last:,}")

    for _ in range(LOG_TRIES - 1):
        try:
            return copy_log(gate, folder, tell)
        except LogChanged:
            shutil.rmtree(folder)
    return copy_log(gate, folder, tell)
