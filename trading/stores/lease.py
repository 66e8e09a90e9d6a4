"""Leases: who may act as an engine shard or as the monitor, with a fencing number.

A lease is a hash `owner`, `token` that expires. The token grows with every acquisition and never repeats, and every
step is compared with it inside Redis, so that an engine that was paused past its lease cannot write afterwards.
A holder who renews every third of the lifetime survives two lost renewals. A lease may have rivals: leases of which
none is held at the same time as it, by anybody.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterable

from redis import Redis

from trading.stores import keys
from trading.stores.connection import answering
from trading.stores.errors import LeaseHeld, LeaseLost
from trading.stores.scripts import Script
from trading.stores.step import Step

LIFETIME_MS = 5_000  # a crashed engine is replaced after 5 s; a healthy one renews three times in it


def owner_name() -> str:
    """A name for this process that says where it runs and that no other process has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class Lease:
    """One lease of one owner. `token` is None while it is not held."""

    def __init__(
        self, client: Redis, name: str, owner: str, lifetime_ms: int = LIFETIME_MS, rivals: Iterable[str] = ()
    ) -> None:
        self.name = name
        self.key = keys.lease(name)
        self.owner = owner
        self.lifetime_ms = lifetime_ms
        self.token: int | None = None
        self._keys = [key for each in (name, *rivals) for key in (keys.lease(each), keys.fence(each))]
        self._acquire = Script(client, "lease_acquire")
        self._renew = Script(client, "lease_renew")
        self._release = Script(client, "lease_release")

    def acquire(self) -> int:
        """Takes the lease and returns its fencing number. Raises LeaseHeld, with what is held, the holder and the time
        left; RedisAway."""
        with answering(f"acquiring the lease {self.name}"):
            token, holder, left_ms, key = self._acquire(self._keys, [self.owner, self.lifetime_ms])
        if not token:
            held = key.decode().removeprefix(keys.lease(""))
            waits = "" if held == self.name else f"{self.name} cannot run beside {held}: "
            raise LeaseHeld(f"{waits}{held} is held by {holder.decode()} for another {left_ms} ms")
        self.token = token
        return token

    def renew(self) -> None:
        """Extends the lease to its full lifetime from now. Raises LeaseLost when it is no longer held, RedisAway (and
        it may still be held) when Redis does not answer."""
        with answering(f"renewing the lease {self.name}"):
            held = self.token is not None and self._renew([self.key], [self.token, self.lifetime_ms])
        if not held:
            self.token = None
            raise LeaseLost(f"{self.name} is no longer held by {self.owner}")

    def guard(self, step: Step) -> Step:
        """The step, to be written only while the lease is held. Raises LeaseLost when it is not held even here."""
        if self.token is None:
            raise LeaseLost(f"step {step.operation_id} was not written: {self.name} is not held by {self.owner}")
        return step.under(self.key, self.token)

    def release(self) -> None:
        """Gives the lease back; one that was lost already stays with its holder."""
        if self.token is not None:
            with answering(f"releasing the lease {self.name}"):
                self._release([self.key], [self.token])
        self.token = None
