"""Reading raw strings from Redis, and what it means that it does not answer. Clients answer bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from trading.stores.errors import RedisAway, WireError

LOST = (RedisConnectionError, RedisTimeoutError)
KEYS_PER_READ = 500  # one answer of 500 trades is about 1.5 MB


@contextlib.contextmanager
def answering(what: str) -> Iterator[None]:
    """Turns a connection that fails or times out into RedisAway, with `what` was asked."""
    try:
        yield
    except LOST as error:
        raise RedisAway(f"Redis did not answer to {what}: {error}") from error


def raw_of(client: Redis, key: str) -> bytes | None:
    """The string at a key, None if there is nothing. Raises WireError for a key of another type."""
    try:
        return cast(bytes | None, client.get(key))
    except ResponseError as error:
        raise WireError(f"{key}: {error}") from None


def raws_of(client: Redis, keys: Sequence[str]) -> list[bytes | None]:
    """The strings at the keys, None where there is nothing or something that is no string."""
    raws: list[bytes | None] = []
    for start in range(0, len(keys), KEYS_PER_READ):
        raws += cast(list[bytes | None], client.mget(keys[start : start + KEYS_PER_READ]))
    return raws


def members_of(client: Redis, key: str) -> set[str]:
    """The members of the set at a key. Raises WireError for a key of another type."""
    try:
        return {cast(bytes, member).decode() for member in client.smembers(key)}
    except ResponseError as error:
        raise WireError(f"{key}: {error}") from None
