"""PaperTrade and LegOutEvent <-> Trade and LegOut."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec import UNSET, UnsetType

from trading.domain.orders import Leg, Role
from trading.domain.pnl import terms_of
from trading.domain.trades import Hedge, LegOut, Trade
from trading.domain.units import ZERO
from trading.stores.wire.documents import LegOutDocument, PnlDocument, TradeDocument
from trading.stores.wire.orders import order_document, order_of
from trading.stores.wire.records import (
    decode,
    encode,
    given,
    instant_us,
    optional_instant_us,
    optional_seconds_of,
    seconds_of,
)

ENGINE = "engine"
FOREIGN = "foreign"


def decode_trade(raw: bytes, key: str, portfolio: str) -> Trade:
    """The trade in a record of `portfolio`'s. One without our `version` or `origin` has the origin "foreign".

    Raises WireError naming key, field and value.
    """
    document = decode(TradeDocument, raw, key)
    foreign = isinstance(document.version, UnsetType) or isinstance(document.origin, UnsetType)
    return Trade(
        id=document.id,
        portfolio=given(document.portfolio, portfolio),
        symbol=document.symbol,
        long_exchange=document.long_exchange,
        short_exchange=document.short_exchange,
        entry_us=instant_us(document.entry_time, document.entry_time_us),
        entry_long_price=document.entry_long_price,
        entry_short_price=document.entry_short_price,
        entry_spread_bps=document.entry_spread_bps,
        position_size_usd=document.position_size_usd,
        quantity=given(document.quantity, document.long_order.size),
        funding_delta_entry=document.funding_delta_entry,
        projected_profit_usd=document.projected_profit_usd,
        long_order=order_of(document.long_order, Leg.LONG, Role.ENTRY),
        short_order=order_of(document.short_order, Leg.SHORT, Role.ENTRY),
        projected_spread_usd=given(document.projected_spread_usd, ZERO),
        projected_funding_usd=given(document.projected_funding_usd, ZERO),
        projected_fees_usd=given(document.projected_fees_usd, ZERO),
        orders=tuple(order_of(order, Leg.LONG, Role.EXIT) for order in given(document.orders, [])),
        status=document.status,
        exit_reason=document.exit_reason,
        exit_us=optional_instant_us(document.exit_time, document.exit_time_us),
        actual_profit_usd=document.actual_profit_usd,
        leg_out=None if document.leg_out_event is None else leg_out_of(document.leg_out_event, document),
        funding_long_usd=given(document.funding_long_usd, ZERO),
        funding_short_usd=given(document.funding_short_usd, ZERO),
        funding_long_until_us=given(document.funding_long_until_us, None),
        funding_short_until_us=given(document.funding_short_until_us, None),
        version=given(document.version, 1),
        origin=FOREIGN if foreign else given(document.origin, ENGINE),
    )


def encode_trade(trade: Trade, over: bytes | None = None) -> bytes:
    """The record of a trade; `over` is the record that it replaces, whose unknown fields stay."""
    return encode(trade_document(trade), over)


def trade_document(trade: Trade) -> TradeDocument:
    """The document of a trade. A closed one has the terms of its P&L."""
    return TradeDocument(
        id=trade.id,
        symbol=trade.symbol,
        long_exchange=trade.long_exchange,
        short_exchange=trade.short_exchange,
        entry_time=seconds_of(trade.entry_us),
        entry_long_price=trade.entry_long_price,
        entry_short_price=trade.entry_short_price,
        entry_spread_bps=trade.entry_spread_bps,
        position_size_usd=trade.position_size_usd,
        funding_delta_entry=trade.funding_delta_entry,
        projected_profit_usd=trade.projected_profit_usd,
        actual_profit_usd=trade.actual_profit_usd,
        status=trade.status,
        exit_reason=trade.exit_reason,
        exit_time=optional_seconds_of(trade.exit_us),
        long_order=order_document(trade.long_order),
        short_order=order_document(trade.short_order),
        leg_out_event=None if trade.leg_out is None else leg_out_document(trade, trade.leg_out),
        version=trade.version,
        portfolio=trade.portfolio,
        origin=trade.origin,
        entry_time_us=trade.entry_us,
        exit_time_us=trade.exit_us,
        quantity=trade.quantity,
        projected_spread_usd=trade.projected_spread_usd,
        projected_funding_usd=trade.projected_funding_usd,
        projected_fees_usd=trade.projected_fees_usd,
        funding_long_usd=trade.funding_long_usd,
        funding_short_usd=trade.funding_short_usd,
        funding_long_until_us=trade.funding_long_until_us,
        funding_short_until_us=trade.funding_short_until_us,
        orders=[order_document(order) for order in trade.orders],
        pnl=None if trade.is_open else PnlDocument(**msgspec.structs.asdict(terms_of(trade))),
    )


def leg_out_of(document: LegOutDocument, trade: TradeDocument | None = None) -> LegOut:
    """The leg-out; what the shorter of its two definitions leaves out is taken from its trade."""
    undefined = given(document.undefined, [])
    filled_us = instant_us(document.filled_at, document.filled_at_us)
    timestamp = document.timestamp
    return LegOut(
        occurred_us=filled_us if isinstance(timestamp, UnsetType) else instant_us(timestamp, document.timestamp_us),
        filled_leg=document.filled_leg,
        filled_us=filled_us,
        filled_price=given(document.filled_price, _entry_price(document.filled_leg, trade)),
        unfilled_leg=document.unfilled_leg,
        hedge=given(document.hedge, Hedge.UNWIND),
        reason=given(document.reason, ""),
        hedge_executed=document.hedge_executed,
        hedge_price=None if "hedge_price" in undefined else document.hedge_price,
        hedge_loss=None if "hedge_loss" in undefined else given(document.hedge_loss, None),
    )


def leg_out_document(trade: Trade, leg_out: LegOut) -> LegOutDocument:
    """The document of a trade's leg-out. A hedge that was not executed has price and loss 0, listed as undefined."""
    undefined = [name for name in ("hedge_price", "hedge_loss") if getattr(leg_out, name) is None]
    return LegOutDocument(
        trade_id=trade.id,
        symbol=trade.symbol,
        timestamp=seconds_of(leg_out.occurred_us),
        filled_leg=leg_out.filled_leg,
        filled_at=seconds_of(leg_out.filled_us),
        filled_price=leg_out.filled_price,
        unfilled_leg=leg_out.unfilled_leg,
        hedge_executed=leg_out.hedge_executed,
        hedge_price=ZERO if leg_out.hedge_price is None else leg_out.hedge_price,
        hedge_loss=ZERO if leg_out.hedge_loss is None else leg_out.hedge_loss,
        reason=leg_out.reason,
        timestamp_us=leg_out.occurred_us,
        filled_at_us=leg_out.filled_us,
        hedge=leg_out.hedge,
        portfolio=trade.portfolio,
        undefined=undefined,
    )


def decode_leg_out(raw: bytes, key: str) -> tuple[str | None, LegOut]:
    """The trade id (None where the element has none) and the leg-out of an element of the leg-out list.

    Raises WireError naming key, field and value.
    """
    document = decode(LegOutDocument, raw, key)
    return (None if document.trade_id is UNSET else str(document.trade_id)), leg_out_of(document)


def encode_leg_out(trade: Trade, leg_out: LegOut) -> bytes:
    """The element of the leg-out list."""
    return encode(leg_out_document(trade, leg_out))


def _entry_price(leg: Leg, trade: TradeDocument | None) -> Decimal:
    if trade is None:
        return ZERO
    return trade.entry_long_price if leg is Leg.LONG else trade.entry_short_price
