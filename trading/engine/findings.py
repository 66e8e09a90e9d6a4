"""What a tick says about one portfolio: metrics, equity, and the durable rows that are due. Pure.

Rows of the current day are due after a change, at most once a minute; the rows of a finished day at the first
tick of the next (ruling 19). While a mark is unknown, equity stands where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from trading.domain import metrics
from trading.domain.metrics import DailyMetrics, EquityTrack, PortfolioMetrics
from trading.domain.portfolio import DayTally, PortfolioState
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS, round12
from trading.engine.marks import Marks
from trading.stores.monitor_store import DayRow, MarkList, Reading, Watched

RECORD_INTERVAL_US = 60 * MICROSECONDS


class Track(msgspec.Struct, frozen=True):
    """What the monitor remembers of a portfolio: its equity, and when its durable rows were last written."""

    equity: EquityTrack
    recorded_us: int = 0
    recorded_version: int = -1


class Findings(msgspec.Struct, frozen=True):
    """What a tick found out. `finished` are the metrics of a day that has ended; `due` tells whether today's rows
    are written."""

    at_us: int
    state: PortfolioState
    metrics: PortfolioMetrics
    daily: DailyMetrics
    track: Track
    marks: Marks
    unrealised_usd: Decimal | None
    finished: DailyMetrics | None
    due: bool

    def watched(self, trades: Sequence[Trade]) -> Watched:
        """What is to be written of it, `trades` being those that were marked, in their order."""
        days = [self.finished] if self.finished else []
        days += [self.daily] if self.due else []
        equity = self.track.equity.last_equity
        return Watched(
            metrics=self.metrics,
            daily=self.daily,
            finished=self.finished,
            marks=mark_list(trades, self.marks, self.at_us),
            equity=self.track,
            day_rows=tuple(DayRow(day, self.state, self.at_us, self.unrealised_usd, equity) for day in days),
        )


def track_of(reading: Reading, now_us: int) -> Track:
    """The track of the last tick, or a new one."""
    if reading.equity is None:
        return Track(EquityTrack.new(reading.state.starting_capital, now_us))
    return msgspec.json.decode(reading.equity, type=Track)


def find(state: PortfolioState, track: Track, marks: Marks, now_us: int, record: bool = False) -> Findings:
    """What the tick says; `record` makes today's rows due whatever was written before."""
    total = marks.total_usd
    unrealised = None if total is None else round12(Decimal(repr(total)))
    before, after = track.equity, track.equity.rolled_to(now_us)
    if unrealised is not None:
        after = before.observed(state.starting_capital + state.cumulative_pnl + unrealised, now_us)
    due = record or (state.version != track.recorded_version and now_us - track.recorded_us >= RECORD_INTERVAL_US)
    ended = after.date != before.date
    return Findings(
        at_us=now_us,
        state=state,
        metrics=metrics.portfolio_metrics(state, now_us),
        daily=metrics.daily_metrics(state, tally_of(state, after.date), after),
        track=Track(after, now_us, state.version) if due else msgspec.structs.replace(track, equity=after),
        marks=marks,
        unrealised_usd=unrealised,
        finished=metrics.daily_metrics(state, tally_of(state, before.date), before) if ended else None,
        due=due,
    )


def tally_of(state: PortfolioState, date: str) -> DayTally:
    """What the portfolio closed on a UTC day; an empty tally for one on which it closed nothing."""
    for tally in (state.day, state.previous_day):
        if tally is not None and tally.date == date:
            return tally
    return DayTally(date)


def mark_list(trades: Sequence[Trade], marks: Marks, at_us: int) -> MarkList:
    """The marks as they are kept, to a millionth of a USD and a ten-thousandth of a basis point."""
    return MarkList(at_us, trades, marks.unrealised_usd.round(6).tolist(), marks.spread_bps.round(4).tolist())
