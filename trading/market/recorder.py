"""A feed that writes down what it delivers, so that it can be replayed to the same outcome.

A recording that can no longer be written (a full disk) ends with an error in the log; the feed goes on. Trading never
waits for a recording.
"""

from __future__ import annotations

import logging
from pathlib import Path

from trading.domain.events import MarketEvent
from trading.domain.strategy import Desk
from trading.market.errors import RecordingError
from trading.market.feed import Feed
from trading.market.paced import Clock
from trading.market.recording import RecordingWriter

logger = logging.getLogger(__name__)


class RecordingFeed:
    """`feed`, with every event that it delivers written to `path`. Raises RecordingError if that file exists."""

    def __init__(self, feed: Feed, path: Path, desk: Desk, clock: Clock) -> None:
        self.name = feed.name
        self._feed = feed
        self._clock = clock
        self.writer = RecordingWriter(path, feed.name, desk.instruments, clock.now_us())
        self.error: RecordingError | None = None

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong, by instrument or venue, in sentences; the recording's own under its file's name."""
        path, foreign = str(self.writer.path), self.writer.foreign
        if self.error is not None:
            return {**self._feed.troubles, path: str(self.error)}
        if foreign:
            missing = f"{path}: {foreign} events are not in it, their instruments were unknown when it began"
            return {**self._feed.troubles, path: missing}
        return self._feed.troubles

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        """The events that have come up, written down before they are given out."""
        events = self._feed.poll(timeout_seconds)
        if self.error is None:
            try:
                self.writer.write(events, self._clock.now_us())
            except RecordingError as error:
                self._give_up(error)
        return events

    def close(self) -> None:
        """Ends the feed and the recording."""
        self._feed.close()
        if self.error is None:
            try:
                self.writer.close()
            except RecordingError as error:
                self._give_up(error)

    def _give_up(self, error: RecordingError) -> None:
        self.error = error
        logger.error("the recording ends here, the feed goes on: %s", error)


def free_path(path: Path) -> Path:
    """The path, or where a file of that name exists already, the first free one of name-2, name-3 ..."""
    stem, dot, suffixes = path.name.partition(".")
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{stem}-{number}{dot}{suffixes}")
    return free
