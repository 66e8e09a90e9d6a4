"""The state of a portfolio: capital, open and closed trades, and the tallies that metrics are made from.

Invariant (ruling 16), checked at every change: in capital mode `fixed`
`available_capital + total_open_positions == starting_capital`; in `compounding` the right side is
`starting_capital + cumulative_pnl`. Amounts are in the account currency (USD).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from trading.domain.errors import ConservationBroken, InsufficientCapital
from trading.domain.trades import LegOut, Trade
from trading.domain.units import ZERO, day_of, floor_to_step, round12

CLOSED_TRADES_KEPT_MAX = 10_000
CLOSED_TRADES_KEPT = 100  # ids in the state, unless the strategy says otherwise; ruling 18
RECENT_EXITS_KEPT = 10
CENT = Decimal("0.01")

CapitalMode = Literal["fixed", "compounding"]


class RecentExit(msgspec.Struct, frozen=True):
    """A closed trade as the metrics list it."""

    trade_id: str
    symbol: str
    exit_us: int
    actual_profit: Decimal
    exit_reason: str


class DayTally(msgspec.Struct, frozen=True):
    """What was closed on one UTC day. `date` is "YYYY-MM-DD", `duration_us` the sum over its trades."""

    date: str
    trades_executed: int = 0
    trades_won: int = 0
    trades_lost: int = 0
    pnl: Decimal = ZERO
    leg_out_events: int = 0
    leg_out_loss: Decimal = ZERO
    duration_us: int = 0


def tally_from(date: str, trades: Iterable[Trade], leg_outs: Iterable[LegOut]) -> DayTally:
    """What was closed on a UTC day, summed from closed trades and leg-outs of any days."""
    done = [
        trade
        for trade in trades
        if trade.exit_us is not None
        and day_of(trade.exit_us).isoformat() == date
        and any(order.filled_quantity for order in trade.all_orders)
    ]
    nets = [trade.actual_profit_usd or ZERO for trade in done]
    losses = [each.hedge_loss or ZERO for each in leg_outs if day_of(each.occurred_us).isoformat() == date]
    return DayTally(
        date=date,
        trades_executed=len(done),
        trades_won=sum(net > 0 for net in nets),
        trades_lost=sum(net < 0 for net in nets),
        pnl=round12(sum(nets, ZERO)),
        leg_out_events=len(losses),
        leg_out_loss=round12(sum(losses, ZERO)),
        duration_us=sum((trade.exit_us or 0) - trade.entry_us for trade in done),
    )


class PortfolioState(msgspec.Struct, frozen=True):
    """The documents' PortfolioState and, below the line of defaults, what ours adds to it."""

    starting_capital: Decimal
    available_capital: Decimal
    started_us: int
    total_open_positions: Decimal = ZERO
    active_trades: tuple[str, ...] = ()
    closed_trades: tuple[str, ...] = ()
    cumulative_pnl: Decimal = ZERO
    win_count: int = 0
    loss_count: int = 0
    leg_out_count: int = 0
    leg_out_total_loss: Decimal = ZERO
    capital_mode: CapitalMode = "fixed"
    total_trades: int = 0
    fees_paid: Decimal = ZERO
    funding_received: Decimal = ZERO
    recent_exits: tuple[RecentExit, ...] = ()
    day: DayTally | None = None
    previous_day: DayTally | None = None
    version: int = 0

    @classmethod
    def new(cls, starting_capital: Decimal, started_us: int, capital_mode: CapitalMode = "fixed") -> PortfolioState:
        """A portfolio that has not traded yet."""
        return cls(starting_capital, starting_capital, started_us, capital_mode=capital_mode)

    @property
    def owned(self) -> Decimal:
        """What available capital and open positions add up to (ruling 16)."""
        return self.starting_capital + (self.cumulative_pnl if self.capital_mode == "compounding" else ZERO)

    def scaled(self, size_usd: Decimal) -> Decimal:
        """A position size: as it is in mode `fixed`, scaled by owned over starting capital in `compounding`, down to a
        cent; 0 once nothing is owned."""
        if self.capital_mode == "fixed":
            return size_usd
        return max(ZERO, floor_to_step(size_usd * self.owned / self.starting_capital, CENT))

    def opened(self, trade: Trade) -> PortfolioState:
        """The state after reserving a new trade's position size.

        Raises InsufficientCapital, and nothing has changed, if it exceeds what is available.
        """
        size = trade.position_size_usd
        if size > self.available_capital:
            raise InsufficientCapital(f"trade needs {size} USD, {self.available_capital} USD is available")
        return self._changed(
            available_capital=self.available_capital - size,
            total_open_positions=self.total_open_positions + size,
            active_trades=(*self.active_trades, trade.id),
        )

    def closed(self, trade: Trade, fees: Decimal, funding: Decimal, kept: int = CLOSED_TRADES_KEPT) -> PortfolioState:
        """The state after a trade closed with `actual_profit_usd`; a trade without any fill counts as none.

        `kept` is how many of the latest closed trades the state lists.
        """
        net = trade.actual_profit_usd or ZERO
        freed = trade.position_size_usd + (net if self.capital_mode == "compounding" else ZERO)
        counted = any(order.filled_quantity for order in trade.all_orders)
        exit_us = trade.exit_us or trade.entry_us
        recent = RecentExit(trade.id, trade.symbol, exit_us, net, trade.exit_reason or "")
        return self._changed(
            available_capital=self.available_capital + freed,
            total_open_positions=self.total_open_positions - trade.position_size_usd,
            active_trades=tuple(t for t in self.active_trades if t != trade.id),
            closed_trades=(trade.id, *self.closed_trades)[:kept],
            cumulative_pnl=round12(self.cumulative_pnl + net),
            total_trades=self.total_trades + counted,
            win_count=self.win_count + (counted and net > 0),
            loss_count=self.loss_count + (counted and net < 0),
            fees_paid=round12(self.fees_paid + fees),
            funding_received=round12(self.funding_received + funding),
            recent_exits=(recent, *self.recent_exits)[:RECENT_EXITS_KEPT],
            **self._tallied(exit_us, net, counted, exit_us - trade.entry_us),
        )

    def legged_out(self, occurred_us: int, loss: Decimal) -> PortfolioState:
        """The state after a leg-out whose hedge lost `loss` (negative = a gain). Source: ruling 11."""
        day, previous = self.day_at(occurred_us)
        day = msgspec.structs.replace(
            day, leg_out_events=day.leg_out_events + 1, leg_out_loss=round12(day.leg_out_loss + loss)
        )
        return self._changed(
            leg_out_count=self.leg_out_count + 1,
            leg_out_total_loss=round12(self.leg_out_total_loss + loss),
            day=day,
            previous_day=previous,
        )

    def day_at(self, time_us: int) -> tuple[DayTally, DayTally | None]:
        """The tally of the UTC day of `time_us`, and of the latest day before it that had one."""
        date = day_of(time_us).isoformat()
        if self.day is None or self.day.date > date:
            return self.day or DayTally(date), self.previous_day
        return (self.day, self.previous_day) if self.day.date == date else (DayTally(date), self.day)

    def _tallied(self, exit_us: int, net: Decimal, counted: bool, duration_us: int) -> dict[str, object]:
        day, previous = self.day_at(exit_us)
        if counted:
            day = msgspec.structs.replace(
                day,
                trades_executed=day.trades_executed + 1,
                trades_won=day.trades_won + (net > 0),
                trades_lost=day.trades_lost + (net < 0),
                pnl=round12(day.pnl + net),
                duration_us=day.duration_us + duration_us,
            )
        return {"day": day, "previous_day": previous}

    def _changed(self, **fields: object) -> PortfolioState:
        changed = msgspec.structs.replace(self, version=self.version + 1, **fields)
        changed.require_conserved()
        return changed

    def require_conserved(self) -> None:
        """Raises ConservationBroken, with the amounts, unless capital adds up exactly."""
        held = self.available_capital + self.total_open_positions
        if held != self.owned:
            raise ConservationBroken(
                f"available {self.available_capital} + open {self.total_open_positions} = {held}, not {self.owned} USD"
            )
