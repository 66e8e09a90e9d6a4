"""Which feed a desk runs on: "synthetic", "replay:FILE,FILE" or "ccxt:EXCHANGE,EXCHANGE"."""

from __future__ import annotations

from typing import Protocol

from trading.domain.events import MarketEvent
from trading.domain.strategy import Desk
from trading.market.errors import MarketError
from trading.market.live import LiveFeed
from trading.market.paced import Clock, PacedFeed
from trading.market.replay import ReplayFeed
from trading.market.synthetic import MESSAGES_PER_SECOND, SyntheticFeed

FORMS = "synthetic, replay:FILE[,FILE...] or ccxt:EXCHANGE[,EXCHANGE...]"


class Feed(Protocol):
    """Market events in real time, in event-time order."""

    name: str

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong now, in sentences by instrument, venue or file."""

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        """The events that have come up; waits up to the timeout for the first one, and may be empty."""

    def close(self) -> None:
        """Ends the feed; a poll that waits in another thread returns."""


def open_feed(
    spec: str, desk: Desk, clock: Clock, messages_per_second: float = MESSAGES_PER_SECOND
) -> PacedFeed | LiveFeed:
    """The feed that `spec` names. `messages_per_second` is the rate of the synthetic one.

    A replay is given out at the speed at which it was recorded, its times moved to now, again and again.
    Raises MarketError that names the spec for anything that is none of FORMS, for a venue that the desk does not
    declare, and for a file that cannot be read.
    """
    kind, _, rest = spec.partition(":")
    names = tuple(name.strip() for name in rest.split(",") if name.strip())
    if spec == "synthetic":
        synthetic = SyntheticFeed(desk, desk.seed, clock.now_us(), messages_per_second)
        return PacedFeed(spec, synthetic, clock)
    if kind == "replay" and names:
        replay = ReplayFeed(names)
        replay.require_known(desk)
        return PacedFeed(spec, replay, clock)
    if kind == "ccxt" and names:
        return LiveFeed(desk, names, clock)
    raise MarketError(f"feed {spec!r} is unknown; it must be {FORMS}")
