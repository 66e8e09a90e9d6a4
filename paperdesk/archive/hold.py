"""The hold of a backup: while it lasts, the stream is not trimmed, no record is removed from Redis and no row born in
Django is relayed. It is a lease that ends a minute after a backup died; two backups at once are refused."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from redis import Redis

from paperdesk.archive.errors import BackupRefused
from paperdesk.errors import PaperDeskError
from trading.stores import keys
from trading.stores.lease import Lease, owner_name

LIFETIME_MS = 60_000
RENEW_SECONDS = 15.0


@contextlib.contextmanager
def held(client: Redis, renew_seconds: float = RENEW_SECONDS) -> Iterator[Callable[[], None]]:
    """Hold; gives a function that raises BackupRefused unless everything was held without a break until now.

    Raises LeaseHeld when another backup runs, RedisAway.
    """
    lease = Lease(client, keys.BACKUP_LEASE, owner_name(), LIFETIME_MS)
    lease.acquire()
    ended, failures = threading.Event(), list[PaperDeskError]()

    def keep_renewing() -> None:
        while not ended.wait(renew_seconds):
            try:
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
        with contextlib.suppress(PaperDeskError):  # it ends by itself
            lease.release()
