"""The documents' JSON: the one place where their field names meet ours.

    TradeDocument, StateDocument, ...   structs with exactly the documents' fields, then ours   `documents`
    decode_trade(raw, key, portfolio)   raw bytes -> domain value; WireError names key, field, value
    encode_trade(trade, over=raw)       domain value -> bytes; `over` is the record that is rewritten

Invariants: numbers are exact decimals of at most 12 places, seconds have a sibling `_us` (rulings 1 and 2); what
`over` holds and the new value does not change, unknown fields at every level included, keeps its raw bytes.
"""

from trading.stores.wire.portfolio import (
    decode_daily,
    decode_metrics,
    decode_state,
    encode_daily,
    encode_metrics,
    encode_state,
)
from trading.stores.wire.trade import decode_leg_out, decode_trade, encode_leg_out, encode_trade

__all__ = [
    "decode_daily",
    "decode_leg_out",
    "decode_metrics",
    "decode_state",
    "decode_trade",
    "encode_daily",
    "encode_leg_out",
    "encode_metrics",
    "encode_state",
    "encode_trade",
]
