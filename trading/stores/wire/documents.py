"""The JSON objects of redis-schema.md, field for field in its order and with its types; below the comment, ours.

Ours are UNSET in a record that another program wrote. Times are Unix seconds with a sibling `_us`; `undefined` lists
documented numbers that are 0 because they have no value (ruling 3).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from trading.domain.orders import Leg, Liquidity, OrderStatus, OrderType, Role
from trading.domain.portfolio import CapitalMode
from trading.domain.trades import Hedge, TradeStatus
from trading.stores.wire.records import Document

Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]  # up to the year 9999
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Sibling = int | None | UnsetType


class QueuePositionDocument(Document, kw_only=True):
    """redis-schema `QueuePosition`."""

    price: Decimal
    cumulative_volume_at_price: Decimal
    resting_depth_at_entry: Decimal
    fill_threshold_pct: Decimal
    is_filled: bool
    # ours
    at_front: bool | UnsetType = UNSET
    volume_beyond_threshold: Decimal | UnsetType = UNSET


class OrderDocument(Document, kw_only=True):
    """redis-schema `SimulatedOrder`. `side` Long buys and Short sells; `size` is base asset."""

    id: str
    exchange: str
    symbol: str
    side: Literal["Long", "Short"]
    order_type: OrderType
    price: Decimal
    size: Decimal
    queue_position: QueuePositionDocument | None = None
    created_at: Seconds
    filled_at: Seconds | None = None
    fill_price: Decimal | None = None
    status: OrderStatus
    # ours
    created_at_us: Sibling = UNSET
    filled_at_us: Sibling = UNSET
    accepted_at_us: Sibling = UNSET
    ended_at_us: Sibling = UNSET
    leg: Leg | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    filled_size: Decimal | UnsetType = UNSET
    cash: Decimal | UnsetType = UNSET
    fee: Decimal | UnsetType = UNSET
    liquidity: Liquidity | None | UnsetType = UNSET


class LegOutDocument(Document, kw_only=True):
    """redis-schema `LegOutEvent`, with the fields of both its definitions (ruling 11)."""

    trade_id: str | UnsetType = UNSET
    symbol: str | UnsetType = UNSET
    timestamp: Seconds | UnsetType = UNSET
    filled_leg: Leg
    filled_at: Seconds
    filled_price: Decimal | UnsetType = UNSET
    unfilled_leg: Leg
    hedge_executed: bool
    hedge_price: Decimal | None = None
    hedge_loss: Decimal | None | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    # ours
    timestamp_us: Sibling = UNSET
    filled_at_us: Sibling = UNSET
    hedge: Hedge | UnsetType = UNSET
    portfolio: str | UnsetType = UNSET
    undefined: list[str] | UnsetType = UNSET


class PnlDocument(Document, kw_only=True):
    """Ours: the terms of a closed trade's P&L in USD (ruling 15). Written for readers, never read back."""

    price_long: Decimal
    price_short: Decimal
    funding_long: Decimal
    funding_short: Decimal
    fees: Decimal
    hedge_fees: Decimal
    net: Decimal
    residual: Decimal


class TradeDocument(Document, kw_only=True):
    """redis-schema `PaperTrade`."""

    id: str
    symbol: str
    long_exchange: str
    short_exchange: str
    entry_time: Seconds
    entry_long_price: Decimal
    entry_short_price: Decimal
    entry_spread_bps: Decimal
    position_size_usd: Decimal
    funding_delta_entry: Decimal
    projected_profit_usd: Decimal
    actual_profit_usd: Decimal | None = None
    status: TradeStatus
    exit_reason: str | None = None
    exit_time: Seconds | None = None
    long_order: OrderDocument
    short_order: OrderDocument
    leg_out_event: LegOutDocument | None = None
    # ours; `orders` are the exits and hedges in the order in which they were sent
    version: Count | UnsetType = UNSET
    portfolio: str | UnsetType = UNSET
    origin: str | UnsetType = UNSET
    entry_time_us: Sibling = UNSET
    exit_time_us: Sibling = UNSET
    quantity: Decimal | UnsetType = UNSET
    projected_spread_usd: Decimal | UnsetType = UNSET
    projected_funding_usd: Decimal | UnsetType = UNSET
    projected_fees_usd: Decimal | UnsetType = UNSET
    funding_long_usd: Decimal | UnsetType = UNSET
    funding_short_usd: Decimal | UnsetType = UNSET
    funding_long_until_us: int | None | UnsetType = UNSET
    funding_short_until_us: int | None | UnsetType = UNSET
    orders: list[OrderDocument] | UnsetType = UNSET
    pnl: PnlDocument | None | UnsetType = UNSET


class RecentExitDocument(Document, kw_only=True):
    """redis-schema `RecentExit`."""

    trade_id: str
    symbol: str
    exit_time: Seconds
    actual_profit: Decimal
    exit_reason: str
    # ours
    exit_time_us: Sibling = UNSET


class DayTallyDocument(Document, kw_only=True):
    """Ours: what was closed on one UTC day."""

    date: str
    trades_executed: Count
    trades_won: Count
    trades_lost: Count
    pnl: Decimal
    leg_out_events: Count
    leg_out_loss: Decimal
    duration_us: int


class StateDocument(Document, kw_only=True):
    """redis-schema `PortfolioState`."""

    starting_capital: Decimal
    available_capital: Decimal
    total_open_positions: Decimal
    active_trades: list[str]
    closed_trades: list[str]
    cumulative_pnl: Decimal
    win_count: Count
    loss_count: Count
    leg_out_count: Count
    leg_out_total_loss: Decimal
    # ours
    version: Count | UnsetType = UNSET
    started_at: Seconds | UnsetType = UNSET
    started_at_us: Sibling = UNSET
    capital_mode: CapitalMode | UnsetType = UNSET
    total_trades: Count | UnsetType = UNSET
    fees_paid: Decimal | UnsetType = UNSET
    funding_received: Decimal | UnsetType = UNSET
    recent_exits: list[RecentExitDocument] | UnsetType = UNSET
    day: DayTallyDocument | None | UnsetType = UNSET
    previous_day: DayTallyDocument | None | UnsetType = UNSET


class MetricsDocument(Document, kw_only=True):
    """redis-schema `PortfolioMetrics`."""

    timestamp: Seconds
    total_trades: Count
    win_rate: Decimal
    cumulative_pnl: Decimal
    pnl_percentage: Decimal
    available_capital: Decimal
    utilization_pct: Decimal
    leg_out_count: Count
    leg_out_loss_pct: Decimal
    realistic_apr: Decimal
    active_trade_count: Count
    recent_exits: list[RecentExitDocument]
    # ours
    timestamp_us: Sibling = UNSET
    undefined: list[str] | UnsetType = UNSET


class DailyDocument(Document, kw_only=True):
    """redis-schema "Daily Performance Metrics"."""

    date: str
    trades_executed: Count
    trades_won: Count
    trades_lost: Count
    win_rate: Decimal
    daily_pnl: Decimal
    daily_pnl_percentage: Decimal
    leg_out_events: Count
    leg_out_loss: Decimal
    average_trade_duration_seconds: Decimal
    max_drawdown: Decimal
    sharpe_ratio: Decimal
    realistic_apr: Decimal
    # ours
    sortino_ratio: Decimal | UnsetType = UNSET
    undefined: list[str] | UnsetType = UNSET
