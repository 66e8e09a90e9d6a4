"""The audit trail: what people (and the desk itself) did, one entry after the other, each chained to the one before.

`chain` is the BLAKE2b-256 hash of the chain before and of the entry's own texts: whoever changes, removes or inserts an
entry breaks every later one. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

Place = tuple[int, str]  # the number of an entry and the chain after it

BEGINNING = ""
START: Place = (0, BEGINNING)
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


def entries_told(count: int) -> str:
    """`1 entry`, `1,234 entries`."""
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def chained(before: str, entry: Entry) -> str:
    """The chain after an entry, as hexadecimal text."""
    parts = [before, *msgspec.structs.astuple(entry)]
    # a length before each part: no text can pass for two, or for none
    text = "".join(ABSENT if part is None else f"{len(str(part))}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def broken(trail: Iterable[tuple[Entry, str]], head: Place) -> Broken | None:
    """Where the trail, in order, with the chain that each entry has, is broken; None if it is whole.

    `head` is the number and the chain that the last entry must have: a tail that was cut off shows by it.
    """
    place, found = walked(trail, START)
    return found or cut_off(place, head)


def walked(trail: Iterable[tuple[Entry, str]], place: Place) -> tuple[Place, Broken | None]:
    """Go on from `place` along entries in order; the place after the last sound one, and what is wrong there."""
    number, chain = place
    for entry, kept in trail:
        if entry.number != number + 1:
            return (number, chain), Broken(number + 1, f"entry {number + 1} is missing, {entry.number} follows")
        after = chained(chain, entry)
        if kept != after:
            told = f"entry {entry.number} is not what was written, or one before it was changed"
            return (number, chain), Broken(entry.number, told)
        number, chain = entry.number, after
    return (number, chain), None


def cut_off(place: Place, head: Place) -> Broken | None:
    """What is wrong with a walk that came to its end at `place` and not at `head`."""
    if place == head:
        return None
    return Broken(place[0] + 1, f"the trail ends with entry {place[0]}, {head[0]} were written")


def numbered(deeds: Iterable[Entry], number: int, chain: str) -> Iterator[tuple[Entry, str]]:
    """The deeds as the entries that follow entry `number`, whose chain is `chain`."""
    for deed in deeds:
        number += 1
        entry = msgspec.structs.replace(deed, number=number)
        chain = chained(chain, entry)
        yield entry, chain
