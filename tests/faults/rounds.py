"""The seeded order of faults: single ones, after each of which the desk is waited for, and barrages.

A single fault strikes a desk that is normal, so what it takes to be normal again is the fault's own. In a barrage
several lanes of faults go on side by side, so that a process is killed while the wire is bad and another one is frozen:
it tells whether everything stays right, and its recovery is counted apart.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import msgspec

from tests.faults.harm import KINDS, LAST, SERVERS, Harm

BARRAGE_KILLS, BARRAGE_FREEZES, BARRAGE_STORMS, BARRAGE_OTHERS = 5, 2, 3, 1
KILL, FREEZE, STORM = "kill", "freeze", "storm"


class Barrage(msgspec.Struct, frozen=True):
    """Lanes of faults, each one after the other, all lanes at once."""

    lanes: tuple[tuple[Harm, ...], ...]


def rounds(chance: random.Random, kinds: Sequence[str], servers: Sequence[str]) -> Iterator[Harm | Barrage]:
    """Rounds without end, of these kinds: five single faults, two of them kills and one a freeze, then a barrage. Each
    comes once, in any order, before it comes again. `servers` are the desk's. Last kinds have no rounds."""
    cards = [Harm(kind, target) for kind in kinds if kind not in LAST for target in targets_of(kind, servers)]
    kills = _dealt(chance, [each for each in cards if each.kind == KILL])
    freezes = _dealt(chance, [each for each in cards if each.kind == FREEZE])
    others = _dealt(chance, [each for each in cards if each.kind not in (KILL, FREEZE)])
    while cards:
        for each in (kills, others, kills, freezes, others):
            yield from itertools.islice(each, 1)
        if len(cards) > 1:
            yield barrage(chance, cards)


def barrage(chance: random.Random, cards: Sequence[Harm]) -> Barrage:
    """Some of these faults at once: kills, freezes, the wire of each server, and something else."""
    kills = [each for each in cards if each.kind == KILL]
    freezes = [each for each in cards if each.kind == FREEZE]
    wire = [each for each in cards if each.group == "wire"]
    others = [each for each in cards if each.group == "other"]
    lanes = [
        _some(chance, kills, BARRAGE_KILLS),
        _some(chance, freezes, BARRAGE_FREEZES),
        *(_on_the_wire(chance, [each for each in wire if each.target == server]) for server in SERVERS),
        _some(chance, others, BARRAGE_OTHERS),
    ]
    return Barrage(tuple(lane for lane in lanes if lane))


def targets_of(kind: str, servers: Sequence[str]) -> Sequence[str]:
    """Whom a kind can strike at a desk with these servers."""
    return [each for each in KINDS[kind].targets if each not in SERVERS or each in servers]


def _some(chance: random.Random, cards: Sequence[Harm], count: int) -> tuple[Harm, ...]:
    return tuple(chance.sample(cards, min(count, len(cards))))


def _on_the_wire(chance: random.Random, cards: Sequence[Harm]) -> tuple[Harm, ...]:
    """Storms, which are many faults, and others in between."""
    storms = [each for each in cards if each.kind == STORM] or cards
    choices = (storms, cards) * BARRAGE_STORMS
    return tuple(chance.choice(some) for some in choices if some)


def _dealt(chance: random.Random, cards: Sequence[Harm]) -> Iterator[Harm]:
    while cards:
        yield from chance.sample(cards, len(cards))
