"""What a client under test asks for: batches of results with their corrections, and the moves of trades.

Everything follows from the operation's id or from the trade's: a later life of a client asks for the same again.
Prices are those of `tests.results.pipeline.made_trades`; the invariants of a portfolio hold after every move.
"""

from __future__ import annotations

import random
import uuid
from decimal import Decimal

import msgspec

from results.domain.outcomes import ResultMetrics, ResultState, TradeResult, result_id_of
from tests.results.pipeline.made_trades import START_US, exit_of, filled, pending_named
from trading.domain.evidence import fill_between
from trading.domain.funding import FundingPayment, payment
from trading.domain.orders import Leg, Liquidity, Order, OrderStatus, Role
from trading.domain.outcome import metrics_of, result_of
from trading.domain.pnl import fees_of, terms_of
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Hedge, LegOut, Trade, TradeStatus
from trading.domain.units import MICROSECONDS, ZERO
from trading.stores.transition import Transition

RECORDER = "recorder"  # a program that records the results of its own orders, and has no portfolio here
BATCH_RESULTS = 20
DAYS = 2
DAY_US = 86_400 * MICROSECONDS
TRANSIT_US = 40_000
SETTLED_AFTER_US = 8 * 3_600 * MICROSECONDS
STATES = (ResultState.PENDING, ResultState.PARTIALLY_FILLED, ResultState.EXECUTED)


class Move(msgspec.Struct, frozen=True):
    """A trade after one move, the orders that ended in it, and what was paid."""

    trade: Trade
    orders: tuple[Order, ...] = ()
    payments: tuple[FundingPayment, ...] = ()
    leg_out_loss: Decimal | None = None


def batch(operation_id: str, batch_id: str, version: int) -> Transition:
    """The results of a batch's orders and their metrics, in their first or a later version, and a payment. That one is
    durable only, so nothing but the operation's id keeps a step that is sent again from writing it twice."""
    orders = [f"{batch_id}/{number}" for number in range(BATCH_RESULTS)]
    results = [_result(order, version) for order in orders]
    return Transition(
        operation_id=operation_id,
        at_us=START_US,
        results=tuple(results),
        metrics=tuple(_metrics(result) for result in results),
        funding=(_paid(results[0]),),
    )


def _result(order_id: str, version: int) -> TradeResult:
    chance = random.Random(order_id)
    state = STATES[min(version, len(STATES)) - 1]
    quantity = Decimal(chance.randrange(1, 1_000_000)).scaleb(-4)
    price = Decimal(chance.randrange(1, 10_000_000)).scaleb(-2)
    executed = ZERO if state is ResultState.PENDING else price + Decimal(version).scaleb(-2)
    return TradeResult(
        result_id=result_id_of(order_id),
        trade_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        symbol="BTCUSDT",
        direction=chance.choice(("buy", "sell")),
        lot_size=quantity,
        execution_price=executed,
        requested_price=price,
        slippage=executed - price if executed else None,
        pnl=ZERO,
        commission=quantity * Decimal(version).scaleb(-3),
        fees=ZERO,
        state=state,
        executed_us=START_US + chance.randrange(DAYS) * DAY_US,
        portfolio=RECORDER,
        exchange="binance",
        leg="long",
        role="entry",
        order_id=order_id,
        filled_quantity=quantity if executed else ZERO,
        slippage_cost_bps=None,
        version=version,
    )


def _metrics(result: TradeResult) -> ResultMetrics:
    return ResultMetrics(
        result_id=result.result_id,
        execution_latency_ms=120 + result.version,
        broker_latency_ms=50,
        network_latency_ms=20,
        slippage=result.slippage,
        created_us=result.executed_us,
        portfolio=RECORDER,
        queue_wait_ms=None,
        version=result.version,
    )


def _paid(result: TradeResult) -> FundingPayment:
    return FundingPayment(
        id=result_id_of(f"{result.order_id}/paid/{result.version}"),
        trade_id=result.trade_id,
        exchange=result.exchange,
        symbol=result.symbol,
        leg=Leg.LONG,
        settled_us=result.executed_us,
        quantity=result.lot_size,
        mark_price=Decimal(40_000),
        rate=Decimal("0.0001"),
        interval_hours=8,
        cash=-result.lot_size,
    )


def opened(trade_id: str, symbol: str) -> Move:
    """A new trade that waits for both fills."""
    at_us = START_US + random.Random(trade_id).randrange(DAYS) * DAY_US
    return Move(pending_named(trade_id, at_us, symbol))


def both_filled(trade: Trade) -> Move:
    """The trade, hedged: both legs filled at their prices."""
    legs = [filled(order, order.price, trade.entry_us) for order in (trade.long_order, trade.short_order)]
    moved = trade.with_order(legs[0]).with_order(legs[1]).moved_to(TradeStatus.ACTIVE)
    return Move(_next(moved), tuple(legs))


def funded(trade: Trade) -> Move:
    """The trade after a settlement that paid its short leg."""
    settled_us = trade.entry_us + SETTLED_AFTER_US
    paid = payment(trade, Leg.SHORT, Decimal("0.0001"), 8, Decimal(40_000), settled_us)
    assert paid is not None
    moved = msgspec.structs.replace(trade, funding_short_usd=paid.cash, funding_short_until_us=settled_us)
    return Move(_next(moved), payments=(paid,))


def closed(trade: Trade) -> Move:
    """The trade, both legs closed at market; it won or lost."""
    at_us = trade.entry_us + 2 * SETTLED_AFTER_US
    moved, orders = trade.moved_to(TradeStatus.EXITING), []
    chance = random.Random(trade.id)
    for leg in Leg:
        price = Decimal(40_000 + chance.randrange(-40, 40))
        orders.append(filled(exit_of(trade, leg, at_us), price, at_us, Liquidity.TAKER))
        moved = moved.with_order(orders[-1])
    return Move(_ended(moved, at_us, "profit_target"), tuple(orders))


def legged_out(trade: Trade) -> Move:
    """The trade, closed: only its long leg was filled, and unwound 10 below its price."""
    at_us = trade.entry_us
    long = filled(trade.long_order, trade.long_order.price, at_us)
    cancelled = msgspec.structs.replace(trade.short_order, status=OrderStatus.CANCELLED, ended_us=at_us + MICROSECONDS)
    hedge = msgspec.structs.replace(exit_of(trade, Leg.LONG, at_us), role=Role.HEDGE)
    hedge = filled(hedge, long.price - 10, at_us, Liquidity.TAKER)
    loss = Decimal(10) * hedge.quantity + hedge.fee
    event = LegOut(
        at_us, Leg.LONG, at_us, long.price, Leg.SHORT, Hedge.UNWIND, "timeout_500ms", True, hedge.fill_price, loss
    )
    moved = trade.with_order(long).with_order(cancelled).with_order(hedge)
    moved = _ended(msgspec.structs.replace(moved, leg_out=event), at_us + MICROSECONDS, "leg_out")
    return Move(moved, (long, cancelled, hedge), leg_out_loss=loss)


def transition_of(operation_id: str, move: Move, state: PortfolioState) -> Transition:
    """The move as one transition from this state of the portfolio."""
    trade = move.trade
    fills = (fill_between(trade.id, trade.version, None, order, None) for order in move.orders)
    return Transition(
        operation_id=operation_id,
        at_us=trade.exit_us or trade.entry_us,
        state=_state_after(move, state),
        trades=(trade,),
        results=tuple(result_of(trade, order) for order in move.orders),
        metrics=tuple(metrics_of(trade, order, TRANSIT_US) for order in move.orders),
        funding=move.payments,
        fills=tuple(fill for fill in fills if fill is not None),
    )


def _state_after(move: Move, state: PortfolioState) -> PortfolioState | None:
    trade = move.trade
    if trade.version == 1:
        return state.opened(trade)
    if trade.is_open:
        return None
    if trade.leg_out and move.leg_out_loss is not None:
        state = state.legged_out(trade.leg_out.occurred_us, move.leg_out_loss)
    return state.closed(trade, fees_of(trade), trade.funding_short_usd)


def _ended(trade: Trade, at_us: int, reason: str) -> Trade:
    ended = msgspec.structs.replace(trade.moved_to(TradeStatus.CLOSED), exit_us=at_us, exit_reason=reason)
    return _next(msgspec.structs.replace(ended, actual_profit_usd=terms_of(ended).net))


def _next(trade: Trade) -> Trade:
    return msgspec.structs.replace(trade, version=trade.version + 1)
