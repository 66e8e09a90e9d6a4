"""What one atomic step of a portfolio writes, as domain values, and where it is written."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Protocol

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


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a restart needs of a portfolio besides its transitions. `trades` are open ones whose queue progress moved,
    `progress` and the `witnesses`, by order, are JSON, and `shadows` what the witnesses of an earlier run had come to,
    whose place they take. `operation_id` is the same when it is tried again."""

    operation_id: str = msgspec.field(default_factory=lambda: f"checkpoint:{uuid.uuid4()}")
    trades: tuple[Trade, ...] = ()
    progress: Mapping[str, Any] = {}
    witnesses: Mapping[str, Any] = {}
    shadows: tuple[ShadowFill, ...] = ()


class TransitionStore(Protocol):
    """Where a portfolio is kept; see `trading.stores.portfolio_store`."""

    def load(self) -> tuple[PortfolioState | None, dict[str, Trade]]:
        """State and open trades."""

    def create(self, state: PortfolioState, name: str = "") -> None:
        """Writes the first state of a portfolio, under this name."""

    def commit(self, transition: Transition) -> list[str]:
        """Writes one transition."""

    def refresh(self) -> PortfolioState:
        """The state as it is now, from which the next transition comes."""

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Writes one checkpoint."""

    def held_for(self) -> str | None:
        """Why the portfolio may open no trades, as others found; None: it may."""

    def witnesses(self) -> dict[str, Any]:
        """The witnesses by order whose shadows are in no transition yet, of all engine shards."""
