"""What each column of the durable tables is called and measured in, for the admin and the API's schema (ruling 3).

A column of one name means the same in every table, but for those under `table.column`. `short` stands in a heading,
`words` in a description.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import models


class Unit(NamedTuple):
    """A unit: its short form for a heading ("" for none), and in words."""

    short: str
    words: str


USD = Unit("USD", "US dollars, the account currency")
QUOTE = Unit("", "amount of the quote asset")
PRICE = Unit("", "price: quote asset per unit of base asset")
BASE = Unit("", "quantity of the base asset")
BPS = Unit("bps", "basis points (1/10,000)")
PERCENT = Unit("%", "percent: 1.25 is 1.25 %")
RATIO = Unit("", "ratio: 0.8 is 80 %")
PER_YEAR = Unit("", "ratio per year of 365 days: 0.45 is 45 % a year")
PER_8_HOURS = Unit("", "ratio per 8 hours: 0.0001 is 1 basis point")
PER_INTERVAL = Unit("", "ratio per funding interval")
MILLISECONDS = Unit("ms", "milliseconds, rounded down")
SECONDS = Unit("s", "seconds")
HOURS = Unit("h", "hours")
COUNT = Unit("", "a count")
HASH = Unit("", "signed 64-bit hash")
OF_THE_KIND = Unit("", "in the unit of the break's kind: a price, a quantity, US dollars or milliseconds")
DEGREE = Unit("", "1 low, 2 medium, 3 high, 4 critical")
USER = Unit("", "a user's id")
OF_THE_COLUMN = Unit("", "in the unit of the adjusted column")
UTC = Unit("UTC", "UTC, to the microsecond")
UTC_DAY = Unit("UTC", "a UTC day")

UNITS: dict[str, Unit] = {
    **dict.fromkeys(("entry_long_price", "entry_short_price", "exit_long_price", "exit_short_price"), PRICE),
    **dict.fromkeys(
        ("filled_price", "hedge_price", "mark_price", "execution_price", "requested_price", "price"), PRICE
    ),
    **dict.fromkeys(("position_size_usd", "projected_profit_usd", "projected_spread_usd"), USD),
    **dict.fromkeys(("projected_funding_usd", "projected_fees_usd", "price_pnl_long_usd"), USD),
    **dict.fromkeys(("price_pnl_short_usd", "funding_long_usd", "funding_short_usd", "fees_usd"), USD),
    **dict.fromkeys(("hedge_fees_usd", "actual_profit_usd", "residual_usd", "cash_usd", "daily_pnl"), USD),
    **dict.fromkeys(("leg_out_loss", "starting_capital", "available_capital", "total_open_positions"), USD),
    **dict.fromkeys(("cumulative_pnl", "unrealised_usd", "equity_usd", "leg_out_total_loss"), USD),
    **dict.fromkeys(("fees_paid", "funding_received", "pnl", "commission", "fees", "fee"), USD),
    **dict.fromkeys(("quantity", "lot_size", "filled_quantity", "order_quantity", "depth", "volume"), BASE),
    **dict.fromkeys(("entry_spread_bps", "slippage_cost_bps", "slippage_bps"), BPS),
    **dict.fromkeys(("win_rate", "max_drawdown"), RATIO),
    **dict.fromkeys(("execution_latency_ms", "broker_latency_ms", "network_latency_ms", "queue_wait_ms"), MILLISECONDS),
    **dict.fromkeys(("execution_ms", "broker_ms", "network_ms"), MILLISECONDS),
    **dict.fromkeys(("expected", "actual", "tolerance"), OF_THE_KIND),
    **dict.fromkeys(("value_before", "value_after"), OF_THE_COLUMN),
    **dict.fromkeys(("trades_executed", "trades_won", "trades_lost", "leg_out_events", "active_trade_count"), COUNT),
    **dict.fromkeys(("total_trades", "win_count", "loss_count", "leg_out_count", "break_count"), COUNT),
    **dict.fromkeys(("improvement_count", "version", "tries", "missing_results", "duplicate_results"), COUNT),
    "hedge_loss": QUOTE,
    "slippage": Unit("", "execution minus requested price; negative is favourable for a buy"),
    "discrepancy": OF_THE_KIND,
    "trade_reconciliation.discrepancy": PRICE,
    "funding_delta_entry": PER_8_HOURS,
    "rate": PER_INTERVAL,
    "interval_hours": HOURS,
    "daily_pnl_percentage": PERCENT,
    "sharpe_ratio": Unit("", "annualised ratio of daily UTC equity returns, over 365 days"),
    "sortino_ratio": Unit("", "annualised ratio of daily UTC equity returns to downside deviation, over 365 days"),
    "realistic_apr": PER_YEAR,
    "average_trade_duration_seconds": SECONDS,
    "row_hash": HASH,
    "basis_hash": HASH,
    "reconciliation_hash": HASH,
    "severity": DEGREE,
    "maker_id": USER,
    "checker_id": USER,
    **dict.fromkeys(("number", "basis_version", "reconciliation_version", "adjusted_version"), COUNT),
    "leg_out_ms": Unit("ms", "milliseconds"),
}

NAMES: dict[str, str] = {
    "id": "id",
    "actual_profit_usd": "realised net",
    "entry_time": "entered",
    "exit_time": "exited",
    "executed_at": "executed",
    "reconciled_at": "reconciled",
    "timestamp": "happened",
    "lot_size": "order quantity",
    "reconciliation_status": "status",
    "is_failure": "fails",
    "legged_out": "leg-out",
    "exchange": "venue",
    "long_exchange": "long venue",
    "short_exchange": "short venue",
    "settled_at": "settled",
    "basis": "known as",
    "found_at": "found",
    "tried_at": "last tried",
    "sent_at": "sent",
    "accepted_at": "accepted",
    "filled_at": "filled",
    "filled_20_at": "at 20%",
    "filled_50_at": "at 50%",
    "filled_100_at": "at 100%",
    "filled_through_at": "by trade-through",
    "leg_out_ms": "leg-out time",
    "opened_at": "opened",
    "proposed_at": "proposed",
    "expires_at": "expires",
    "decided_at": "decided",
    "resolved_at": "resolved",
    "said_at": "said",
    "changed_at": "changed",
    "rejection_reason": "reason",
    "entry_spread_bps": "spread",
    "position_size_usd": "size per leg",
    "trades_executed": "trades",
    "trades_won": "won",
    "trades_lost": "lost",
    "realistic_apr": "annual return",
}
ABBREVIATIONS = {"pnl": "P&L", "id": "id", "fees": "fees"}
DROPPED_ENDINGS = ("_usd", "_bps", "_ms", "_percentage", "_seconds", "_hours")


def unit_of(field: models.Field[Any, Any]) -> Unit | None:
    """The unit of a column; None for texts, ids and yes-or-no columns."""
    if isinstance(field, models.DateTimeField):
        return UTC
    if isinstance(field, models.DateField):
        return UTC_DAY
    return UNITS.get(f"{field.model._meta.db_table}.{field.name}") or UNITS.get(field.name)


def name_of(field: models.Field[Any, Any]) -> str:
    """The column in plain words, without its unit: `price_pnl_long_usd` is "price P&L long"."""
    if field.name in NAMES:
        return NAMES[field.name]
    stem = next((field.name.removesuffix(e) for e in DROPPED_ENDINGS if field.name.endswith(e)), field.name)
    return " ".join(ABBREVIATIONS.get(word, word) for word in stem.split("_"))


def heading_of(field: models.Field[Any, Any]) -> str:
    """Name and short unit: "realised net (USD)"."""
    unit = unit_of(field)
    return f"{name_of(field)} ({unit.short})" if unit and unit.short else name_of(field)


def description_of(field: models.Field[Any, Any]) -> str:
    """What the column means, as far as the model says, and its unit, in sentences."""
    unit = unit_of(field)
    said, words = str(field.help_text), unit.words if unit else ""
    sentences = [words] if words.lower().startswith(said.rstrip(".").lower()) else [said, words]
    return " ".join(s[0].upper() + s[1:].rstrip(".") + "." for s in sentences if s)
