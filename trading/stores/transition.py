"""What one atomic step of a portfolio writes, as domain values, and where it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def operation_of(prefix: str, shadows: Sequence[ShadowFill]) -> str:
    """The operation id of a step that writes these shadows, at least one, and no trade."""
    return f"{prefix}:shadows:{shadows[-1].order_id}:{shadows[-1].watched_until_us}"


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

    def checkpoint(
        self,
        trades: Iterable[Trade],
        progress: Mapping[str, Any],
        witnesses: Mapping[str, Any],
        shadows: Sequence[ShadowFill] = (),
    ) -> None:
        """Writes queue progress, witnesses by order, and what the shadows of an earlier run had come to."""

    def held_for(self) -> str | None:
        """Why the portfolio may open no trades, as others found; None: it may."""

    def witnesses(self) -> dict[str, Any]:
        """The witnesses by order whose shadows are in no transition yet, of all engine shards."""
