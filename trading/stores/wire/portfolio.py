"""PortfolioState, PortfolioMetrics with its recent exits, and daily metrics <-> the domain's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UnsetType

from trading.domain.metrics import DailyMetrics, PortfolioMetrics
from trading.domain.portfolio import DayTally, PortfolioState, RecentExit
from trading.domain.units import ZERO
from trading.stores.wire.documents import (
    DailyDocument,
    DayTallyDocument,
    MetricsDocument,
    RecentExitDocument,
    StateDocument,
)
from trading.stores.wire.records import decode, encode, given, instant_us, seconds_of

START_UNKNOWN = 0


def decode_state(raw: bytes, key: str) -> PortfolioState:
    """The portfolio's state. One that another program made starts at the epoch. Raises WireError."""
    document = decode(StateDocument, raw, key)
    return PortfolioState(
        starting_capital=document.starting_capital,
        available_capital=document.available_capital,
        started_us=instant_us(given(document.started_at, START_UNKNOWN), document.started_at_us),
        total_open_positions=document.total_open_positions,
        active_trades=tuple(document.active_trades),
        closed_trades=tuple(document.closed_trades),
        cumulative_pnl=document.cumulative_pnl,
        win_count=document.win_count,
        loss_count=document.loss_count,
        leg_out_count=document.leg_out_count,
        leg_out_total_loss=document.leg_out_total_loss,
        capital_mode=given(document.capital_mode, "fixed"),
        total_trades=given(document.total_trades, document.win_count + document.loss_count),
        fees_paid=given(document.fees_paid, ZERO),
        funding_received=given(document.funding_received, ZERO),
        recent_exits=tuple(map(recent_exit_of, given(document.recent_exits, []))),
        day=_tally_of(document.day),
        previous_day=_tally_of(document.previous_day),
        version=given(document.version, 0),
    )


def encode_state(state: PortfolioState, over: bytes | None = None) -> bytes:
    """The record of a portfolio's state; `over` is the record that it replaces, whose unknown fields stay."""
    document = StateDocument(
        starting_capital=state.starting_capital,
        available_capital=state.available_capital,
        total_open_positions=state.total_open_positions,
        active_trades=list(state.active_trades),
        closed_trades=list(state.closed_trades),
        cumulative_pnl=state.cumulative_pnl,
        win_count=state.win_count,
        loss_count=state.loss_count,
        leg_out_count=state.leg_out_count,
        leg_out_total_loss=state.leg_out_total_loss,
        version=state.version,
        started_at=seconds_of(state.started_us),
        started_at_us=state.started_us,
        capital_mode=state.capital_mode,
        total_trades=state.total_trades,
        fees_paid=state.fees_paid,
        funding_received=state.funding_received,
        recent_exits=list(map(recent_exit_document, state.recent_exits)),
        day=_tally_document(state.day),
        previous_day=_tally_document(state.previous_day),
    )
    return encode(document, over)


def recent_exit_of(document: RecentExitDocument) -> RecentExit:
    """A closed trade as the metrics list it."""
    return RecentExit(
        trade_id=document.trade_id,
        symbol=document.symbol,
        exit_us=instant_us(document.exit_time, document.exit_time_us),
        actual_profit=document.actual_profit,
        exit_reason=document.exit_reason,
    )


def recent_exit_document(recent: RecentExit) -> RecentExitDocument:
    """The document of a recent exit."""
    return RecentExitDocument(
        trade_id=recent.trade_id,
        symbol=recent.symbol,
        exit_time=seconds_of(recent.exit_us),
        actual_profit=recent.actual_profit,
        exit_reason=recent.exit_reason,
        exit_time_us=recent.exit_us,
    )


def decode_metrics(raw: bytes, key: str) -> PortfolioMetrics:
    """The portfolio's metrics; a number that its record lists as undefined is None. Raises WireError."""
    document = decode(MetricsDocument, raw, key)
    fields = _defined(document, given(document.undefined, []))
    fields["timestamp_us"] = instant_us(fields.pop("timestamp"), document.timestamp_us)
    fields["recent_exits"] = tuple(map(recent_exit_of, document.recent_exits))
    return PortfolioMetrics(**fields)


def encode_metrics(metrics: PortfolioMetrics, over: bytes | None = None) -> bytes:
    """The record of a portfolio's metrics; what is None becomes 0 and is listed as undefined (ruling 3)."""
    fields, undefined = _zeroed(metrics)
    fields["timestamp"] = seconds_of(metrics.timestamp_us)
    fields["recent_exits"] = list(map(recent_exit_document, metrics.recent_exits))
    return encode(MetricsDocument(**fields, undefined=undefined), over)


def decode_daily(raw: bytes, key: str) -> DailyMetrics:
    """One UTC day's metrics; a number that its record lists as undefined or lacks is None. Raises WireError."""
    document = decode(DailyDocument, raw, key)
    fields = _defined(document, given(document.undefined, []))
    fields["sortino_ratio"] = fields.get("sortino_ratio")
    return DailyMetrics(**fields)


def encode_daily(daily: DailyMetrics, over: bytes | None = None) -> bytes:
    """The record of one UTC day's metrics; what is None becomes 0 and is listed as undefined (ruling 3)."""
    fields, undefined = _zeroed(daily)
    return encode(DailyDocument(**fields, undefined=undefined), over)


def _zeroed(metrics: msgspec.Struct) -> tuple[dict[str, Any], list[str]]:
    fields = {name: getattr(metrics, name) for name in metrics.__struct_fields__}
    undefined = [name for name, value in fields.items() if value is None]
    return {name: ZERO if value is None else value for name, value in fields.items()}, undefined


def _defined(document: msgspec.Struct, undefined: list[str]) -> dict[str, Any]:
    ours = ("undefined", "timestamp_us")
    fields = {name: getattr(document, name) for name in document.__struct_fields__ if name not in ours}
    fields = {name: value for name, value in fields.items() if not isinstance(value, UnsetType)}
    return {name: None if name in undefined and isinstance(value, Decimal) else value for name, value in fields.items()}


def _tally_of(document: DayTallyDocument | None | UnsetType) -> DayTally | None:
    if document is None or isinstance(document, UnsetType):
        return None
    return DayTally(**msgspec.structs.asdict(document))


def _tally_document(tally: DayTally | None) -> DayTallyDocument | None:
    return None if tally is None else DayTallyDocument(**msgspec.structs.asdict(tally))
