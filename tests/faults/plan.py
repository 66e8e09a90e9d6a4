"""What can happen to an exchange on the wire, and plans that say to which exchange it happens.

An exchange is what a client sends until the server answers, together with that answer. Exchanges are numbered from 1
as they begin. A plan is a function of the number alone, so the same seed and the same traffic meet the same faults.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

REQUEST_BYTES_MAX = 20_000  # where a seeded cut falls, at the latest; one behind the request's end loses the reply
REPLY_BYTES_MAX = 300
DELAY_SECONDS_MAX = 0.05
PAUSE_SECONDS = 0.001


class Kind(StrEnum):
    """What happens. `bytes` and `seconds` are those of the fault."""

    CUT_REQUEST = "cut request"  # the server gets `bytes` of the request, then both sides lose the connection
    LOSE_REPLY = "lose reply"  # the server has executed the request; the client loses the connection instead
    CUT_REPLY = "cut reply"  # the client gets `bytes` of the reply, but never all of it
    REFUSE = "refuse"  # the connection is lost before the request, and for `seconds` none is accepted
    FREEZE = "freeze"  # nothing passes for `seconds`, in no direction and on no connection; then all of it does
    DELAY = "delay"  # the reply comes `seconds` late
    DRIP = "drip"  # request and reply come in pieces of `bytes`, `seconds` apart


class Fault(msgspec.Struct, frozen=True):
    """One fault. `is_reset` says how a connection is lost: by RST, or by an ordinary end (FIN)."""

    kind: Kind
    bytes: int = 0
    seconds: float = 0.0
    is_reset: bool = True


class Plan(Protocol):
    """Says what happens to an exchange."""

    def fault(self, number: int) -> Fault | None:
        """The fault of the exchange of this number, or None: it passes."""


class Listed(msgspec.Struct, frozen=True):
    """The faults of named exchanges; all others pass."""

    faults: Mapping[int, Fault]

    def fault(self, number: int) -> Fault | None:
        """See Plan."""
        return self.faults.get(number)


class Seeded(msgspec.Struct, frozen=True):
    """A fault for about `fraction` of all exchanges, of these kinds; refusals and freezes last about so long.

    A freeze that outlasts the client's timeout is an outage, and what was sent into it is executed later.
    """

    seed: int
    fraction: float = 0.3
    kinds: Sequence[Kind] = tuple(Kind)
    refuse_seconds: float = 0.05
    freeze_seconds: float = 0.1

    def fault(self, number: int) -> Fault | None:
        """See Plan."""
        chance = random.Random(f"{self.seed}/{number}")
        return self._made(chance) if chance.random() < self.fraction else None

    def _made(self, chance: random.Random) -> Fault:
        """Its numbers by chance: cuts fall early and late alike, in any magnitude."""
        kind = chance.choice(self.kinds)
        is_reset = chance.random() < 0.5
        match kind:
            case Kind.CUT_REQUEST:
                return Fault(kind, int(REQUEST_BYTES_MAX ** chance.random()) - 1, is_reset=is_reset)
            case Kind.CUT_REPLY:
                return Fault(kind, int(REPLY_BYTES_MAX ** chance.random()), is_reset=is_reset)
            case Kind.REFUSE:
                return Fault(kind, seconds=self.refuse_seconds * (0.5 + chance.random()), is_reset=is_reset)
            case Kind.FREEZE:
                return Fault(kind, seconds=self.freeze_seconds * (0.5 + chance.random()))
            case Kind.DELAY:
                return Fault(kind, seconds=chance.random() * DELAY_SECONDS_MAX)
            case Kind.DRIP:
                return Fault(kind, 1 + int(REQUEST_BYTES_MAX ** chance.random()), PAUSE_SECONDS)
            case _:
                return Fault(kind, is_reset=is_reset)
