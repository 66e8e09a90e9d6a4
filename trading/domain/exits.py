"""When is an active trade to be closed? Source: ruling 12."""

from __future__ import annotations

from decimal import Decimal

from trading.domain.strategy import Strategy
from trading.domain.trades import ExitReason, Trade
from trading.domain.units import BPS


def exit_reason(
    trade: Trade, strategy: Strategy, unrealised_usd: Decimal | None, funding_delta: Decimal | None
) -> ExitReason | None:
    """The first reason that holds, in the order of the ruling, or None to go on.

    `unrealised_usd` is None while a price is missing or stale, `funding_delta` (short - long per 8 hours) while a
    rate is missing; what is unknown triggers nothing.
    """
    if unrealised_usd is not None and unrealised_usd <= -limit_usd(trade, strategy.loss_limit_bps):
        return ExitReason.LOSS_LIMIT
    if funding_converged(trade, strategy.funding_convergence_threshold, funding_delta):
        return ExitReason.FUNDING_CONVERGENCE
    if unrealised_usd is not None and unrealised_usd >= limit_usd(trade, strategy.profit_target_bps):
        return ExitReason.PROFIT_TARGET
    return None


def limit_usd(trade: Trade, limit_bps: Decimal) -> Decimal:
    """A limit in basis points of the position size, as USD."""
    return trade.position_size_usd * limit_bps / BPS


def funding_converged(trade: Trade, threshold: Decimal, delta: Decimal | None) -> bool:
    """Whether the funding advantage is gone: the delta is small, or its sign turned against us.

    Armed only if the delta at entry was above the threshold, and the threshold is above zero.
    """
    if delta is None or not trade.funding_delta_entry > threshold > 0:
        return False
    return delta <= threshold
