"""What one atomic step of a portfolio writes, as domain values."""

from __future__ import annotations

import msgspec

from results.domain.outcomes import ResultMetrics, TradeResult
from trading.domain.evidence import OrderFill
from trading.domain.funding import FundingPayment
from trading.domain.portfolio import PortfolioState
from trading.domain.shadow import ShadowFill
from trading.domain.trades import Trade


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One transition. `state` None leaves the portfolio as it is; `trades` are the new versions of the trades that
    changed (a Closed one moves to the closed keys); leg-outs are derived from them. `operation_id` is unique per
    transition and the same when it is tried again."""

    operation_id: str
    at_us: int
    state: PortfolioState | None = None
    trades: tuple[Trade, ...] = ()
    results: tuple[TradeResult, ...] = ()
    metrics: tuple[ResultMetrics, ...] = ()
    funding: tuple[FundingPayment, ...] = ()
    fills: tuple[OrderFill, ...] = ()
    shadows: tuple[ShadowFill, ...] = ()
