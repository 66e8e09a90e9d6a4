"""One replay on the servers of this process: trade, sync, check, and say how it came out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from paperdesk.errors import ConfigurationError
from results import services
from results import wiring as results_wiring
from results.pipeline.outcome import outcome_hash
from trading import wiring
from trading.domain.strategy import Desk
from trading.domain.units import plain, text_of
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.monitor import Monitor
from trading.engine.replay import Replay, Tally
from trading.market.replay import ReplayFeed

PROBLEMS_SHOWN_MAX = 20


class Report(msgspec.Struct, frozen=True):
    """How a replay came out. `seconds` is trading alone, `total_seconds` with sync and checks; `net_pnl` in USD."""

    messages: int
    seconds: float
    total_seconds: float
    trades_opened: int
    trades_closed: int
    exits: dict[str, int]
    leg_outs: int
    net_pnl: Decimal
    rows: int
    outcome_hash: str
    problems: list[str]
    notes: dict[str, int]

    @property
    def is_well(self) -> bool:
        """Whether the invariants hold and every store has the same rows."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON object; money is text."""
        return {**msgspec.structs.asdict(self), "net_pnl": text_of(plain(self.net_pnl)), "ok": self.is_well}

    def rows_for_people(self) -> Iterator[tuple[str, str]]:
        """(name, value) lines."""
        yield "messages", f"{self.messages:,} in {self.seconds:.2f} s ({self.messages / self.seconds:,.0f} a second)"
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.exits.items())) or "none"
        yield "trades", f"{self.trades_opened} opened, {self.trades_closed} closed ({reasons})"
        yield "leg-outs", str(self.leg_outs)
        yield "net P&L", f"{text_of(plain(self.net_pnl))} USD"
        yield "rows", f"{self.rows} in every store, {self.total_seconds:.1f} s end to end"
        for name, count in self.notes.items():
            yield "note", f"{count:,} x {name}"
        yield "outcome hash", self.outcome_hash
        yield "checks", "invariants hold, all stores agree" if self.is_well else f"{len(self.problems)} problems"


class ReplayRun:
    """A replay of `feed` by the settings of `desk`."""

    def __init__(self, desk: Desk, feed: ReplayFeed, quiet: bool) -> None:
        self.desk = desk
        self.feed = feed
        self.clock = EventClock()
        self.tally = Tally()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[found]}"),
            TimeElapsedColumn(),
            disable=quiet or not sys.stderr.isatty(),
            console=None,
        )

    def refuse_used_redis(self) -> None:
        """Raises ConfigurationError if the Redis already holds a portfolio of one of these strategies."""
        for strategy in self.desk.strategies:
            state, _ = wiring.portfolio_store(strategy.prefix).load()
            if state is not None:
                raise ConfigurationError(
                    f"this Redis already holds the portfolio {strategy.prefix!r}; a replay needs one without it"
                )

    def report(self, started: float) -> Report:
        """Runs it all; `started` is the `perf_counter` from which the total is counted."""
        with self._progress:
            engine, seconds = self._trade()
            self._progress.add_task("syncing stores", total=None, found="")
            problems, rows = self._settle()
        return Report(
            messages=self.feed.messages,
            seconds=round(seconds, 3),
            total_seconds=round(time.perf_counter() - started, 3),
            trades_opened=self.tally.opened,
            trades_closed=sum(self.tally.closed.values()),
            exits=self.tally.closed,
            leg_outs=self.tally.leg_outs,
            net_pnl=sum((each.state.cumulative_pnl for each in engine.portfolios.values()), Decimal(0)),
            rows=rows,
            outcome_hash=outcome_hash(results_wiring.gate()),
            problems=problems,
            notes=self._notes(),
        )

    def _trade(self) -> tuple[Engine, float]:
        prefixes = {strategy.prefix: strategy.name for strategy in self.desk.strategies}
        market, commands = wiring.market_store(), wiring.command_store()
        stores = {prefix: wiring.portfolio_store(prefix) for prefix in prefixes}
        engine = Engine(self.desk, stores, market, commands, self.clock, listener=self.tally)
        watched = {prefix: wiring.monitor_store(prefix) for prefix in prefixes}
        replay = Replay(engine, Monitor(self.desk, watched, market, commands, self.clock), self.clock)
        started = time.perf_counter()
        replay.run(self.feed, self._shown())
        return engine, time.perf_counter() - started

    def _shown(self) -> Callable[[int], None]:
        task = self._progress.add_task("replaying", total=self.feed.bytes_total, found="")

        def on_second(_now_us: int) -> None:
            found = f"{self.tally.opened} trades, {self.tally.leg_outs} leg-outs"
            self._progress.update(task, completed=self.feed.bytes_read, found=found)

        return on_second

    def _settle(self) -> tuple[list[str], int]:
        """Brings every store level on event time and checks them; the problems, and how many rows there are."""
        synced = services.results_sync_all(sync=results_wiring.new_sync(self.clock.now_us))
        problems = [f"{name}: {state.error}" for name, state in synced.followers.items() if state.error]
        problems += [str(violation) for violation in services.invariants_check()]
        verified = services.stores_verify()
        if verified.verdict != "agree":
            problems.append(f"the stores do not agree: {verified.verdict}, {verified.difference_count} rows differ")
            problems += [str(difference) for difference in verified.differences[:PROBLEMS_SHOWN_MAX]]
            problems += [f"{store}: {sentence}" for store, sentence in verified.away.items()]
        return problems, verified.rows

    def _notes(self) -> dict[str, int]:
        """What was in the files and did not become an event."""
        late = {"event too late for its place, moved up in time": self.feed.late} if self.feed.late else {}
        unknown = {f"unknown message {kind}": count for kind, count in self.feed.unknown.items()}
        return {**self.feed.skipped, **unknown, **late}
