"""What each figure on the pages means, its unit, and when there is none: the only place that says so.

`form` is how `static/js/format.js` and `trading.templatetags.figures` show it; `unit` is the unit shown beside it.
Ratios are stored as ratios and shown in percent; `pnl_percentage` and `daily_pnl_percentage` are percent already
(ruling 3). `undefined` says why a figure is shown as "–". Source: redis-schema 4 and 7, rulings 3, 11, 16, 21.
"""

from __future__ import annotations

from typing import NamedTuple

NO_TRADES = "No trade has closed yet."
NO_PRICE = "A price is missing or stale, so there is no honest value."
NO_DAYS = "It needs at least two days of returns that differ."


class Term(NamedTuple):
    """One figure: its documented name, its label on the page, and its explanation."""

    name: str
    label: str
    form: str
    unit: str
    meaning: str
    undefined: str = "The monitor has not published this figure."

    @property
    def unpriced(self) -> bool:
        """Whether it is a lacking price that leaves this figure without a value: then it is called unknown."""
        return self.undefined == NO_PRICE


HEADLINE = (
    Term(
        "equity_usd",
        "Equity",
        "usd",
        "USD",
        "Starting capital plus realised and unrealised P&L, marked to market: long at the bid, short at the ask.",
        NO_PRICE,
    ),
    Term(
        "unrealised_usd",
        "Unrealised P&L",
        "usd_signed",
        "USD",
        "What closing every open trade now would add: marks plus funding booked, minus fees paid and to be paid.",
        NO_PRICE,
    ),
    Term(
        "max_drawdown",
        "Max drawdown",
        "ratio",
        "%",
        "Largest fall of marked-to-market equity from its running peak. Stored as a ratio.",
        NO_PRICE,
    ),
)

LEG_OUT_RATE = Term(
    "leg_out_rate",
    "Leg-out rate",
    "ratio",
    "%",
    "Leg-outs over trades closed: how often the second leg does not come in time. Worked out on this page.",
    NO_TRADES,
)

PORTFOLIO = (
    Term(
        "timestamp",
        "As of",
        "unix_time",
        "UTC",
        "When the monitor made these figures.",
    ),
    Term(
        "total_trades",
        "Trades closed",
        "count",
        "",
        "Closed trades that had at least one fill. An entry that timed out without a fill is none.",
    ),
    Term(
        "win_rate",
        "Win rate",
        "ratio",
        "%",
        "Trades with a net profit over all closed trades; a break-even is neither win nor loss. Stored as a ratio.",
        NO_TRADES,
    ),
    Term(
        "cumulative_pnl",
        "Cumulative P&L",
        "usd_signed",
        "USD",
        "Realised net profit of all closed trades: prices plus funding minus fees.",
    ),
    Term(
        "pnl_percentage",
        "P&L of capital",
        "percent_signed",
        "%",
        "Cumulative P&L over starting capital. Stored in percent.",
    ),
    Term(
        "available_capital",
        "Available capital",
        "usd",
        "USD",
        "Capital that no open trade has reserved. Available plus reserved is the starting capital, exactly.",
    ),
    Term(
        "utilization_pct",
        "Utilisation",
        "ratio",
        "%",
        "Position sizes of open trades over starting capital. Stored as a ratio.",
    ),
    Term(
        "leg_out_count",
        "Leg-outs",
        "count",
        "",
        "Times that one leg was filled and the other was not in time (500 ms unless set otherwise).",
    ),
    Term(
        "leg_out_loss_pct",
        "Leg-out loss of P&L",
        "ratio_loss",
        "%",
        "What leg-outs lost over cumulative P&L. Stored as a ratio.",
        "Cumulative P&L is not positive, so this share of it means nothing.",
    ),
    Term(
        "realistic_apr",
        "Realistic APR",
        "ratio_signed",
        "%",
        "Cumulative P&L over starting capital, per year of 365 days since the start, counting at least one day. "
        "Not compounded. Stored as a ratio.",
    ),
    Term(
        "active_trade_count",
        "Open trades",
        "count",
        "",
        "Trades that are Pending, Active or Exiting.",
    ),
)

DAILY = (
    Term("date", "Day", "text", "UTC", "The UTC day of the figures below."),
    Term("trades_executed", "Trades", "count", "", "Trades closed on this day that had a fill."),
    Term("trades_won", "Won", "count", "", "Of these, with a net profit."),
    Term("trades_lost", "Lost", "count", "", "Of these, with a net loss."),
    Term("win_rate", "Win rate", "ratio", "%", "Won over trades of this day. Stored as a ratio.", NO_TRADES),
    Term("daily_pnl", "P&L", "usd_signed", "USD", "Realised net profit of the day's trades."),
    Term(
        "daily_pnl_percentage",
        "P&L of capital",
        "percent_signed",
        "%",
        "The day's P&L over starting capital. Stored in percent.",
    ),
    Term("leg_out_events", "Leg-outs", "count", "", "Leg-outs of this day."),
    Term(
        "leg_out_loss",
        "Leg-out loss",
        "usd_loss",
        "USD",
        "What the day's leg-outs lost, fees included; a negative figure is a gain.",
    ),
    Term(
        "average_trade_duration_seconds",
        "Average duration",
        "duration",
        "",
        "From a trade's first order to its last fill, on average.",
        NO_TRADES,
    ),
    Term(
        "max_drawdown",
        "Max drawdown",
        "ratio",
        "%",
        "Largest fall from the running peak on this day. Stored as a ratio.",
        NO_PRICE,
    ),
    Term(
        "sharpe_ratio",
        "Sharpe ratio",
        "decimal",
        "",
        "Mean over deviation of daily returns up to this day, times the root of 365; risk-free rate 0.",
        NO_DAYS,
    ),
    Term(
        "realistic_apr",
        "Realistic APR",
        "ratio_signed",
        "%",
        "The day's P&L over starting capital, times 365. Stored as a ratio.",
    ),
)

TRADE = (
    Term("entry_time_us", "Opened", "micro_time", "UTC", "When the entry orders were made."),
    Term("position_size_usd", "Size", "usd_whole", "USD", "Notional per leg, reserved of the capital."),
    Term(
        "entry_spread_bps",
        "Entry",
        "bps",
        "bps",
        "Spread at entry: short price minus long price over their middle. Positive is favourable.",
    ),
    Term(
        "spread_now_bps",
        "Now",
        "bps",
        "bps",
        "The same spread now; what the trade earns is its narrowing.",
        NO_PRICE,
    ),
    Term(
        "unrealised_usd",
        "Unrealised",
        "usd_signed",
        "USD",
        "What closing now would give, after fees and funding.",
        NO_PRICE,
    ),
    Term(
        "unrealised_bps",
        "Unrealised",
        "bps_signed",
        "bps",
        "The same in basis points of the position size.",
        NO_PRICE,
    ),
    Term(
        "queue",
        "Queue",
        "ratio",
        "%",
        "How much of the volume that fills the order has traded at its price. By default an order fills when "
        "20 % of the depth ahead of it has traded.",
    ),
)

LEG_OUT = (
    Term("timestamp", "Found", "unix_time", "UTC", "When the missing leg's time was up."),
    Term(
        "hedge_price",
        "Hedge price",
        "price",
        "",
        "Where the open leg was closed, or the missing one taken.",
        "Not hedged yet.",
    ),
    Term(
        "hedge_loss",
        "Hedge loss",
        "usd_loss",
        "USD",
        "What the leg-out cost, fees included; a negative figure is a gain.",
        "Not hedged yet.",
    ),
)

EXIT = (
    Term("exit_time", "Closed", "unix_time", "UTC", "When the last fill was made."),
    Term("actual_profit", "Net profit", "usd_signed", "USD", "Prices plus funding minus fees."),
    Term("exit_reason", "Reason", "words", "", "Why the trade was closed."),
)

OTHER_PROGRAMS = (
    Term(
        "seen", "Seen", "count", "", "Records that other programs wrote into Redis, each change once: the sum of both."
    ),
    Term("accepted", "Accepted", "count", "", "Complete and lawful: they are in every store like our own."),
    Term("set_aside", "Set aside", "count", "", "Malformed, left incomplete, or not allowed: each is a dead letter."),
    Term("open", "Waiting", "count", "", "Dead letters whose record is neither mended nor taken at another try."),
)

BY_NAME = {
    section: {term.name: term for term in terms}
    for section, terms in {
        "headline": HEADLINE,
        "portfolio": PORTFOLIO,
        "daily": DAILY,
        "trade": TRADE,
        "leg_out": LEG_OUT,
        "exit": EXIT,
    }.items()
}
