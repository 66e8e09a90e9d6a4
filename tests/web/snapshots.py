"""Snapshots as the monitor publishes them, and published by the monitor's own code."""

import time
from typing import Any

import orjson

from trading import wiring

TRADE_ID = "550e8400-e29b-41d4-a716-446655440000"
OTHER_ID = "660e8400-e29b-41d4-a716-446655440001"


def metrics(**values: Any) -> dict[str, Any]:
    """The documents' PortfolioMetrics."""
    exits = [
        {"trade_id": OTHER_ID, "symbol": "ETHUSDT", "exit_time": 1_704_067_300, "actual_profit": 32.1,
         "exit_reason": "profit_target"},
    ]  # fmt: skip
    return {
        "timestamp": 1_704_067_320, "total_trades": 10, "win_rate": 0.8, "cumulative_pnl": 250.5,
        "pnl_percentage": 1.25, "available_capital": 8500.0, "utilization_pct": 0.575, "leg_out_count": 1,
        "leg_out_loss_pct": 0.18,
        "realistic_apr": 0.456, "active_trade_count": 2, "recent_exits": exits, "undefined": [],
    } | values  # fmt: skip


def daily(**values: Any) -> dict[str, Any]:
    """The documents' daily metrics."""
    return {
        "date": "2024-01-01", "trades_executed": 12, "trades_won": 10, "trades_lost": 2, "win_rate": 0.833,
        "daily_pnl": 450.75, "daily_pnl_percentage": 2.25, "leg_out_events": 1, "leg_out_loss": 45.3,
        "average_trade_duration_seconds": 125, "max_drawdown": 0.05, "sharpe_ratio": 1.45, "realistic_apr": 0.456,
    } | values  # fmt: skip


def trade(**values: Any) -> dict[str, Any]:
    """An open trade."""
    return {
        "id": TRADE_ID, "symbol": "BTCUSDT", "long_exchange": "binance", "short_exchange": "bybit", "status": "Active",
        "entry_time_us": 1_704_067_200_250_000, "position_size_usd": "5000", "entry_spread_bps": "12.2",
        "spread_now_bps": "4.5", "unrealised_usd": "3.21", "unrealised_bps": "6.42", "long_progress": 1.0,
        "short_progress": 0.35, "long_status": "Filled", "short_status": "Pending", "exit_reason": None,
    } | values  # fmt: skip


def portfolio(**values: Any) -> dict[str, Any]:
    """A portfolio's part."""
    leg_out = {
        "trade_id": OTHER_ID, "symbol": "BTCUSDT", "timestamp": 1_704_067_250, "filled_leg": "long",
        "filled_at": 1_704_067_201, "filled_price": 42500.5, "unfilled_leg": "short", "hedge_executed": True,
        "hedge_price": 42490.0, "hedge_loss": 52.5, "reason": "timeout_500ms",
    }  # fmt: skip
    return {
        "prefix": "strategy", "name": "Both passive", "metrics": metrics(), "daily": daily(), "equity_usd": "20253.71",
        "unrealised_usd": "3.21", "max_drawdown": 0.0123, "trades_total": 1, "trades": [trade()], "leg_outs": [leg_out],
    } | values  # fmt: skip


def snapshot(*portfolios: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A whole snapshot of this moment."""
    now_us = time.time_ns() // 1000
    market = {"instrument": "binance:BTCUSDT", "bid": "61800.20", "ask": "61800.30", "funding_rate": "0.0001",
              "age_ms": 12, "state": "ok"}  # fmt: skip
    follower = {"lag": 0, "age_ms": 900, "error": None, "since_us": None}
    return {
        "seq": now_us // 1000,
        "at_us": now_us,
        "up_ms": 60_000,
        "feed": {"name": "synthetic", "age_ms": 40, "messages_per_second": 310.2},
        "tick": {"at_us": now_us, "duration_ms": 3.1},
        "sync": dict.fromkeys(("duckdb", "django", "clickhouse"), follower),
        "alarms": [],
        "markets": [market],
        "portfolios": list(portfolios) or [portfolio()],
    } | values


def publish(body: dict[str, Any]) -> None:
    """What a turn of the monitor ends with: write the key, call the browsers."""
    wiring.snapshot_store().publish(orjson.dumps(body))
    wiring.announce()
