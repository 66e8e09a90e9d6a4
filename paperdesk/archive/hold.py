"""The hold of a backup: while it lasts, the stream is not trimmed, no record is removed from Redis and no row born in
Django is relayed. It is a lease that ends a minute after a backup died; two backups at once are refused."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from redis import Redis
from redis.exceptions import RedisError

from paperdesk.archive.errors import BackupRefused
from paperdesk.errors import PaperDeskError
from results.pipeline.stream import OutboxStream
from trading.stores import keys
from trading.stores.connection import answering
from trading.stores.lease import Lease, owner_name

LIFETIME_SECONDS = 60
RENEW_SECONDS = 15.0


@contextlib.contextmanager
def held(client: Redis, renew_seconds: float = RENEW_SECONDS) -> Iterator[Callable[[], None]]:
    """Hold; gives a function that raises BackupRefused unless everything was held without a break until now.

    Raises LeaseHeld when another backup runs, RedisAway.
    """
    lease, stream = Lease(client, keys.BACKUP_LEASE, owner_name(), LIFETIME_SECONDS * 1_000), OutboxStream(client)
    lease.acquire()
    stream.hold_trimming(lease.owner, LIFETIME_SECONDS)
    ended, failures = threading.Event(), list[PaperDeskError]()

    def keep_renewing() -> None:
        while not ended.wait(renew_seconds):
            try:
                with answering("a backup"):
                    stream.hold_trimming(lease.owner, LIFETIME_SECONDS)
                lease.renew()
            except PaperDeskError as error:
                failures.append(error)
                return

    def check() -> None:
        if not failures:
            lease.renew()
            return
        raise BackupRefused(f"the stores were not held still for the whole copy, which is no good: {failures[0]}")

    renewing = threading.Thread(target=keep_renewing, name="backup hold", daemon=True)
    renewing.start()
    try:
        yield check
    finally:
        ended.set()
        renewing.join()
        with contextlib.suppress(PaperDeskError, RedisError):  # both end by themselves
            stream.release_trimming(lease.owner)
            lease.release()
