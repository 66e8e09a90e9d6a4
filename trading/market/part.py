"""Feeds of an engine shard: one without instruments, and one of recorded files, which hold those of all shards."""

from __future__ import annotations

import threading
from collections.abc import Collection

from trading.domain.events import MarketEvent
from trading.market.feed import Feed

NAME = "none"


class NoFeed:
    """Delivers nothing, for a shard to which no instrument falls."""

    def __init__(self) -> None:
        self.name = NAME
        self.troubles: dict[str, str] = {}
        self._closed = threading.Event()

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        """Nothing, after the timeout."""
        self._closed.wait(timeout_seconds)
        return []

    def close(self) -> None:
        """Ends a poll that waits."""
        self._closed.set()


class PartFeed:
    """`feed`, without the events of other instruments."""

    def __init__(self, feed: Feed, instruments: Collection[str]) -> None:
        self.name = feed.name
        self._feed = feed
        self._instruments = frozenset(instruments)

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong with the feed."""
        return self._feed.troubles

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        """The events of these instruments that have come up."""
        return [event for event in self._feed.poll(timeout_seconds) if event.instrument in self._instruments]

    def close(self) -> None:
        """Ends the feed."""
        self._feed.close()
