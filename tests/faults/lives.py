"""The lives of clients under test, and the plan by which a seed ends them.

A life ends by SIGKILL: half of them inside the client, with the n-th request half sent, sent, or answered, which is the
same in every run of the seed; the others from outside, once the client's list has grown to a size, wherever the
client then is. Neither depends on how fast the machine is.
"""

from __future__ import annotations

import random
from enum import StrEnum
from pathlib import Path

import msgspec

from tests.faults.acknowledged import SUFFIX

REQUESTS_MAX = 220  # about two for each operation
BYTES_MAX = 330_000  # of a list: some 90 for each change
TRADE_FRACTION = 0.35  # of the operations; the others make forty changes each
TRIED_AGAIN_FRACTION = 0.8  # of the lives that leave something unanswered


class Writer(StrEnum):
    """How a client writes: see `tests.faults.writers`."""

    ATOMIC = "atomic"
    PLAIN = "plain"
    MULTI = "multi"


class Point(StrEnum):
    """Where a life ends: with the n-th request half sent, sent, or answered; or by somebody else, at a size in bytes
    of its list."""

    CUT = "cut"
    SENT = "sent"
    ANSWERED = "answered"
    OUTSIDE = "outside"


class Death(msgspec.Struct, frozen=True):
    """The end of a life."""

    point: Point
    after: int


class Life(msgspec.Struct, frozen=True):
    """One life of the client of a slot. `before` is the list of the life before, whose unanswered operation is tried
    again."""

    redis_url: str
    folder: str
    seed: int
    slot: int
    number: int
    death: Death
    writer: Writer = Writer.ATOMIC
    trade_fraction: float = TRADE_FRACTION
    before: str | None = None

    @property
    def path(self) -> Path:
        """Its list of acknowledgements."""
        return Path(self.folder) / f"{self.slot}-{self.number:05}{SUFFIX}"


class Plan(msgspec.Struct, frozen=True):
    """What is to be reached. `slots` clients work at once, all in one portfolio; no list is longer than `bytes_max`;
    `trade_fraction` of their operations are moves of trades, the others record and correct results."""

    seed: int
    kills: int
    changes: int = 0
    writer: Writer = Writer.ATOMIC
    slots: int = 2
    bytes_max: int = BYTES_MAX
    trade_fraction: float = TRADE_FRACTION


def planned(plan: Plan, redis_url: str, folder: Path, slot: int, number: int) -> Life:
    """The n-th life of a slot; numbers begin with 0."""
    chance = random.Random(f"{plan.seed}/{slot}/{number}")
    death = _death(chance, plan.bytes_max)
    life = Life(redis_url, str(folder), plan.seed, slot, number, death, plan.writer, plan.trade_fraction)
    if number == 0 or chance.random() > TRIED_AGAIN_FRACTION:
        return life
    return msgspec.structs.replace(life, before=str(msgspec.structs.replace(life, number=number - 1).path))


def _death(chance: random.Random, bytes_max: int) -> Death:
    """Early and late alike, in any magnitude, but mostly late: most work is done by lives that last."""
    point = chance.choice([Point.CUT, Point.SENT, Point.ANSWERED, *[Point.OUTSIDE] * 3])
    share = max(chance.random(), chance.random())
    return Death(point, 1 + int(share * (bytes_max if point is Point.OUTSIDE else REQUESTS_MAX)))
