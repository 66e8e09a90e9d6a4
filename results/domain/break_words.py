"""Breaks in plain words: what differs, by how much, and how much is allowed. Pure; only what is shown is rounded.

Source: rulings 3 and 25.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from results.domain.breaks import REASONS, Break, BreakKind
from results.domain.outcomes import BPS
from results.domain.units import PLACES, ZERO, plain, text_of

BASE, USD, MILLISECONDS, RESULTS, BASIS_POINTS = "base asset", "USD", "ms", "results", "bps"
UNIT_OF = {
    BreakKind.MISSING_RESULT: RESULTS,
    BreakKind.DUPLICATE_RESULT: RESULTS,
    BreakKind.QUANTITY_MISMATCH: BASE,
    BreakKind.PNL_RESIDUAL: USD,
    BreakKind.ADVERSE_SLIPPAGE: BASIS_POINTS,
    BreakKind.LATENCY: MILLISECONDS,
    BreakKind.PRICE_IMPROVEMENT: BASIS_POINTS,
}


class Size(msgspec.Struct, frozen=True):
    """How large a break is and what is allowed, both in `unit`; `amount` is None where nothing can be measured."""

    amount: Decimal | None
    tolerance: Decimal
    unit: str

    @property
    def times(self) -> Decimal | None:
        """How many times the tolerance; None where nothing at all is allowed, or measured."""
        return self.amount / self.tolerance if self.amount is not None and self.tolerance else None


def size_of(found: Break) -> Size:
    """The size of a break: slippage in bps of the requested price, latency in ms, quantities in base asset, P&L in USD,
    missing and surplus results as their number."""
    return Size(_amount(found), found.tolerance or ZERO, UNIT_OF[found.kind])


def _amount(found: Break) -> Decimal | None:
    if found.expected is None or found.actual is None:
        return None
    apart = abs(found.actual - found.expected)
    if found.kind is BreakKind.LATENCY:
        return found.actual
    if UNIT_OF[found.kind] == BASIS_POINTS:
        return apart / found.expected * BPS if found.expected else None
    return apart


def sentence_of(found: Break) -> str:
    """What differs, as a sentence without its full stop: "Slippage of 12.4 bps on binance, allowed are 5"."""
    size = size_of(found)
    if size.amount is None or found.expected is None or found.actual is None:
        return f"{found.reason or REASONS[found.kind]}{_on(found)}"
    amount, allowed = short(size.amount, size.tolerance), _allowed(size)
    match found.kind:
        case BreakKind.ADVERSE_SLIPPAGE:
            return f"Slippage of {amount} bps{_on(found)}, {allowed}"
        case BreakKind.PRICE_IMPROVEMENT:
            return f"A price {amount} bps better than requested{_on(found)}"
        case BreakKind.LATENCY:
            part = found.reason.partition(": ")[2]
            return f"{f'{part} latency'.strip().capitalize()} of {amount} ms{_on(found)}, {allowed}"
        case BreakKind.MISSING_RESULT:
            return f"An order of the {found.leg} leg{_on(found)} has no result"
        case BreakKind.DUPLICATE_RESULT if not found.expected:
            return f"A result{_on(found)} names an order that the trade does not have"
        case BreakKind.DUPLICATE_RESULT:
            return f"An order of the {found.leg} leg{_on(found)} has {text_of(plain(found.actual))} results"
        case BreakKind.QUANTITY_MISMATCH if found.result_id is None:
            return f"The {found.leg} leg{_on(found)} still holds {amount} after the close, {allowed}"
        case BreakKind.QUANTITY_MISMATCH:
            said, filled = text_of(plain(found.actual)), text_of(plain(found.expected))
            return f"An order{_on(found)} filled {filled}, its result says {said}, {allowed}"
        case _:
            return f"The P&L is {amount} USD off the sum of its terms, {allowed}"


def short(value: Decimal, beside: Decimal = ZERO) -> str:
    """A number with one decimal, a small one with two digits, or with as many as it takes to stay on its side of
    `beside`."""
    for places in range(max(1, 1 - value.adjusted()) if value else 1, PLACES):
        rounded = value.quantize(Decimal(1).scaleb(-places))
        if (rounded > beside, rounded < beside) == (value > beside, value < beside):
            return text_of(plain(rounded))
    return text_of(plain(value))


def _on(found: Break) -> str:
    return f" on {found.exchange}" if found.exchange else ""


def _allowed(size: Size) -> str:
    return f"allowed {'is' if size.tolerance in (0, 1) else 'are'} {text_of(plain(size.tolerance))}"
