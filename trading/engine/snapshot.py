"""The snapshot that browsers see: one JSON object, newest only, built from a monitor tick.

Money and prices are strings (exact); ages milliseconds, spreads basis points. Objects of the documents
(`metrics`, `daily`, `leg_outs`) are taken over as they are on their keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trading.domain.orders import Leg, Order, OrderStatus, Role
from trading.domain.queue import progress_fraction
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import text_of
from trading.engine.monitor import PortfolioTick, Tick

TRADES_SHOWN_MAX = 200


def snapshot(
    tick: Tick,
    sequence: int,
    feed: Mapping[str, Any],
    sync: Mapping[str, Any],
    markets: Sequence[Mapping[str, Any]],
    alarms: Sequence[str],
    up_ms: int = 0,
) -> dict[str, Any]:
    """The snapshot of a tick; `up_ms` is for how long this monitor has watched. A portfolio that kept moving during the
    tick is left out: the next one shows it."""
    return {
        "seq": sequence,
        "at_us": tick.at_us,
        "up_ms": up_ms,
        "feed": dict(feed),
        "tick": {"at_us": tick.at_us, "duration_ms": round(tick.duration_ms, 3)},
        "sync": dict(sync),
        "alarms": list(alarms),
        "markets": list(markets),
        "portfolios": [portfolio_part(one, one.documents) for one in tick.portfolios if one.documents is not None],
    }


def portfolio_part(one: PortfolioTick, documents: Mapping[str, Any]) -> dict[str, Any]:
    """One portfolio: the documents' metrics, equity, and its newest open trades."""
    marks, newest = one.findings.marks, slice(-TRADES_SHOWN_MAX, None)
    rows = list(zip(one.reading.trades[newest], marks.unrealised_usd[newest], marks.spread_bps[newest], strict=True))
    unrealised, equity = one.findings.unrealised_usd, one.findings.equity_usd
    return {
        "prefix": one.strategy.prefix,
        "name": one.strategy.name,
        "standing": "" if one.strategy.enabled else "switched off: no new trades",
        "metrics": documents["metrics"],
        "daily": documents["daily"],
        "equity_usd": None if equity is None else text_of(equity),
        "unrealised_usd": None if unrealised is None else text_of(unrealised),
        "max_drawdown": float(one.findings.track.equity.max_drawdown),
        "trades_total": len(one.reading.trades),
        "trades": [trade_part(trade, float(usd), float(bps)) for trade, usd, bps in reversed(rows)],
        "leg_outs": list(one.reading.leg_outs),
    }


def trade_part(trade: Trade, unrealised_usd: float, spread_now_bps: float) -> dict[str, Any]:
    """One open trade; what cannot be marked is null."""
    known = not math.isnan(unrealised_usd)
    return {
        "id": trade.id,
        "symbol": trade.symbol,
        "long_exchange": trade.long_exchange,
        "short_exchange": trade.short_exchange,
        "status": trade.status.value,
        "entry_time_us": trade.entry_us,
        "position_size_usd": text_of(trade.position_size_usd),
        "entry_spread_bps": text_of(trade.entry_spread_bps),
        "spread_now_bps": None if math.isnan(spread_now_bps) else f"{spread_now_bps:.4f}",
        "unrealised_usd": f"{unrealised_usd:.6f}" if known else None,
        "unrealised_bps": f"{unrealised_usd / float(trade.position_size_usd) * 10_000:.4f}" if known else None,
        "long_progress": progress_of(trade.entry_order(Leg.LONG)),
        "short_progress": progress_of(trade.entry_order(Leg.SHORT)),
        "long_status": trade.long_order.status.value,
        "short_status": trade.short_order.status.value,
        "exit_reason": trade.exit_reason,
        "unequal": unequal_of(trade),
    }


def unequal_of(trade: Trade) -> str | None:
    """That the legs of an entry hold different quantities, in words; its leg-out is recorded once it is hedged."""
    held = {leg: abs(trade.position(leg)) for leg in Leg}
    if trade.status is not TradeStatus.PENDING or held[Leg.LONG] == held[Leg.SHORT]:
        return None
    hedging = any(order.role is Role.HEDGE and order.is_pending for order in trade.orders)
    what = "legged out, its hedge waits for the market" if hedging else "legs are unequal"
    return f"{what}: long {text_of(held[Leg.LONG])}, short {text_of(held[Leg.SHORT])}"


def progress_of(order: Order) -> float:
    """How far an entry order is on its way to a fill, from 0 to 1."""
    return 1.0 if order.status is OrderStatus.FILLED else round(progress_fraction(order.queue), 4)
