"""What the sweep for records of other programs reads and writes in Redis. Source: rulings 22 and 27.

    paperdesk:sweep:swept      record -> digests of the content that was dealt with, or "retry:{dead letter}"
    paperdesk:sweep:set_aside  record -> id of its open dead letter
    paperdesk:sweep:counts     seen, accepted, set_aside: contents, ever
    paperdesk:hot:{table}      result hash -> when its content was last new, which is what retention goes by

A record is named by its key; an element of a leg-out list by `{key}#{digest}`. Digests are made and compared in Redis,
so what stands as it was dealt with is never sent. Invariants: `seen = accepted + set_aside`, since each script that
decides counts both sides; a record is stamped, counted and put into the outbox in one script, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from redis import Redis

from results.domain.readable import readable
from trading.stores import keys
from trading.stores.keys import PortfolioKeys
from trading.stores.scripts import Script, flat, texts

KEYS_PER_SLICE = 200  # of SCAN: a script of about 1 ms, which the engine's steps wait for
ELEMENTS_MAX = 500  # of a leg-out list in one look
NAMES_PER_SLICE = 500

HASH, OPEN, CLOSED, STANDING, WRONG, ELEMENT = "hash", "open", "closed", "standing", "wrong", "element"
ACCEPT, ASIDE, OURS = "accept", "aside", "ours"
RETRY = b"retry:"
NAMED_APART = "#"

Parts = tuple[bytes, ...]


class Found(msgspec.Struct, frozen=True):
    """A record that has not been dealt with as it stands. `content`: field, value, ... of a hash, else one string.

    `prefix` is the portfolio of a trade or leg-out; `swept` what was known of it, empty for nothing.
    """

    kind: str
    raw_key: bytes
    swept: bytes
    content: Parts
    prefix: str = ""
    digest: bytes = b""

    @property
    def raw_name(self) -> bytes:
        """What it is called in `swept` and `set_aside`."""
        return self.raw_key + NAMED_APART.encode() + self.digest if self.kind == ELEMENT else self.raw_key

    @property
    def key(self) -> str:
        """The key for people; other programs may use any bytes."""
        return readable(self.raw_key)

    @property
    def name(self) -> str:
        """The name for people."""
        return readable(self.raw_name)

    @property
    def is_retry(self) -> bool:
        """Whether somebody asked for another look at it."""
        return self.swept.startswith(RETRY)

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The fields of a hash."""
        return dict(zip(self.content[::2], self.content[1::2], strict=True))

    @property
    def raw(self) -> bytes:
        """The string, or the element."""
        return self.content[0]


class Slice(msgspec.Struct, frozen=True):
    """One slice of the keyspace: the cursor of the next one (0 after the last), how many records it has, those that
    have not been dealt with, and the open trades of other programs that have."""

    cursor: int
    records: int
    found: list[Found]
    standing: list[Found]


class Verdict(msgspec.Struct, frozen=True):
    """What is to become of a record: `verdict` accept, aside or ours, and why or as what in a sentence.

    `stamp` are fields for the hash; `entry` is the outbox entry (none: nothing new) or the dead letter.
    """

    found: Found
    verdict: str
    sentence: str = ""
    stamp: Mapping[str, str] = {}
    entry: Mapping[str, Any] = {}


class Counts(msgspec.Struct, frozen=True):
    """Contents of other programs' records: `seen = accepted + set_aside`; `open` are dead letters that wait."""

    seen: int = 0
    accepted: int = 0
    set_aside: int = 0
    open: int = 0


class SweepStore:
    """The sweep's side of one Redis, which answers bytes. All methods raise redis.RedisError."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._look = Script(client, "sweep_look")
        self._leg_outs = Script(client, "sweep_leg_outs")
        self._take = Script(client, "sweep_take")
        self._retry = Script(client, "sweep_retry")
        self._forget = Script(client, "sweep_forget")

    def prefixes(self) -> list[str]:
        """The prefixes of all portfolios that the desk knows."""
        found = cast("list[bytes]", self._client.hkeys(keys.PORTFOLIOS))
        return sorted(prefix.decode() for prefix in found)

    def look(self, cursor: int, prefixes: Sequence[str]) -> Slice:
        """The slice of the keyspace at a cursor; 0 is the first one."""
        arguments: list[Any] = [cursor, KEYS_PER_SLICE, len(keys.HASH_BEGINNINGS), *keys.HASH_BEGINNINGS, len(prefixes)]
        places = [PortfolioKeys(prefix) for prefix in prefixes]
        for place in places:
            arguments += [place.active_trade(""), place.closed_trade(""), place.closed_index]
        following, records, *lines = self._look([keys.SWEPT], arguments)
        found = [_found(line, places) for line in lines]
        return Slice(
            int(following),
            records,
            [each for each in found if each.kind != STANDING],
            [each for each in found if each.kind == STANDING],
        )

    def leg_outs(self, prefix: str) -> tuple[list[Found], str]:
        """The elements of a portfolio's leg-out list that have not been dealt with, oldest first, and the place to
        note once they are; empty when there are more."""
        key = PortfolioKeys(prefix).leg_out_events
        place, *lines = self._leg_outs([keys.SWEPT, key], [ELEMENTS_MAX])
        found = [Found(ELEMENT, key.encode(), swept, (raw,), prefix, digest) for digest, swept, raw in reversed(lines)]
        return found, place.decode()

    def note_place(self, prefix: str, place: str) -> None:
        """Everything in the leg-out list up to this place has been dealt with."""
        self._client.hset(keys.SWEPT, PortfolioKeys(prefix).leg_out_events, place)

    def take(self, verdicts: Sequence[Verdict], now_us: int) -> list[bool]:
        """Deal with records; whether each still was what had been read. One that was not is found at the next look."""
        names: list[Any] = [keys.SWEPT, keys.SET_ASIDE, keys.SWEEP_COUNTS, keys.OUTBOX, keys.DEAD_LETTERS]
        records = []
        for verdict in verdicts:
            found = verdict.found
            names += [found.raw_key, keys.hot_index(found.key)]
            kind = "string" if found.kind in (OPEN, CLOSED) else found.kind
            told = texts([verdict.verdict, found.raw_name, found.swept, verdict.sentence, now_us, kind])
            records.append([*told, texts(found.content), texts(flat(verdict.stamp)), texts(flat(verdict.entry))])
        return [taken == 1 for taken in self._take(names, [msgspec.msgpack.encode(records)])]

    def retry(self, name: str, letter: str, kind: str, content: Sequence[str]) -> str:
        """Have a record dealt with anew at the next look: "ok", "gone", or the id of a later dead letter of it."""
        key = name.rpartition(NAMED_APART)[0] if kind == ELEMENT else name
        stored = kind if kind in (HASH, ELEMENT) else "string"
        answer = self._retry([keys.SWEPT, keys.SET_ASIDE, key], [name, letter, stored, *content])
        return cast(bytes, answer).decode()

    def forget_gone(self) -> int:
        """Forget records that are no longer there; how many."""
        cursor, forgotten = 0, 0
        while True:
            following, count = self._forget([keys.SWEPT], [cursor, NAMES_PER_SLICE])
            cursor, forgotten = int(following), forgotten + count
            if not cursor:
                return forgotten

    def counts(self) -> Counts:
        """How many contents were seen, accepted and set aside, ever, and how many dead letters of them wait."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hmget(keys.SWEEP_COUNTS, ["seen", "accepted", "set_aside"])
        pipeline.hlen(keys.SET_ASIDE)
        counted, waiting = pipeline.execute()
        seen, accepted, set_aside = (int(each or 0) for each in counted)
        return Counts(seen, accepted, set_aside, waiting)


def _found(line: Sequence[bytes], places: Sequence[PortfolioKeys]) -> Found:
    kind, raw_key, swept, *content = line
    owners = (p for p in places if raw_key.startswith((p.active_trade("").encode(), p.closed_trade("").encode())))
    owner = next((place.prefix for place in owners), "")
    return Found(kind.decode(), raw_key, swept, tuple(content), owner)
