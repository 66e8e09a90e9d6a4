"""What an order came to: the documents' `trade_result` and `result_metrics`, and the states between.

A result's identity follows from its order's, so that a replay or a retry writes the same row (ruling 23).
Prices are quote per base; `slippage` has the documents' sign (execution - requested), `slippage_cost_bps` is
positive when it cost something; latencies are whole milliseconds, rounded down.
"""

from __future__ import annotations

import uuid
from decimal import Decimal
from enum import StrEnum

import msgspec

from results.domain.errors import PaperDeskError
from results.domain.units import ZERO, round12

RESULT_NAMESPACE = uuid.UUID("6f1f0c52-3b0e-5c5e-9a55-7d1c1b1c0a23")
BPS = Decimal(10_000)


class ResultState(StrEnum):
    """The documents' states of a result, and `pending` before them (ruling 24)."""

    PENDING = "pending"
    EXECUTED = "executed"
    PARTIALLY_FILLED = "partially_filled"
    FAILED = "failed"


MOVES = frozenset(
    {
        (ResultState.PENDING, ResultState.EXECUTED),
        (ResultState.PENDING, ResultState.PARTIALLY_FILLED),
        (ResultState.PENDING, ResultState.FAILED),
        (ResultState.PARTIALLY_FILLED, ResultState.EXECUTED),
        (ResultState.PARTIALLY_FILLED, ResultState.FAILED),
        (ResultState.EXECUTED, ResultState.PARTIALLY_FILLED),
        (ResultState.EXECUTED, ResultState.FAILED),
    }
)


class InvalidResultTransition(PaperDeskError):
    """A result cannot move from the state it is in to the state asked for. Source: ruling 24."""


def require_move(result_id: str, before: ResultState | None, after: ResultState) -> None:
    """Raises InvalidResultTransition unless the move is allowed; first sight may be any state, and a result may
    stay where it is (the same figures are a no-op, others a correction), except that nothing leaves `failed`."""
    if before is None or before is after or (before, after) in MOVES:
        return
    raise InvalidResultTransition(f"result {result_id} is {before}, it cannot become {after}")


def result_id_of(order_id: str) -> str:
    """The UUIDv5 of an order's result."""
    return str(uuid.uuid5(RESULT_NAMESPACE, order_id))


class TradeResult(msgspec.Struct, frozen=True):
    """One order's outcome. `lot_size` and `filled_quantity` are base asset, `commission` the fee (ruling 14)."""

    result_id: str
    trade_id: str
    symbol: str
    direction: str
    lot_size: Decimal
    execution_price: Decimal
    requested_price: Decimal | None
    slippage: Decimal | None
    pnl: Decimal | None
    commission: Decimal | None
    fees: Decimal | None
    state: ResultState
    executed_us: int
    portfolio: str
    exchange: str
    leg: str
    role: str
    order_id: str
    filled_quantity: Decimal
    slippage_cost_bps: Decimal | None
    version: int = 1


class ResultMetrics(msgspec.Struct, frozen=True):
    """How an order was executed. Latencies in milliseconds; `queue_wait_ms` is the time at rest in the queue."""

    result_id: str
    execution_latency_ms: int | None
    broker_latency_ms: int | None
    network_latency_ms: int | None
    slippage: Decimal | None
    created_us: int
    portfolio: str
    queue_wait_ms: int | None
    version: int = 1


def slippage_of(execution_price: Decimal, requested_price: Decimal) -> Decimal:
    """Execution minus requested price, in price units: negative is favourable for a buy."""
    return round12(execution_price - requested_price)


def slippage_cost_bps(direction: str, execution_price: Decimal, requested_price: Decimal) -> Decimal:
    """What slippage cost, in bps of the requested price; positive is a cost. `direction` is buy or sell."""
    sign = 1 if direction == "buy" else -1
    if not requested_price:
        return ZERO
    return round12(sign * (execution_price - requested_price) / requested_price * BPS)
