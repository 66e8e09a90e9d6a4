"""Domain values as canonical rows: exactly the columns of their durable table, without hash and ingestion columns.

`day` is the UTC day of a row's first version and never changes, because stores are partitioned by it: a trade's is
that of its entry, a result's is that of its first version and is passed in.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import asdict

from results.domain.outcomes import ResultMetrics, TradeResult
from trading.domain.funding import FundingPayment
from trading.domain.metrics import DailyMetrics
from trading.domain.orders import Leg
from trading.domain.pnl import exit_price, fees_of, hedge_fees_of, terms_of
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import LegOut, Trade
from trading.domain.units import day_of
from trading.stores.wire.trade import ENGINE, FOREIGN

Row = dict[str, Any]

PAPER_TRADE = "paper_trade"
LEG_OUT_EVENT = "leg_out_event"
FUNDING_PAYMENT = "funding_payment"
ORDER_FILL = "order_fill"
SHADOW_FILL = "shadow_fill"
DAILY_METRICS = "daily_metrics"
PORTFOLIO_SNAPSHOT = "portfolio_snapshot"
TRADE_RESULT = "trade_result"
RESULT_METRICS = "result_metrics"


def trade_row(trade: Trade) -> Row:
    """A row of `paper_trade`. The P&L terms are there once our engine has closed the trade."""
    terms = None if trade.is_open or trade.origin == FOREIGN else terms_of(trade)
    return {
        "id": trade.id,
        "portfolio": trade.portfolio,
        "symbol": trade.symbol,
        "long_exchange": trade.long_exchange,
        "short_exchange": trade.short_exchange,
        "status": trade.status.value,
        "entry_time": trade.entry_us,
        "exit_time": trade.exit_us,
        "exit_reason": None if trade.exit_reason is None else str(trade.exit_reason),
        "entry_long_price": trade.entry_long_price,
        "entry_short_price": trade.entry_short_price,
        "entry_spread_bps": trade.entry_spread_bps,
        "position_size_usd": trade.position_size_usd,
        "quantity": trade.quantity,
        "funding_delta_entry": trade.funding_delta_entry,
        "projected_profit_usd": trade.projected_profit_usd,
        "projected_spread_usd": trade.projected_spread_usd,
        "projected_funding_usd": trade.projected_funding_usd,
        "projected_fees_usd": trade.projected_fees_usd,
        "exit_long_price": exit_price(trade, Leg.LONG),
        "exit_short_price": exit_price(trade, Leg.SHORT),
        "price_pnl_long_usd": terms and terms.price_long,
        "price_pnl_short_usd": terms and terms.price_short,
        "funding_long_usd": trade.funding_long_usd,
        "funding_short_usd": trade.funding_short_usd,
        "fees_usd": fees_of(trade),
        "hedge_fees_usd": hedge_fees_of(trade),
        "actual_profit_usd": trade.actual_profit_usd,
        "residual_usd": terms and terms.residual,
        "legged_out": trade.leg_out is not None,
        "origin": trade.origin,
        "version": trade.version,
        "day": day_of(trade.entry_us),
    }


def leg_out_row(trade: Trade, leg_out: LegOut) -> Row:
    """A row of `leg_out_event`; its version is the trade's."""
    return {
        "trade_id": trade.id,
        "portfolio": trade.portfolio,
        "symbol": trade.symbol,
        **leg_out_facts(leg_out),
        "origin": FOREIGN if trade.origin == FOREIGN else None,
        "version": trade.version,
        "day": day_of(leg_out.occurred_us),
    }


def leg_out_facts(leg_out: LegOut) -> Row:
    """The columns of `leg_out_event` that say what happened, whoever wrote it."""
    return {
        "timestamp": leg_out.occurred_us,
        "filled_leg": leg_out.filled_leg.value,
        "filled_at": leg_out.filled_us,
        "filled_price": leg_out.filled_price,
        "unfilled_leg": leg_out.unfilled_leg.value,
        "hedge": leg_out.hedge.value,
        "hedge_executed": leg_out.hedge_executed,
        "hedge_price": leg_out.hedge_price,
        "hedge_loss": leg_out.hedge_loss,
        "reason": leg_out.reason,
    }


def funding_row(paid: FundingPayment, portfolio: str) -> Row:
    """A row of `funding_payment`; a payment never changes."""
    return {
        "id": paid.id,
        "trade_id": paid.trade_id,
        "portfolio": portfolio,
        "exchange": paid.exchange,
        "symbol": paid.symbol,
        "leg": paid.leg.value,
        "settled_at": paid.settled_us,
        "quantity": paid.quantity,
        "mark_price": paid.mark_price,
        "rate": paid.rate,
        "interval_hours": paid.interval_hours,
        "cash_usd": paid.cash,
        "basis": paid.basis.value,
        "version": 1,
        "day": day_of(paid.settled_us),
    }


def daily_row(daily: DailyMetrics, portfolio: str, at_us: int) -> Row:
    """A row of `daily_metrics` as of `at_us`, which is its version: the later one wins."""
    day = datetime.date.fromisoformat(daily.date)
    figures = {name: getattr(daily, name) for name in daily.__struct_fields__ if name != "date"}
    return {
        "id": f"{portfolio}:{daily.date}",
        "portfolio": portfolio,
        "date": day,
        **figures,
        "updated_at": at_us,
        "version": at_us,
        "day": day,
    }


def snapshot_row(
    state: PortfolioState,
    portfolio: str,
    date: str,
    at_us: int,
    unrealised: Decimal | None,
    equity: Decimal | None,
) -> Row:
    """A row of `portfolio_snapshot`: the state at `at_us`, kept for the UTC day `date` (its last one may be taken just
    after midnight). Amounts in USD; the later one wins."""
    day = datetime.date.fromisoformat(date)
    return {
        "id": f"{portfolio}:{date}",
        "portfolio": portfolio,
        "date": day,
        "taken_at": at_us,
        "starting_capital": state.starting_capital,
        "available_capital": state.available_capital,
        "total_open_positions": state.total_open_positions,
        "cumulative_pnl": state.cumulative_pnl,
        "unrealised_usd": unrealised,
        "equity_usd": equity,
        "active_trade_count": len(state.active_trades),
        "total_trades": state.total_trades,
        "win_count": state.win_count,
        "loss_count": state.loss_count,
        "leg_out_count": state.leg_out_count,
        "leg_out_total_loss": state.leg_out_total_loss,
        "fees_paid": state.fees_paid,
        "funding_received": state.funding_received,
        "version": at_us,
        "day": day,
    }


def result_row(result: TradeResult, day: datetime.date, origin: str = ENGINE) -> Row:
    """A row of `trade_result`; `day` is the UTC day of its first version."""
    row = asdict(result)
    row |= {"state": result.state.value, "executed_at": row.pop("executed_us"), "origin": origin, "day": day}
    return row


def result_metrics_row(metrics: ResultMetrics, day: datetime.date, origin: str = ENGINE) -> Row:
    """A row of `result_metrics`; `day` is the UTC day of its first version."""
    row = asdict(metrics)
    row |= {"created_at": row.pop("created_us"), "origin": origin, "day": day}
    return row
