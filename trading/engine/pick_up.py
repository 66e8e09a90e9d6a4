"""New settings for a running engine: what of them is in force, since when, and what has to wait.

    at once     a venue's fees, latencies and thresholds, every setting of a strategy, new strategies and instruments
    waits       an instrument's own settings, while a trade with a leg in it is open
    never       starting capital and capital mode of a portfolio that has begun: they are where its numbers start

They are taken in between two events, so that a decision is made by one version as a whole. Open trades go on under
the new settings; those of a strategy that was switched off go on to their end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec
import structlog

from trading.domain.errors import ConfigurationError
from trading.domain.instruments import Instrument
from trading.domain.strategy import Desk
from trading.stores.desk_store import InForce, VersionedDesk

logger = structlog.get_logger(__name__)

Part = Callable[[Desk], Desk]
Publish = Callable[[Desk, InForce], object]


class Retunable(Protocol):
    """The engine, as far as settings are concerned."""

    def instruments_in_use(self) -> Iterable[str]:
        """The instruments in which a trade is open."""

    def retune(self, desk: Desk) -> None:
        """Takes in new settings; if it could not, it may be called again."""


class PickUp:
    """The settings of one engine process.

    `newest` is the whole desk as it is wanted, `part` what of it this shard's feed delivers, `publish` tells what is in
    force.
    """

    def __init__(
        self, newest: Callable[[], VersionedDesk], part: Part = lambda desk: desk, publish: Publish = lambda *_: None
    ) -> None:
        self._newest = newest
        self._part = part
        self._publish = publish
        self._unpublished = False
        self._wanted = newest()
        self.whole = self._wanted.desk
        self.in_force = InForce(version=self._wanted.version, source=self._wanted.source)

    @property
    def feed_desk(self) -> Desk:
        """What the feed is opened for now."""
        return self._part(self.whole)

    def begin(self, now_us: int) -> None:
        """Before an engine is made: all of the newest settings are in force."""
        self._wanted = self._newest()
        self.whole = self._wanted.desk
        since_us = {key: now_us for key, _ in keyed(self.whole)}
        self.in_force = InForce(self._wanted.version, self._wanted.source, now_us, since_us)
        self._unpublished = True

    def turn(self, engine: Retunable, now_us: int) -> bool:
        """Takes in what is new or waits no longer, and publishes what is in force.

        Returns whether the feed must be opened anew. Raises RedisAway, and LeaseLost from the start of a portfolio.
        """
        newest = self._newest()
        reopens = False
        if newest.version != self.in_force.version or self.in_force.waiting:
            reopens = self._take_in(engine, newest, now_us)
        if self._unpublished:
            self._publish(self.whole, self.in_force)
            self._unpublished = False
        return reopens

    def _take_in(self, engine: Retunable, newest: VersionedDesk, now_us: int) -> bool:
        try:
            wanted, waiting = without_those_in_use(self.whole, newest.desk, set(engine.instruments_in_use()))
        except ConfigurationError as error:
            wanted, waiting = self.whole, {"desk": str(error)}
        if newest.version == self.in_force.version and waiting == self.in_force.waiting:
            return False
        before = dict(keyed(self.whole))
        changed = [key for key, settings in keyed(wanted) if before.get(key) != settings]
        reopens = self._part(wanted).instruments != self.feed_desk.instruments  # it delivers what it was opened for
        engine.retune(wanted)
        self.whole = wanted
        since_us = {key: self.in_force.since_us.get(key, now_us) for key, _ in keyed(wanted)}
        since_us |= dict.fromkeys(changed, now_us)
        self.in_force = InForce(newest.version, newest.source, now_us, since_us, waiting)
        self._unpublished = True
        logger.info("settings_taken_in", version=newest.version, changed=changed, waiting=list(waiting.values()))
        return reopens


def keyed(desk: Desk) -> list[tuple[str, msgspec.Struct]]:
    """Every venue, instrument and strategy under a key of its own: "venue okx", "strategy strategy"."""
    named: list[tuple[str, Any]] = [(f"venue {each.name}", each) for each in desk.venues]
    named += [(f"instrument {each.id}", each) for each in desk.instruments]
    return named + [(f"strategy {each.prefix}", each) for each in desk.strategies]


def without_those_in_use(now: Desk, wanted: Desk, in_use: set[str]) -> tuple[Desk, dict[str, str]]:
    """The wanted desk with the present settings of those instruments that cannot change yet, and why they wait.

    Raises ConfigurationError when the two do not go together.
    """
    waiting: dict[str, str] = {}
    instruments: list[Instrument] = []
    for instrument in wanted.instruments:
        present = now.instrument(instrument.id)
        if present is not None and present != instrument and instrument.id in in_use:
            key = f"instrument {instrument.id}"
            waiting[key] = f"{key}: a trade in it is open, its new settings wait until it is closed"
            instrument = present
        instruments.append(instrument)
    if not waiting:
        return wanted, waiting
    return Desk(wanted.venues, tuple(instruments), wanted.strategies, wanted.seed), waiting


def fixed(desk: Desk, source: str = "") -> Callable[[], VersionedDesk]:
    """Settings that never change: those of a file."""
    versioned = VersionedDesk(0, desk, source)
    return lambda: versioned
