"""Trades, states and results to store, made by hand and by hypothesis, and the documents' own examples."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from paperdesk.tables import TABLES
from results.domain.outcomes import ResultMetrics, TradeResult
from trading.domain.metrics import DailyMetrics, PortfolioMetrics
from trading.domain.orders import (
    Leg,
    Liquidity,
    Order,
    OrderStatus,
    OrderType,
    QueuePosition,
    Role,
    Side,
)
from trading.domain.outcome import metrics_of, result_of
from trading.domain.portfolio import DayTally, PortfolioState, RecentExit
from trading.domain.trades import ExitReason, Hedge, LegOut, Trade, TradeStatus
from trading.stores.outbox import Outbox

DOCUMENTS = Path(__file__).parents[2] / "vectors" / "documents"
NOON_US = 1_723_118_400_000_000  # 2024-08-08 12:00 UTC
TRADE_ID = "550e8400-e29b-41d4-a716-446655440000"
OUTBOX = Outbox(TABLES)
D = Decimal


def document(name: str) -> bytes:
    """One of the documents' examples, verbatim."""
    return (DOCUMENTS / name).read_bytes()


def texts(raw: bytes) -> Any:
    """A JSON value in which each number is its own text, so that 42500.50 and 42500.5 differ."""
    return json.loads(raw, parse_float=lambda text: ("number", text), parse_int=lambda text: ("number", text))


def assert_has(actual: Any, wanted: Any, where: str = "$") -> None:
    """Every field of `wanted` is in `actual` with the same text, at every level; `actual` may have more."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            assert name in actual, f"{where}.{name} is missing"
            assert_has(actual[name], value, f"{where}.{name}")
    elif isinstance(wanted, list):
        assert len(actual) == len(wanted), where
        for index, value in enumerate(wanted):
            assert_has(actual[index], value, f"{where}[{index}]")
    else:
        assert actual == wanted, where


def order(leg: Leg, side: Side | None = None, role: Role = Role.ENTRY, **changes: Any) -> Order:
    """A pending limit order of 0.1176 BTC that has its place in the queue."""
    price = D("42500.50") if leg is Leg.LONG else D("42495.30")
    made = Order(
        id=f"{role}-{leg}-{uuid.uuid5(uuid.NAMESPACE_OID, str(sorted(changes)))}",
        exchange="binance" if leg is Leg.LONG else "bybit",
        symbol="BTCUSDT",
        leg=leg,
        role=role,
        side=side or (Side.BUY if leg is Leg.LONG else Side.SELL),
        order_type=OrderType.LIMIT,
        price=price,
        quantity=D("0.1176"),
        created_us=NOON_US + 1,
        queue=QueuePosition(price, D("0"), D("7"), D("0.2")),
        accepted_us=NOON_US + 20_001,
    )
    return msgspec.structs.replace(made, **changes)


def filled(pending: Order, price: str, at_us: int) -> Order:
    """The order after it was filled whole, as a maker at 2 bps."""
    value = D(price) * pending.quantity
    return msgspec.structs.replace(
        pending,
        status=OrderStatus.FILLED,
        filled_us=at_us,
        ended_us=at_us,
        fill_price=D(price),
        filled_quantity=pending.quantity,
        cash=-pending.side.sign * value,
        fee=value * D("0.0002"),
        liquidity=Liquidity.MAKER,
        queue=pending.queue and msgspec.structs.replace(pending.queue, is_filled=True),
    )


def pending_trade(trade_id: str = TRADE_ID, **changes: Any) -> Trade:
    """A trade that waits for both fills."""
    made = Trade(
        id=trade_id,
        portfolio="strategy",
        symbol="BTCUSDT",
        long_exchange="binance",
        short_exchange="bybit",
        entry_us=NOON_US + 1,
        entry_long_price=D("42500.50"),
        entry_short_price=D("42495.30"),
        entry_spread_bps=D("-1.223588498829"),
        position_size_usd=D("5000"),
        quantity=D("0.1176"),
        funding_delta_entry=D("0.0015"),
        projected_profit_usd=D("-0.000000000001"),
        projected_spread_usd=D("-0.61"),
        projected_funding_usd=D("7.5"),
        projected_fees_usd=D("6.89"),
        long_order=order(Leg.LONG),
        short_order=order(Leg.SHORT),
    )
    return msgspec.structs.replace(made, **changes)


def active_trade(trade_id: str = TRADE_ID) -> Trade:
    """The same trade, both legs filled."""
    trade = pending_trade(trade_id)
    return msgspec.structs.replace(
        trade,
        status=TradeStatus.ACTIVE,
        version=2,
        long_order=filled(trade.long_order, "42500.50", NOON_US + 100_000),
        short_order=filled(trade.short_order, "42495.30", NOON_US + 400_000),
    )


def closed_trade(trade_id: str = TRADE_ID) -> Trade:
    """The same trade, closed at a small profit."""
    trade = active_trade(trade_id)
    exits = (
        filled(order(Leg.LONG, Side.SELL, Role.EXIT), "42600.25", NOON_US + 5_000_000),
        filled(order(Leg.SHORT, Side.BUY, Role.EXIT), "42580.10", NOON_US + 5_000_001),
    )
    return msgspec.structs.replace(
        trade,
        status=TradeStatus.CLOSED,
        version=3,
        orders=exits,
        exit_reason=ExitReason.PROFIT_TARGET,
        exit_us=NOON_US + 5_000_001,
        actual_profit_usd=D("-2.245"),
    )


def leg_out() -> LegOut:
    """The long leg was filled and unwound."""
    return LegOut(
        occurred_us=NOON_US + 600_000,
        filled_leg=Leg.LONG,
        filled_us=NOON_US + 100_000,
        filled_price=D("42500.50"),
        unfilled_leg=Leg.SHORT,
        hedge=Hedge.UNWIND,
        reason="timeout_500ms",
        hedge_executed=True,
        hedge_price=D("42490.00"),
        hedge_loss=D("1.234800"),
    )


def state_of(*open_trades: Trade) -> PortfolioState:
    """A portfolio of 20,000 USD that holds these trades."""
    state = PortfolioState.new(D("20000"), NOON_US)
    for trade in open_trades:
        state = state.opened(trade)
    return state


def results_of(trade: Trade) -> tuple[tuple[TradeResult, ...], tuple[ResultMetrics, ...]]:
    """Results and metrics of all orders of a trade."""
    orders = trade.all_orders
    return tuple(result_of(trade, o) for o in orders), tuple(metrics_of(trade, o, 40_000) for o in orders)


# What hypothesis makes -------------------------------------------------------------------------------------------
decimals = st.decimals(min_value=D("-1E14"), max_value=D("1E14"), places=12, allow_nan=False)
instants = st.integers(0, 4_000_000_000_000_000)
counts = st.integers(0, 2**53)
words = st.text(max_size=20)
queues = st.builds(QueuePosition, decimals, decimals, decimals, decimals, st.booleans())
orders = st.builds(
    Order,
    id=words,
    exchange=words,
    symbol=words,
    leg=st.sampled_from(Leg),
    role=st.sampled_from(Role),
    side=st.sampled_from(Side),
    order_type=st.sampled_from(OrderType),
    price=decimals,
    quantity=decimals,
    created_us=instants,
    status=st.sampled_from(OrderStatus),
    queue=st.none() | queues,
    accepted_us=st.none() | instants,
    filled_us=st.none() | instants,
    ended_us=st.none() | instants,
    fill_price=st.none() | decimals,
    filled_quantity=decimals,
    cash=decimals,
    fee=decimals,
    liquidity=st.none() | st.sampled_from(Liquidity),
)
leg_outs = st.builds(
    LegOut,
    occurred_us=instants,
    filled_leg=st.sampled_from(Leg),
    filled_us=instants,
    filled_price=decimals,
    unfilled_leg=st.sampled_from(Leg),
    hedge=st.sampled_from(Hedge),
    reason=words,
    hedge_executed=st.booleans(),
    hedge_price=st.none() | decimals,
    hedge_loss=st.none() | decimals,
)
trades = st.builds(
    Trade,
    id=st.uuids().map(str),
    portfolio=words,
    symbol=words,
    long_exchange=words,
    short_exchange=words,
    entry_us=instants,
    entry_long_price=decimals,
    entry_short_price=decimals,
    entry_spread_bps=decimals,
    position_size_usd=decimals,
    quantity=decimals,
    funding_delta_entry=decimals,
    projected_profit_usd=decimals,
    long_order=orders,
    short_order=orders,
    projected_spread_usd=decimals,
    projected_funding_usd=decimals,
    projected_fees_usd=decimals,
    orders=st.lists(orders, max_size=2).map(tuple),
    status=st.sampled_from([TradeStatus.PENDING, TradeStatus.ACTIVE, TradeStatus.EXITING]),
    exit_reason=st.none() | st.sampled_from(list(ExitReason)) | words,
    exit_us=st.none() | instants,
    actual_profit_usd=st.none() | decimals,
    leg_out=st.none() | leg_outs,
    funding_long_usd=decimals,
    funding_short_usd=decimals,
    funding_long_until_us=st.none() | instants,
    funding_short_until_us=st.none() | instants,
    version=st.integers(1, 2**53),
)
recent_exits = st.builds(RecentExit, words, words, instants, decimals, words)
tallies = st.builds(DayTally, st.dates().map(str), counts, counts, counts, decimals, counts, decimals, counts)
states = st.builds(
    PortfolioState,
    starting_capital=decimals,
    available_capital=decimals,
    started_us=instants,
    total_open_positions=decimals,
    active_trades=st.lists(words, max_size=3).map(tuple),
    closed_trades=st.lists(words, max_size=3).map(tuple),
    cumulative_pnl=decimals,
    win_count=counts,
    loss_count=counts,
    leg_out_count=counts,
    leg_out_total_loss=decimals,
    capital_mode=st.sampled_from(["fixed", "compounding"]),
    total_trades=counts,
    fees_paid=decimals,
    funding_received=decimals,
    recent_exits=st.lists(recent_exits, max_size=2).map(tuple),
    day=st.none() | tallies,
    previous_day=st.none() | tallies,
    version=counts,
)
metrics = st.builds(
    PortfolioMetrics,
    timestamp_us=instants,
    total_trades=counts,
    win_rate=st.none() | decimals,
    cumulative_pnl=decimals,
    pnl_percentage=decimals,
    available_capital=decimals,
    utilization_pct=decimals,
    leg_out_count=counts,
    leg_out_loss_pct=st.none() | decimals,
    realistic_apr=decimals,
    active_trade_count=counts,
    recent_exits=st.lists(recent_exits, max_size=2).map(tuple),
)
daily = st.builds(
    DailyMetrics,
    date=st.dates().map(str),
    trades_executed=counts,
    trades_won=counts,
    trades_lost=counts,
    win_rate=st.none() | decimals,
    daily_pnl=decimals,
    daily_pnl_percentage=decimals,
    leg_out_events=counts,
    leg_out_loss=decimals,
    average_trade_duration_seconds=st.none() | decimals,
    max_drawdown=st.none() | decimals,
    sharpe_ratio=st.none() | decimals,
    sortino_ratio=st.none() | decimals,
    realistic_apr=decimals,
)
