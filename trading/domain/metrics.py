"""Performance metrics of a portfolio and of its days. Source: ruling 21 and the documents' two metrics objects.

Ratios are exact decimals of 12 places; what is undefined (no trades, zero variance, no marks) is None here and in
the durable stores. Equity is starting capital plus realised and unrealised P&L; a return is one UTC day's.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from trading.domain.portfolio import DayTally, PortfolioState, RecentExit
from trading.domain.units import DAY_US, MICROSECONDS, ZERO, day_of, day_start_us, round12

DAYS_PER_YEAR = 365
PERCENT = 100
RETURNS_KEPT = 3_650


class PortfolioMetrics(msgspec.Struct, frozen=True):
    """The documents' PortfolioMetrics. `pnl_percentage` is percent; `_pct`, `win_rate` and the APR are ratios."""

    timestamp_us: int
    total_trades: int
    win_rate: Decimal | None
    cumulative_pnl: Decimal
    pnl_percentage: Decimal
    available_capital: Decimal
    utilization_pct: Decimal
    leg_out_count: int
    leg_out_loss_pct: Decimal | None
    realistic_apr: Decimal
    active_trade_count: int
    recent_exits: tuple[RecentExit, ...]


class DailyMetrics(msgspec.Struct, frozen=True):
    """The documents' daily metrics, and `sortino_ratio`. `daily_pnl_percentage` is percent, the rest ratios."""

    date: str
    trades_executed: int
    trades_won: int
    trades_lost: int
    win_rate: Decimal | None
    daily_pnl: Decimal
    daily_pnl_percentage: Decimal
    leg_out_events: int
    leg_out_loss: Decimal
    average_trade_duration_seconds: Decimal | None
    max_drawdown: Decimal | None
    sharpe_ratio: Decimal | None
    sortino_ratio: Decimal | None
    realistic_apr: Decimal


class EquityTrack(msgspec.Struct, frozen=True):
    """Mark-to-market equity of a portfolio over time: the running peaks, and the return of each complete day."""

    date: str
    day_start_equity: Decimal
    last_equity: Decimal
    peak: Decimal
    day_peak: Decimal
    max_drawdown: Decimal = ZERO
    day_max_drawdown: Decimal = ZERO
    returns: tuple[Decimal, ...] = ()

    @classmethod
    def new(cls, starting_capital: Decimal, at_us: int) -> EquityTrack:
        """A track that begins at the starting capital."""
        start = starting_capital
        return cls(day_of(at_us).isoformat(), start, start, start, start)

    def observed(self, equity: Decimal, at_us: int) -> EquityTrack:
        """The track after one more equity, in USD; days without any observation return zero."""
        track = self.rolled_to(at_us)
        peak, day_peak = max(track.peak, equity), max(track.day_peak, equity)
        return msgspec.structs.replace(
            track,
            last_equity=equity,
            peak=peak,
            day_peak=day_peak,
            max_drawdown=max(track.max_drawdown, drawdown(peak, equity)),
            day_max_drawdown=max(track.day_max_drawdown, drawdown(day_peak, equity)),
        )

    def rolled_to(self, at_us: int) -> EquityTrack:
        """The track with every day before that of `at_us` completed. A clock that went back changes nothing."""
        days = (day_of(at_us) - datetime.date.fromisoformat(self.date)).days
        if days <= 0:
            return self
        complete = (*self.returns, self.day_return, *([ZERO] * min(days - 1, RETURNS_KEPT)))
        return msgspec.structs.replace(
            self,
            date=day_of(at_us).isoformat(),
            day_start_equity=self.last_equity,
            day_peak=self.last_equity,
            day_max_drawdown=ZERO,
            returns=complete[-RETURNS_KEPT:],
        )

    def carried_to(self, date: str) -> EquityTrack:
        """The track on that day, this one or a later one, if nothing is observed until it has ended."""
        return self.rolled_to(day_start_us(datetime.date.fromisoformat(date)))

    @property
    def day_return(self) -> Decimal:
        """Today's return so far, a ratio; zero where the day began without equity."""
        if self.day_start_equity <= 0:
            return ZERO
        return round12(self.last_equity / self.day_start_equity - 1)


def drawdown(peak: Decimal, equity: Decimal) -> Decimal:
    """How far equity is below its peak, a positive fraction."""
    return round12((peak - equity) / peak) if peak > 0 else ZERO


def max_drawdown(equities: Iterable[Decimal]) -> Decimal | None:
    """The deepest drawdown of a sequence that begins at its first peak; None for an empty one."""
    deepest: Decimal | None = None
    peak = ZERO
    for equity in equities:
        peak = max(peak, equity)
        deepest = max(deepest or ZERO, drawdown(peak, equity))
    return deepest


def sharpe_ratio(returns: Sequence[Decimal], periods: int = DAYS_PER_YEAR) -> Decimal | None:
    """Annualised mean over standard deviation (ddof 1), risk-free 0; None under two returns or without variance."""
    count = len(returns)
    if count < 2:
        return None
    mean = sum(returns, ZERO) / count
    variance = sum(((r - mean) ** 2 for r in returns), ZERO) / (count - 1)
    if len(set(returns)) == 1 or not variance:
        return None
    return round12(mean / variance.sqrt() * Decimal(periods).sqrt())


def sortino_ratio(returns: Sequence[Decimal], periods: int = DAYS_PER_YEAR) -> Decimal | None:
    """Annualised mean over downside deviation, sqrt(sum(negative^2) / n); None under two returns or with no loss."""
    count = len(returns)
    if count < 2:
        return None
    downside = (sum((r * r for r in returns if r < 0), ZERO) / count).sqrt()
    if not downside:
        return None
    return round12(sum(returns, ZERO) / count / downside * Decimal(periods).sqrt())


def realistic_apr(net_pnl: Decimal, starting_capital: Decimal, elapsed_us: int) -> Decimal:
    """Simple annual rate over 365 days, a ratio; at least one day counts as elapsed."""
    elapsed = Decimal(max(elapsed_us, DAY_US)) / DAY_US
    return round12(net_pnl / starting_capital * DAYS_PER_YEAR / elapsed)


def win_rate(won: int, total: int) -> Decimal | None:
    """Won over total trades, a ratio; None without a trade."""
    return round12(Decimal(won) / total) if total else None


def profit_factor(nets: Iterable[Decimal]) -> Decimal | None:
    """Sum of gains over sum of losses; None without a loss."""
    nets = list(nets)
    lost = -sum((net for net in nets if net < 0), ZERO)
    return round12(sum((net for net in nets if net > 0), ZERO) / lost) if lost else None


def expectancy(nets: Iterable[Decimal]) -> Decimal | None:
    """Mean net per trade, in USD; None without a trade."""
    nets = list(nets)
    return round12(sum(nets, ZERO) / len(nets)) if nets else None


def portfolio_metrics(state: PortfolioState, at_us: int) -> PortfolioMetrics:
    """The documents' PortfolioMetrics of a portfolio at an instant."""
    loss_share = state.leg_out_total_loss / state.cumulative_pnl if state.cumulative_pnl > 0 else None
    return PortfolioMetrics(
        timestamp_us=at_us,
        total_trades=state.total_trades,
        win_rate=win_rate(state.win_count, state.total_trades),
        cumulative_pnl=state.cumulative_pnl,
        pnl_percentage=round12(state.cumulative_pnl / state.starting_capital * PERCENT),
        available_capital=state.available_capital,
        utilization_pct=round12(state.total_open_positions / state.starting_capital),
        leg_out_count=state.leg_out_count,
        leg_out_loss_pct=None if loss_share is None else round12(loss_share),
        realistic_apr=realistic_apr(state.cumulative_pnl, state.starting_capital, at_us - state.started_us),
        active_trade_count=len(state.active_trades),
        recent_exits=state.recent_exits,
    )


def daily_metrics(state: PortfolioState, tally: DayTally, track: EquityTrack) -> DailyMetrics:
    """The documents' daily metrics of the tally's day. `track` must stand on that day."""
    returns = (*track.returns, track.day_return)
    count = tally.trades_executed
    seconds = Decimal(tally.duration_us) / MICROSECONDS
    return DailyMetrics(
        date=tally.date,
        trades_executed=count,
        trades_won=tally.trades_won,
        trades_lost=tally.trades_lost,
        win_rate=win_rate(tally.trades_won, count),
        daily_pnl=tally.pnl,
        daily_pnl_percentage=round12(tally.pnl / state.starting_capital * PERCENT),
        leg_out_events=tally.leg_out_events,
        leg_out_loss=tally.leg_out_loss,
        average_trade_duration_seconds=round12(seconds / count) if count else None,
        max_drawdown=track.day_max_drawdown,
        sharpe_ratio=sharpe_ratio(returns),
        sortino_ratio=sortino_ratio(returns),
        realistic_apr=realistic_apr(tally.pnl, state.starting_capital, DAY_US),
    )
