"""Stores that keep everything in this process: what a replay costs without any store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from trading.domain.portfolio import DayTally, PortfolioState
from trading.domain.shards import Shard
from trading.domain.trades import Trade
from trading.stores.command_store import Command
from trading.stores.market_store import FeedStatus, LastFunding, MarketQuote
from trading.stores.monitor_store import Reading, Watched
from trading.stores.transition import Checkpoint, Transition


class PortfolioInMemory:
    """One portfolio, as both the engine and the monitor see it."""

    def __init__(self) -> None:
        self._state: PortfolioState | None = None
        self._trades: dict[str, Trade] = {}
        self._oldest_first: tuple[Trade, ...] | None = None  # the very same tuple while no trade has changed
        self._equity: bytes | None = None

    def load(self) -> tuple[PortfolioState | None, dict[str, Trade]]:
        """State and open trades."""
        return self._state, dict(self._trades)

    def create(self, state: PortfolioState, name: str = "") -> None:
        """The first state."""
        self._state = state

    def commit(self, transition: Transition) -> list[str]:
        """Takes in one transition."""
        self._state = transition.state or self._state
        self._oldest_first = None
        for trade in transition.trades:
            if trade.is_open:
                self._trades[trade.id] = trade
            else:
                self._trades.pop(trade.id, None)
        return []

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Takes in queue progress."""
        self._trades.update({trade.id: trade for trade in checkpoint.trades})
        self._oldest_first = None

    def refresh(self) -> PortfolioState:
        """The state as it is."""
        assert self._state is not None
        return self._state

    def held_for(self) -> str | None:
        """Nobody holds it."""
        return None

    def witnesses(self) -> dict[str, Any]:
        """None is kept."""
        return {}

    def read(self) -> Reading | None:
        """The portfolio as the monitor reads it."""
        if self._state is None:
            return None
        if self._oldest_first is None:
            self._oldest_first = tuple(sorted(self._trades.values(), key=attrgetter("entry_us", "id")))
        return Reading(self._state, self._oldest_first, self._equity, (), b"", None, None)

    def tallies(self, dates: Sequence[str]) -> dict[str, DayTally]:
        """Of days that the state has forgotten: none here."""
        return {}

    def write(self, reading: Reading, watched: Watched) -> dict[str, msgspec.Raw]:
        """Takes in what a tick found."""
        self._equity = msgspec.json.encode(watched.equity)
        return {}


class MarketInMemory:
    """Quotes of all instruments."""

    def __init__(self) -> None:
        self._quotes: dict[str, MarketQuote] = {}

    def publish(self, quotes: Mapping[str, MarketQuote]) -> None:
        """Replaces quotes."""
        self._quotes.update(quotes)

    def last_funding(self) -> dict[str, LastFunding]:
        """Nothing: no engine ran before."""
        return {}

    def publish_feed(self, shard: Shard, status: FeedStatus) -> None:
        """Nobody looks at the feed's status here."""

    def quotes(self) -> Mapping[str, MarketQuote]:
        """The last quote of every instrument."""
        return self._quotes


class CommandsInMemory:
    """Commands of a monitor to its engine."""

    def __init__(self) -> None:
        self._waiting: list[Command] = []
        self._sent = 0

    def send_exits(self, prefix: str, exits: Iterable[tuple[str, str]], expires_us: int) -> None:
        """Asks for exits."""
        for trade_id, reason in exits:
            self._sent += 1
            self._waiting.append(Command(str(self._sent), "exit", prefix, trade_id, reason, expires_us))

    def read(self, shard: str) -> list[Command]:
        """The commands that are not acknowledged."""
        return list(self._waiting)

    def acknowledge(self, shard: str, stream_id: str) -> None:
        """Everything that was read has been dealt with."""
        self._waiting.clear()
