"""Leases: who may act as an engine shard or as the monitor, with a fencing number.

A lease is a hash `owner`, `token` that expires. The token grows with every acquisition and never repeats, and every
step is compared with it inside Redis, so that an engine that was paused past its lease cannot write afterwards.
A holder who renews every third of the lifetime survives two lost renewals. A lease may have rivals: leases of which
none is held at the same time as it, by anybody. A holder that was a process of this machine and has ended is not waited
for: whoever is started in its place takes the lease at once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import socket
import uuid
from collections.abc import Iterable
from pathlib import Path

from redis import Redis

from trading.stores import keys
from trading.stores.connection import answering
from trading.stores.errors import LeaseHeld, LeaseLost
from trading.stores.scripts import Script
from trading.stores.step import Step

LIFETIME_MS = 5_000  # an engine on a crashed machine is replaced after 5 s; a healthy one renews three times in it
BOOT = Path("/proc/sys/kernel/random/boot_id")
PROCESSES = Path("/proc/self/ns/pid")  # the namespace in which a process id means what it means here


def owner_name() -> str:
    """A name for this process that says where it runs and that no other process has."""
    return f"{socket.gethostname()}:{os.getpid()}:{_place()}{uuid.uuid4().hex[:8]}"


def has_ended(owner: str) -> bool:
    """Whether an `owner_name` is that of a process of this machine, since its last start, that is no more. False
    where that cannot be known: another machine, another container, or a process id that has been given again."""
    _host, _, rest = owner.partition(":")
    pid, _, place = rest.partition(":")
    if not (pid.isdigit() and _place() and place.startswith(_place())):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # another user's process
    return False


@functools.cache
def _place() -> str:
    """Names what a process id is unique in: this start of this machine, and the container. Empty where unknown."""
    with contextlib.suppress(OSError):
        named = f"{BOOT.read_text()}{PROCESSES.readlink()}"
        return hashlib.blake2b(named.encode(), digest_size=4).hexdigest() + "-"
    return ""


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
        gone = b""
        with answering(f"acquiring the lease {self.name}"):
            token, holder, left_ms, key = self._acquire(self._keys, [self.owner, self.lifetime_ms, gone])
            while not token and holder != gone and has_ended(holder.decode()):
                gone = holder
                token, holder, left_ms, key = self._acquire(self._keys, [self.owner, self.lifetime_ms, gone])
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
