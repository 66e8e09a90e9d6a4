"""Breaks: the differences that a reconciliation can find, one per order (or leg, or trade) and kind.

A break's id follows from its trade, subject and kind: a second pass writes the same row. Source: ruling 25.
"""

from __future__ import annotations

import uuid
from decimal import Decimal
from enum import StrEnum

import msgspec

BREAK_NAMESPACE = uuid.UUID("0a5b9f0e-6f0e-5a39-8f0c-4d2c64c1b7aa")


class BreakKind(StrEnum):
    """What can differ, the gravest first: the first kind that fails names the trade's rejection reason."""

    MISSING_RESULT = "missing_result"
    DUPLICATE_RESULT = "duplicate_result"
    QUANTITY_MISMATCH = "quantity_mismatch"
    PNL_RESIDUAL = "pnl_residual"
    ADVERSE_SLIPPAGE = "adverse_slippage"
    LATENCY = "latency"
    PRICE_IMPROVEMENT = "price_improvement"


GRAVITY = {kind: rank for rank, kind in enumerate(BreakKind)}

REASONS = {
    BreakKind.MISSING_RESULT: "Result missing",
    BreakKind.DUPLICATE_RESULT: "Duplicate result",
    BreakKind.QUANTITY_MISMATCH: "Quantity mismatch",
    BreakKind.PNL_RESIDUAL: "P&L does not add up",
    BreakKind.ADVERSE_SLIPPAGE: "Slippage too high",  # result-stream-layer 3
    BreakKind.LATENCY: "Latency too high",
    BreakKind.PRICE_IMPROVEMENT: "Price improvement",
}


class Break(msgspec.Struct, frozen=True):
    """One difference, over its tolerance. `is_failure` is false for an improvement."""

    id: str
    trade_id: str
    result_id: str | None
    portfolio: str
    exchange: str | None
    symbol: str
    leg: str | None
    kind: BreakKind
    is_failure: bool
    expected: Decimal | None
    actual: Decimal | None
    discrepancy: Decimal | None
    tolerance: Decimal | None
    reason: str
    found_us: int


def break_id_of(trade_id: str, subject: str, kind: BreakKind) -> str:
    """The UUIDv5 of a break. `subject` is an order id, a leg, or "trade"."""
    return str(uuid.uuid5(BREAK_NAMESPACE, f"{trade_id}|{subject}|{kind}"))
