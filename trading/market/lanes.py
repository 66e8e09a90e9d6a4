"""What every kind of recorded file is to a replay: batches of events, and counts of what was read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, Protocol

from trading.domain.events import MarketEvent
from trading.domain.instruments import Instrument
from trading.market.capture_lines import CaptureLines

_NAMED = re.compile(r"^(?P<venue>[a-z][a-z0-9_]*)(:(?P<symbol>[A-Z0-9]+)(\*(?P<size>\d+(\.\d+)?))?)?=(?P<path>.+)$")


class Source(NamedTuple):
    """A file as a person names it: PATH, `venue=PATH`, `venue:SYMBOL=PATH` or `venue:SYMBOL*SIZE=PATH`."""

    path: Path
    venue: str | None = None
    symbol: str | None = None
    contract_size: Decimal | None = None

    @classmethod
    def of(cls, text: str | Path) -> Source:
        """Reads what was typed."""
        named = _NAMED.match(str(text))
        if not named:
            return cls(Path(text))
        size = Decimal(named["size"]) if named["size"] else None
        return cls(Path(named["path"]), named["venue"], named["symbol"], size)


class Batch(NamedTuple):
    """Events in line order. Whatever comes later in the file has an event time of at least `floor_us`."""

    events: list[MarketEvent]
    floor_us: int


class RecordedFile(Protocol):
    """A file that can be replayed. The counts are those of the pass that was begun last: `messages` (lines read),
    `unknown` and `skipped` (by what they are), `late` (events that were moved up in time)."""

    lines: CaptureLines
    messages: int
    late: int
    unknown: Counter[str]
    skipped: Counter[str]

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def venues(self) -> list[str]:
        """The venues of its events."""

    @property
    def instruments(self) -> list[Instrument]:
        """The settings that its instruments were recorded with; empty where the file does not tell them."""

    def batches(self) -> Iterator[Batch]:
        """Reads the file once. Raises CaptureError naming file and line for what cannot be read."""
