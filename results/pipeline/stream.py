"""The outbox stream as its followers see it: its epoch, how far it goes, its entries, what is trimmed of it.

A position is a stream id, `1742638560000-3`; "0-0" is before the first entry. The epoch is a uuid beside the stream:
a new one says that the stream's history was lost, and that old positions mean nothing in it (ruling 29).

Entries are removed in one place, `trim_behind`: those that every follower has, and none while anybody holds trimming
(`hold_trimming`, for a backup that wants the stores to fit together). A hold ends by itself, so that one whose holder
died does not fill the memory.
"""

from __future__ import annotations

import uuid
from typing import Any, cast

import msgspec
from redis import Redis
from redis.exceptions import ResponseError

from trading.stores import keys

START = "0-0"
BATCH_ENTRIES = 2_000  # about 2 MB of rows: a slice of DuckDB's lock well under 200 ms
COUNTED_MAX = 100_000  # as many are looked at for what they are of
LAG_MAX = 10_000  # a lag above this is told as this: to count means to read, some 0.1 s
MARGIN_MS = 60_000  # the monitor follows the stream too, and may be this late before it has to re-read everything
TRIM_SLICE = 20_000  # entries of one command: some ms in which Redis serves nobody else
TRIM_SLICES_MAX = 10  # of one turn


class StreamState(msgspec.Struct, frozen=True):
    """The stream's epoch and the id of the last entry it was ever given ("0-0" when there was none)."""

    epoch: str
    last_id: str


class StreamEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry as it came: its id and its fields, raw."""

    stream_id: str
    fields: dict[bytes, bytes]


def order_of(stream_id: str) -> tuple[int, int]:
    """A stream id as two numbers: text order would put 10 before 9."""
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds or 0), int(number or 0)


class OutboxStream:
    """Reads `paperdesk:outbox`. The client answers bytes."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def state(self) -> StreamState:
        """Epoch and last id, in one round trip. The first caller ever gives the stream its epoch."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.get(keys.OUTBOX_EPOCH)
        pipeline.xinfo_stream(keys.OUTBOX)
        epoch, described = pipeline.execute(raise_on_error=False)
        for answer in (epoch, described):
            if isinstance(answer, Exception) and not _is_no_such_key(answer):
                raise answer
        last_id = START if isinstance(described, Exception) else described["last-generated-id"].decode()
        return StreamState(epoch.decode() if epoch else self._first_epoch(), last_id)

    def _first_epoch(self) -> str:
        self._client.set(keys.OUTBOX_EPOCH, str(uuid.uuid4()), nx=True)
        return cast(bytes, self._client.get(keys.OUTBOX_EPOCH)).decode()

    def after(self, position: str, count: int = BATCH_ENTRIES) -> list[StreamEntry]:
        """At most `count` entries behind `position`, in order."""
        found: list[Any] = cast("list[Any]", self._client.xrange(keys.OUTBOX, f"({position}", "+", count))
        return [StreamEntry(stream_id.decode(), fields or {}) for stream_id, fields in found]

    def at(self, stream_id: str) -> dict[bytes, bytes] | None:
        """The fields of one entry; None where there is none."""
        found: list[Any] = cast("list[Any]", self._client.xrange(keys.OUTBOX, stream_id, stream_id))
        return dict(found[0][1] or {}) if found else None

    def note_read(self, epoch: str, stream_id: str) -> None:
        """Note in Redis itself how far the log is about to have read, before the log keeps it: an older copy of Redis
        has an older note, also where its stream gives the same ids again."""
        self._client.set(keys.OUTBOX_READ, f"{epoch} {stream_id}")

    def noted_read(self) -> StreamState | None:
        """The epoch and the entry that were noted last; None where nothing was."""
        raw = cast("bytes | None", self._client.get(keys.OUTBOX_READ))
        return None if raw is None else StreamState(*raw.decode().split(" "))

    def first_id(self) -> str:
        """The oldest entry's id; "0-0" without one."""
        found: list[Any] = cast("list[Any]", self._client.xrange(keys.OUTBOX, count=1))
        return str(found[0][0].decode()) if found else START

    def length(self) -> int:
        """How many entries there are."""
        return self._client.xlen(keys.OUTBOX)

    def count_after(self, position: str) -> int:
        """How many entries are behind `position`, counted up to LAG_MAX."""
        counted = 0
        while counted < LAG_MAX:
            batch = self.after(position)
            counted += len(batch)
            if len(batch) < BATCH_ENTRIES:
                break
            position = batch[-1].stream_id
        return counted

    def trim_behind(self, confirmed: str) -> int:
        """Remove entries before `confirmed`, which every follower has, save the last minute; how many. What is too much
        for one turn is left to the next; nothing is removed while trimming is held."""
        now_ms = self._now_ms()
        if self._is_held(now_ms):
            return 0
        last_ms, _ = order_of(self.state().last_id)
        floor = order_of(confirmed)
        if last_ms <= now_ms + MARGIN_MS:  # a clock that was set back gives all ids one millisecond, for long
            floor = min(floor, (max(0, last_ms - MARGIN_MS), 0))
        return self._trim(f"{floor[0]}-{floor[1]}") if floor > (0, 0) else 0

    def hold_trimming(self, holder: str, seconds: float) -> None:
        """Let nothing be removed for this long at most; again, to hold on for longer."""
        self._client.hset(keys.TRIM_HOLDS, holder, str(self._now_ms() + round(seconds * 1000)))

    def release_trimming(self, holder: str) -> None:
        """End a hold."""
        self._client.hdel(keys.TRIM_HOLDS, holder)

    def _is_held(self, now_ms: int) -> bool:
        held = cast("dict[bytes, bytes]", self._client.hgetall(keys.TRIM_HOLDS))
        return any(int(until_ms) > now_ms for until_ms in held.values())

    def _now_ms(self) -> int:
        seconds, microseconds = self._client.time()
        return seconds * 1000 + microseconds // 1000

    def _trim(self, floor: str) -> int:
        removed = 0
        for _ in range(TRIM_SLICES_MAX):
            some = self._client.xtrim(keys.OUTBOX, minid=floor, approximate=True, limit=TRIM_SLICE)
            removed += some
            if not some:  # less than a node is left
                return removed + self._client.xtrim(keys.OUTBOX, minid=floor, approximate=False)
        return removed


def _is_no_such_key(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "no such key" in str(error)
