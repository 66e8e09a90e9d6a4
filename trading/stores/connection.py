"""Reading raw strings from Redis, and what it means that it does not answer. Clients answer bytes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from trading.stores.errors import RedisAway, WireError

LOST = (RedisConnectionError, RedisTimeoutError)
REFUSING = (OutOfMemoryError, ReadOnlyError, MasterDownError)
# The refusals that redis-py has no class for, by the first word of the server's sentence: its disk is full, it lacks
# its replicas, a script holds it up. A pipeline or a transaction puts words of its own before that sentence.
REFUSAL = re.compile(r"(?:^|caused error: |because of: )-?(?:MISCONF|NOREPLICAS|BUSY|OOM|READONLY|MASTERDOWN) ")
KEYS_PER_READ = 500  # one answer of 500 trades is about 1.5 MB


@contextlib.contextmanager
def answering(what: str) -> Iterator[None]:
    """Turns a connection that fails or times out, and a server that refuses for now, into RedisAway, with `what` was
    asked."""
    try:
        yield
    except LOST as error:
        raise RedisAway(f"Redis did not answer to {what}: {error}") from error
    except ResponseError as error:
        if not refuses_for_now(error):
            raise
        raise RedisAway(f"Redis refuses {what} for now: {error}") from error


def refuses_for_now(error: ResponseError) -> bool:
    """Whether the server refuses any such command until its own trouble is over: full disk, no memory, no replicas, a
    replica, a script that does not end. It has written nothing then."""
    return isinstance(error, REFUSING) or REFUSAL.search(str(error)) is not None


@contextlib.contextmanager
def typed(key: str) -> Iterator[None]:
    """Turns what Redis says to a command for another type of value into WireError, with the key."""
    try:
        yield
    except ResponseError as error:
        if refuses_for_now(error):
            raise
        raise WireError(f"{key}: {error}") from None


def raw_of(client: Redis, key: str) -> bytes | None:
    """The string at a key, None if there is nothing. Raises WireError for a key of another type."""
    with typed(key):
        return cast(bytes | None, client.get(key))


def raws_of(client: Redis, keys: Sequence[str]) -> list[bytes | None]:
    """The strings at the keys, None where there is nothing or something that is no string."""
    raws: list[bytes | None] = []
    for start in range(0, len(keys), KEYS_PER_READ):
        raws += cast(list[bytes | None], client.mget(keys[start : start + KEYS_PER_READ]))
    return raws


def members_of(client: Redis, key: str) -> set[str]:
    """The members of the set at a key. Raises WireError for a key of another type."""
    with typed(key):
        return {cast(bytes, member).decode() for member in client.smembers(key)}
