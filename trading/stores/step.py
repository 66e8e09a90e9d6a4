"""One atomic step in Redis: what must still be so, and what is written then, all of it or nothing.

    step = Step(operation_id).expect(key, raw).set(key, new_raw).emit(entry)
    stream_ids = StepRunner(client).run(step)

A step carries raw strings only; Redis compares and writes them and never looks inside (ruling 17). Its
operation id makes it safe to send again after a lost reply: a step that was applied answers as it did the first time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import msgspec
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from trading.stores import keys
from trading.stores.connection import LOST, answering
from trading.stores.errors import LeaseLost, StepConflict, StepRefused, StoreError
from trading.stores.scripts import Script, flat, texts

Raw = bytes | str
# An answer is kept far longer than the retries below can last, also on a machine that was suspended.
OPERATION_LIFETIME_MS = 300_000
RETRIES_MAX = 6
BACKOFF_SECONDS_FIRST = 0.02
BACKOFF_SECONDS_MAX = 0.5  # six retries wait 1.6 s at most: a restart of Redis on this machine fits


class Step:
    """A step under construction. Every method returns the step, so that calls can be chained."""

    def __init__(self, operation_id: str) -> None:
        self.operation_id = operation_id
        self._keys = {keys.operation(operation_id): 1}
        self._lease: tuple[int, str] = (0, "")
        self._expectations: list[Any] = []
        self._expectation_count = 0
        self._writes: list[Any] = []
        self._arguments: list[bytes] = []
        self.write_count = 0

    def under(self, lease_key: str, token: int) -> Self:
        """Only if the lease at `lease_key` is still held with this fencing number."""
        self._lease = (self._index(lease_key), str(token))
        return self

    def expect(self, key: str, raw: Raw | None) -> Self:
        """Only if the string at `key` is exactly `raw`; None: only if there is nothing at `key`."""
        return self._expect(key, "absent" if raw is None else "string", [] if raw is None else [raw])

    def expect_hash(self, key: str, fields: Mapping[Any, Any] | None) -> Self:
        """Only if the hash at `key` has exactly these fields; None: only if there is nothing at `key`."""
        return self._expect(key, "hash", flat(fields or {}))

    def expect_field(self, key: str, field: str, value: Raw) -> Self:
        """Only if this one field of the hash at `key` is exactly `value`."""
        return self._expect(key, "field", [field, value])

    def set(self, key: str, raw: Raw) -> Self:
        """SET."""
        return self._write(key, "SET", [raw])

    def delete(self, key: str) -> Self:
        """DEL."""
        return self._write(key, "DEL", [])

    def sadd(self, key: str, *members: Raw) -> Self:
        """SADD."""
        return self._write(key, "SADD", members)

    def srem(self, key: str, *members: Raw) -> Self:
        """SREM."""
        return self._write(key, "SREM", members)

    def zadd(self, key: str, member: Raw, score: int) -> Self:
        """ZADD; exact for scores below 2^53, which microseconds are until the year 2255."""
        return self._write(key, "ZADD", [str(score), member])

    def zrem(self, key: str, *members: Raw) -> Self:
        """ZREM."""
        return self._write(key, "ZREM", members)

    def lpush(self, key: str, *elements: Raw) -> Self:
        """LPUSH."""
        return self._write(key, "LPUSH", elements)

    def hset(self, key: str, fields: Mapping[Any, Any]) -> Self:
        """HSET of one or more fields; others stay."""
        return self._write(key, "HSET", flat(fields))

    def hdel(self, key: str, *fields: Raw) -> Self:
        """HDEL."""
        return self._write(key, "HDEL", fields)

    def xadd(self, key: str, entry: Mapping[str, Any]) -> Self:
        """XADD with an id from Redis, which `run` returns."""
        return self._write(key, "XADD", flat(entry))

    def emit(self, entry: Mapping[str, str]) -> Self:
        """XADD to the outbox; see `trading.stores.outbox`."""
        return self.xadd(keys.OUTBOX, entry)

    def wire(self) -> tuple[list[str], list[bytes]]:
        """Keys and arguments as `lua/step.lua` takes them: one for the whole and one for each write, since a step may
        have thousands of strings, which cost both sides less in one piece."""
        told = [
            OPERATION_LIFETIME_MS,
            *self._lease,
            self._expectation_count,
            *self._expectations,
            self.write_count,
            *self._writes,
        ]
        return list(self._keys), [msgspec.msgpack.encode(told), *self._arguments]

    def _index(self, key: str) -> int:
        return self._keys.setdefault(key, len(self._keys) + 1)

    def _expect(self, key: str, kind: str, values: list[Any]) -> Self:
        self._expectations += [self._index(key), kind, len(values), *texts(values)]
        self._expectation_count += 1
        return self

    def _write(self, key: str, command: str, arguments: Iterable[Any]) -> Self:
        given = texts(arguments)
        self._writes += [self._index(key), command, len(given)]
        self._arguments.append(_one_after_the_other(given))
        self.write_count += 1
        return self


class StepRunner:
    """Sends steps to one Redis."""

    def __init__(self, client: Redis) -> None:
        self._script = Script(client, "step")
        self._retry = Retry(
            ExponentialWithJitterBackoff(cap=BACKOFF_SECONDS_MAX, base=BACKOFF_SECONDS_FIRST),
            RETRIES_MAX,
            supported_errors=LOST,
        )

    def run(self, step: Step) -> list[str]:
        """Applies the step and returns the stream id of each entry it added, in order.

        Raises StepConflict (a key changed), LeaseLost, StepRefused (a key has the wrong type): nothing was
        written. Raises RedisAway when Redis did not answer: whether it was written is unknown, and the same
        step may be run again within `OPERATION_LIFETIME_MS`.
        """
        key_names, arguments = step.wire()
        with answering(f"step {step.operation_id}"):
            answer = self._retry.call_with_retry(lambda: self._script(key_names, arguments), _try_again)
        verdict, *rest = [part.decode() if isinstance(part, bytes) else str(part) for part in answer]
        if verdict in ("ok", "repeated"):
            return rest
        raise _refusal(verdict, rest, step)


def _try_again(_error: Exception) -> None:
    """Nothing is to be undone between two attempts: the operation id makes the repetition harmless."""


def _refusal(verdict: str, rest: list[str], step: Step) -> StoreError:
    if verdict == "conflict":
        return StepConflict(rest[0])
    if verdict == "lease":
        holder = f"is held by {rest[0]}" if rest[0] else "has expired"
        return LeaseLost(f"step {step.operation_id} was not written: its lease {holder}")
    return StepRefused(f"step {step.operation_id} was not written: {rest[1]} at {rest[0]}")


def _one_after_the_other(given: list[Any]) -> bytes:
    """MessagePack of the values without that of a list around them, of which the length takes 1, 3 or 5 bytes."""
    count = len(given)
    return msgspec.msgpack.encode(given)[1 if count < 16 else 3 if count < 65_536 else 5 :]
