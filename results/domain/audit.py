"""The audit trail: what people (and the desk itself) did, one entry after the other, each chained to the one before.

`chain` is the BLAKE2b-256 hash of the chain before and of the entry's own texts: whoever changes, removes or inserts an
entry breaks every later one. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

BEGINNING = ""
ABSENT = "-"
DIGEST_BYTES = 32


class Entry(msgspec.Struct, frozen=True):
    """One deed. `number` counts from 1 without a gap; `before` and `after` are JSON texts, as they are hashed."""

    number: int
    at_us: int
    who: str
    action: str
    subject: str
    before: str | None
    after: str | None


class Broken(msgspec.Struct, frozen=True):
    """The first place at which the trail is not what was written, and how that shows."""

    number: int
    how: str


def chained(before: str, entry: Entry) -> str:
    """The chain after an entry, as hexadecimal text."""
    parts = [before, *msgspec.structs.astuple(entry)]
    # a length before each part: no text can pass for two, or for none
    text = "".join(ABSENT if part is None else f"{len(str(part))}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def broken(trail: Iterable[tuple[Entry, str]], head: tuple[int, str]) -> Broken | None:
    """Where the trail, in order, with the chain that each entry has, is broken; None if it is whole.

    `head` is the number and the chain that the last entry must have: a tail that was cut off shows by it.
    """
    number, chain = 0, BEGINNING
    for entry, kept in trail:
        number += 1
        if entry.number != number:
            return Broken(number, f"entry {number} is missing, {entry.number} follows")
        chain = chained(chain, entry)
        if kept != chain:
            return Broken(number, f"entry {number} is not what was written, or one before it was changed")
    if (number, chain) != head:
        return Broken(number + 1, f"the trail ends with entry {number}, {head[0]} were written")
    return None


def numbered(deeds: Iterable[Entry], number: int, chain: str) -> Iterator[tuple[Entry, str]]:
    """The deeds as the entries that follow entry `number`, whose chain is `chain`."""
    for deed in deeds:
        number += 1
        entry = msgspec.structs.replace(deed, number=number)
        chain = chained(chain, entry)
        yield entry, chain
