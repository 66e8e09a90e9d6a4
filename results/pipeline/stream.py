"""The outbox stream as its followers see it: its epoch, how far it goes, its entries, what is trimmed of it.

A position is a stream id, `1742638560000-3`; "0-0" is before the first entry. The epoch is a uuid beside the stream:
a new one says that the stream's history was lost, and that old positions mean nothing in it (ruling 29).
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
COUNTED_MAX = 100_000  # a lag above this is told as this
MARGIN_MS = 60_000  # the monitor follows the stream too, and may be this late before it has to re-read everything


class StreamState(msgspec.Struct, frozen=True):
    """The stream's epoch and the id of the last entry it was ever given ("0-0" when there was none)."""

    epoch: str
    last_id: str


class StreamEntry(msgspec.Struct, frozen=True):
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

    def begin_epoch(self) -> str:
        """Start a new epoch and return it; positions of before mean nothing from now on."""
        epoch = str(uuid.uuid4())
        self._client.set(keys.OUTBOX_EPOCH, epoch)
        return epoch

    def after(self, position: str, count: int = BATCH_ENTRIES) -> list[StreamEntry]:
        """At most `count` entries behind `position`, in order."""
        found: list[Any] = cast("list[Any]", self._client.xrange(keys.OUTBOX, f"({position}", "+", count))
        return [StreamEntry(stream_id.decode(), fields or {}) for stream_id, fields in found]

    def count_after(self, position: str) -> int:
        """How many entries are behind `position`, counted up to COUNTED_MAX."""
        counted = 0
        while counted < COUNTED_MAX:
            batch = self.after(position)
            counted += len(batch)
            if len(batch) < BATCH_ENTRIES:
                break
            position = batch[-1].stream_id
        return counted

    def trim_behind(self, confirmed: str) -> int:
        """Remove the entries before `confirmed`, which every follower has, save the last minute; how many."""
        state = self.state()
        margin = (max(0, order_of(state.last_id)[0] - MARGIN_MS), 0)
        floor = min(order_of(confirmed), margin)
        if floor <= (0, 0):
            return 0
        return self._client.xtrim(keys.OUTBOX, minid=f"{floor[0]}-{floor[1]}", approximate=False)


def _is_no_such_key(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "no such key" in str(error)
