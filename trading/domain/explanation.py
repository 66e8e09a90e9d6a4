"""Why an order was filled, in a sentence that a trader understands.

Filled at 12:00:01.234: 3.1 of the 15 ahead (20% = 3) had traded.
"""

from __future__ import annotations

from decimal import Decimal

from trading.domain.evidence import Evidence, QueueEvidence, WalkEvidence
from trading.domain.orders import Side
from trading.domain.units import datetime_of, plain

MICROSECONDS_PER_MS = 1_000
HUNDRED = Decimal(100)


def explained(evidence: Evidence | None, side: Side, filled_us: int, quantity: Decimal, order_quantity: Decimal) -> str:
    """The sentence for a fill of `quantity` of an order of `order_quantity`, both in base asset."""
    part = "Filled" if quantity == order_quantity else f"Filled {_shown(quantity)} of {_shown(order_quantity)}"
    beginning = f"{part} at {_clock(filled_us)}"
    if evidence is None:
        return f"{beginning}; no evidence was kept."
    if isinstance(evidence, WalkEvidence):
        return f"{beginning}: {_walked(evidence, side, filled_us)}."
    return f"{beginning}: {_queued(evidence)}."


def _queued(evidence: QueueEvidence) -> str:
    decisive = evidence.decisive
    progress = (
        f"{_shown(evidence.volume)} of the {_shown(evidence.depth)} ahead "
        f"({_percent(evidence.threshold_fraction)} = {_shown(evidence.threshold)}) had traded"
    )
    match evidence.filled_by:
        case "through" if evidence.through is not None and evidence.through == decisive:
            return f"a print at {_shown(decisive.price)} went through its price; until then {progress}"
        case "through" if evidence.through is not None and decisive is not None:
            return (
                f"{_shown(decisive.counted)} was printed at {_shown(decisive.price)}; "
                f"nothing was ahead since a print at {_shown(evidence.through.price)} had gone through its price"
            )
        case "front":
            return "nothing was ahead of it, so the first print at its price was its turn"
        case _:
            return progress


def _walked(evidence: WalkEvidence, side: Side, filled_us: int) -> str:
    book_side = "asks" if side is Side.BUY else "bids"
    prices = [price for price, _ in evidence.levels]
    if evidence.levels_count == 1:
        took = f"it took {_shown(evidence.quantity)} at {_shown(prices[0])}, one level of the {book_side}"
    else:
        took = (
            f"it took {_shown(evidence.quantity)} from {evidence.levels_count} levels of the {book_side}, "
            f"{_shown(prices[0])} to {_shown(prices[-1])}"
        )
    age_ms = (filled_us - evidence.book_us) // MICROSECONDS_PER_MS
    return f"{took}; the book was {age_ms:,} ms old" if age_ms > 0 else f"{took}, as the book had just changed"


def _clock(time_us: int) -> str:
    moment = datetime_of(time_us)
    return f"{moment:%H:%M:%S}.{moment.microsecond // MICROSECONDS_PER_MS:03d}"


def _shown(value: Decimal) -> str:
    return f"{plain(value):,f}"


def _percent(fraction: Decimal) -> str:
    return f"{_shown(fraction * HUNDRED)}%"
