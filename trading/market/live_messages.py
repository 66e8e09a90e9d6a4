"""What ccxt's unified structures mean as market events. Pure functions.

ccxt gives prices and amounts as binary floats; `repr` gives back the digits that the exchange wrote. Amounts of
derivatives are contracts: times `contract_size` they are base asset. All prices of one book get the same number of
decimals, because a book's prices are keyed by their text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from trading.domain.events import BookSnapshot, FundingRate, Level, Print, TopOfBook
from trading.domain.instruments import Instrument

LEVELS_MAX = 50
_HOURS = re.compile(r"^(\d+)h$")


def symbol_of(instrument: Instrument) -> str:
    """ccxt's unified symbol: "BTC/USDT:USDT" for a linear perpetual, "BTC/USDT" for spot."""
    spot = f"{instrument.base_asset}/{instrument.quote_asset}"
    return spot if instrument.contract_type == "spot" else f"{spot}:{instrument.quote_asset}"


def book_events(
    instrument: str, order_book: dict[str, Any], contract_size: Decimal, number: int, now_us: int
) -> list[BookSnapshot | TopOfBook]:
    """The best levels as a snapshot, and their top; nothing while a side is empty."""
    event_us = time_of(order_book, now_us)
    bids = _levels(order_book["bids"], contract_size)
    asks = _levels(order_book["asks"], contract_size)
    if not bids or not asks:
        return []
    return [
        BookSnapshot(instrument, event_us, bids, asks, number),
        TopOfBook(instrument, event_us, *bids[0], *asks[0]),
    ]


def print_of(instrument: str, trade: dict[str, Any], contract_size: Decimal, now_us: int) -> Print | None:
    """A print of ccxt's trade structure; None if the aggressor's side is not told."""
    side = trade.get("side")
    if side not in ("buy", "sell"):
        return None
    quantity = f"{exact(trade['amount']) * contract_size:f}"
    price = f"{exact(trade['price']):f}"
    return Print(instrument, time_of(trade, now_us), print_id_of(str(trade.get("id"))), price, quantity, side)


def funding_of(instrument: Instrument, rate: dict[str, Any], mark_price: str | None, now_us: int) -> FundingRate | None:
    """The funding of ccxt's funding rate structure; None while rate, settlement instant or any mark is missing.

    `mark_price` is used where the exchange does not tell its own.
    """
    mark = f"{exact(rate['markPrice']):f}" if rate.get("markPrice") else mark_price
    settlement_ms = rate.get("fundingTimestamp")
    if rate.get("fundingRate") is None or settlement_ms is None or mark is None:
        return None
    interval = _HOURS.match(str(rate.get("interval")))
    hours = int(interval[1]) if interval else instrument.funding_interval_hours
    rate_text = f"{exact(rate['fundingRate']):f}"
    return FundingRate(instrument.id, time_of(rate, now_us), rate_text, hours, mark, int(settlement_ms) * 1_000)


def time_of(structure: dict[str, Any], now_us: int) -> int:
    """The exchange's time of a structure in microseconds, at most now; now where it tells none."""
    stamp_ms = structure.get("timestamp")
    return min(int(stamp_ms) * 1_000, now_us) if stamp_ms else now_us


def exact(number: float | int | str) -> Decimal:
    """The decimal that a float was read from."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def print_id_of(text: str) -> int:
    """The exchange's id as a number; one that is none becomes 63 bits of its hash."""
    if text.isascii() and text.isdigit():
        return int(text)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _levels(levels: Sequence[Sequence[Any]], contract_size: Decimal) -> list[Level]:
    prices = [exact(level[0]) for level in levels[:LEVELS_MAX]]
    decimals = max((-int(price.as_tuple().exponent) for price in prices), default=0)
    return [
        (f"{price:.{max(decimals, 0)}f}", f"{exact(level[1]) * contract_size:f}")
        for price, level in zip(prices, levels, strict=False)
    ]
