"""What a tick says about one portfolio: metrics, equity, and the durable rows that are due. Pure.

Rows of the current day are due after a change, at most once a minute; the rows of the days that have ended at the
first tick after them, however many they are: on one that nobody watched equity stood where it was (rulings 19 and 21).
While a mark is unknown, equity is too; its track stands.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
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
DAYS_MADE_UP_MAX = 366  # of a longer gap only the last ones get rows: one step writes them all
ONE_DAY = datetime.timedelta(days=1)


class Track(msgspec.Struct, frozen=True):
    """What the monitor remembers of a portfolio: its equity, and when its durable rows were last written."""

    equity: EquityTrack
    recorded_us: int = 0
    recorded_version: int = -1


class Findings(msgspec.Struct, frozen=True):
    """What a tick found out. `finished` are the metrics of the days that have ended since the last tick, all with the
    equity `finished_equity_usd`; `due` tells whether today's rows are written."""

    at_us: int
    state: PortfolioState
    metrics: PortfolioMetrics
    daily: DailyMetrics
    track: Track
    marks: Marks
    unrealised_usd: Decimal | None
    finished: tuple[DailyMetrics, ...]
    finished_equity_usd: Decimal
    due: bool

    @property
    def equity_usd(self) -> Decimal | None:
        """Marked-to-market equity; None while a mark is unknown (ruling 3)."""
        return None if self.unrealised_usd is None else self.track.equity.last_equity

    def watched(self, trades: Sequence[Trade]) -> Watched:
        """What is to be written of it, `trades` being those that were marked, in their order."""
        carried = self.finished_equity_usd
        made_up_of = round12(carried - self.state.starting_capital - self.state.cumulative_pnl)
        rows = [DayRow(day, self.state, self.at_us, made_up_of, carried) for day in self.finished]
        if self.due:
            rows.append(DayRow(self.daily, self.state, self.at_us, self.unrealised_usd, self.equity_usd))
        return Watched(
            metrics=self.metrics,
            daily=self.daily,
            finished=self.finished,
            marks=mark_list(trades, self.marks, self.at_us),
            equity=self.track,
            day_rows=tuple(rows),
        )


def track_of(reading: Reading, now_us: int) -> Track:
    """The track of the last tick, or a new one, which begins with the portfolio."""
    if reading.equity is None:
        started_us = reading.state.started_us
        began_us = started_us if 0 < started_us <= now_us else now_us
        return Track(EquityTrack.new(reading.state.starting_capital, began_us))
    return msgspec.json.decode(reading.equity, type=Track)


def find(
    state: PortfolioState,
    track: Track,
    marks: Marks,
    now_us: int,
    record: bool = False,
    forgotten: Mapping[str, DayTally] | None = None,
) -> Findings:
    """What the tick says; `record` makes today's rows due whatever was written before. `forgotten` are the tallies of
    `forgotten_days`."""
    total = marks.total_usd
    unrealised = None if total is None else round12(Decimal(repr(total)))
    before, after = track.equity, track.equity.rolled_to(now_us)
    if unrealised is not None:
        after = before.observed(state.starting_capital + state.cumulative_pnl + unrealised, now_us)
    due = record or (state.version != track.recorded_version and now_us - track.recorded_us >= RECORD_INTERVAL_US)
    return Findings(
        at_us=now_us,
        state=state,
        metrics=metrics.portfolio_metrics(state, now_us),
        daily=metrics.daily_metrics(state, tally_of(state, after.date), after),
        track=Track(after, now_us, state.version) if due else msgspec.structs.replace(track, equity=after),
        marks=marks,
        unrealised_usd=unrealised,
        finished=tuple(
            metrics.daily_metrics(state, (forgotten or {}).get(date) or tally_of(state, date), before.carried_to(date))
            for date in ended_days(before, after.date)
        ),
        finished_equity_usd=before.last_equity,
        due=due,
    )


def ended_days(before: EquityTrack, today: str) -> list[str]:
    """The days that have ended since a track, that of the track first; the last ones of very many."""
    first, end = datetime.date.fromisoformat(before.date), datetime.date.fromisoformat(today)
    first = max(first, end - DAYS_MADE_UP_MAX * ONE_DAY)
    return [(first + number * ONE_DAY).isoformat() for number in range((end - first).days)]


def forgotten_days(state: PortfolioState, track: Track, now_us: int) -> list[str]:
    """The ended days of which the state has no tally any more, because later ones had trades while nobody watched."""
    tallied = [tally.date for tally in (state.day, state.previous_day) if tally is not None]
    ended = ended_days(track.equity, track.equity.rolled_to(now_us).date)
    return [date for date in ended if len(tallied) == 2 and date < min(tallied)]


def tally_of(state: PortfolioState, date: str) -> DayTally:
    """What the portfolio closed on a UTC day; an empty tally for one on which it closed nothing."""
    for tally in (state.day, state.previous_day):
        if tally is not None and tally.date == date:
            return tally
    return DayTally(date)


def mark_list(trades: Sequence[Trade], marks: Marks, at_us: int) -> MarkList:
    """The marks as they are kept, to a millionth of a USD and a ten-thousandth of a basis point."""
    return MarkList(at_us, trades, marks.unrealised_usd.round(6).tolist(), marks.spread_bps.round(4).tolist())
