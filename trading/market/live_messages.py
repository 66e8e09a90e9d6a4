"""What ccxt's unified structures mean as market events. Pure functions.

ccxt gives prices and amounts as binary floats; `repr` gives back the digits that the exchange wrote, up to 15
significant ones. Amounts of derivatives are contracts: times `contract_size` they are base asset.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trading.domain.events import Print
from trading.domain.instruments import Instrument


def symbol_of(instrument: Instrument) -> str:
    """ccxt's unified symbol: "BTC/USDT:USDT" for a linear perpetual, "BTC/USDT" for spot."""
    spot = f"{instrument.base_asset}/{instrument.quote_asset}"
    return spot if instrument.contract_type == "spot" else f"{spot}:{instrument.quote_asset}"


def print_of(
    instrument: str, trade: dict[str, Any], contract_size: Decimal, print_id: int, event_us: int
) -> Print | None:
    """A print of ccxt's trade structure; None if the aggressor's side is not told, or if it was no ordinary print
    (Binance's perpetual says so by `X`)."""
    side = trade.get("side")
    if side not in ("buy", "sell") or (trade.get("info") or {}).get("X", "MARKET") != "MARKET":
        return None
    quantity = exact(trade["amount"]) * contract_size
    return Print(instrument, event_us, print_id, text_of(exact(trade["price"])), text_of(quantity), side)


def text_of(number: Decimal) -> str:
    """Plain digits without trailing zeros."""
    return f"{number.normalize():f}"


def exact(number: float | int | str) -> Decimal:
    """The decimal that a float was read from."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
