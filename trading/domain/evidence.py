"""Why an order was filled: what it waited behind and which prints counted, or which levels it took.

A fill of a resting order keeps the depth ahead at entry, the threshold, and the prints that counted, the first and
the last `PRINTS_KEPT` of them with the number and the sum of all; the last one listed decided. A fill that walked the
book keeps the levels taken. Prices are quote per base, quantities base asset, times microseconds of event time.
Invariant: the quantities, costs and fees of an order's fills add up to the order's own.
"""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Literal

import msgspec

from trading.domain.orders import Leg, Liquidity, Order, Role, Side
from trading.domain.units import round12

PRINTS_KEPT = 8  # at each end
LEVELS_KEPT = 20  # the best ones, and the last
FILL_NAMESPACE = uuid.UUID("51a8c7d6-0f0c-5c9b-8b0b-3a4d0c6f2e91")

FilledBy = Literal["threshold", "through", "front"]


class CountedPrint(msgspec.Struct, frozen=True):
    """A print that an order counted: `counted` is the part of it that no other order of the portfolio had used."""

    print_id: int
    event_us: int
    price: Decimal
    quantity: Decimal
    counted: Decimal


class QueueEvidence(msgspec.Struct, frozen=True, tag_field="kind", tag="queue"):
    """A fill from the queue. `threshold` is fraction * depth; `volume` is what had traded at the price by then.

    `filled_by` tells how its turn came: "threshold" was reached, a print (`through`, the first such) went "through" the
    price, or nothing was ahead ("front"). Where fills are as large as what is printed, the last print listed filled it.
    """

    filled_by: FilledBy
    depth: Decimal
    threshold_fraction: Decimal
    threshold: Decimal
    volume: Decimal
    accepted_us: int
    book_us: int
    book_state: str
    prints_count: int
    prints_quantity: Decimal
    first_prints: tuple[CountedPrint, ...]
    last_prints: tuple[CountedPrint, ...]
    through: CountedPrint | None = None

    @property
    def decisive(self) -> CountedPrint | None:
        """The print that filled the order: of a whole fill the one that crossed the threshold or went through."""
        seen = self.last_prints or self.first_prints
        return seen[-1] if seen else None

    @property
    def prints_omitted(self) -> int:
        """How many prints between the first and the last ones are only in the sums."""
        return self.prints_count - len(self.first_prints) - len(self.last_prints)


class WalkEvidence(msgspec.Struct, frozen=True, tag_field="kind", tag="walk"):
    """A fill from the book: the levels taken, best first (price, quantity); `limit` None for a market order."""

    levels: tuple[tuple[Decimal, Decimal], ...]
    levels_count: int
    quantity: Decimal
    cost: Decimal
    limit: Decimal | None
    book_us: int
    book_state: str


Evidence = QueueEvidence | WalkEvidence


class OrderFill(msgspec.Struct, frozen=True):
    """One fill of an order: `order` as it is after the fill, and what this fill added to it."""

    id: str
    trade_id: str
    order: Order
    price: Decimal
    quantity: Decimal
    fee: Decimal
    filled_us: int
    liquidity: Liquidity
    evidence: Evidence | None

    @property
    def leg(self) -> Leg:
        """The order's leg."""
        return self.order.leg

    @property
    def role(self) -> Role:
        """The order's role."""
        return self.order.role

    @property
    def side(self) -> Side:
        """The order's side."""
        return self.order.side


def fill_between(
    trade_id: str, version: int, before: Order | None, after: Order, evidence: Evidence | None
) -> OrderFill | None:
    """The fill that led from one state of an order to the next, None if there was none.

    `version` is that of the trade with the fill in it: an order is filled at most once in each.
    """
    quantity = after.filled_quantity - (before.filled_quantity if before else 0)
    if not quantity or after.filled_us is None or after.liquidity is None:
        return None
    cost = abs(after.cash - (before.cash if before else 0))
    return OrderFill(
        id=str(uuid.uuid5(FILL_NAMESPACE, f"{after.id}:{version}")),
        trade_id=trade_id,
        order=after,
        price=round12(cost / quantity),
        quantity=quantity,
        fee=after.fee - (before.fee if before else 0),
        filled_us=after.filled_us,
        liquidity=after.liquidity,
        evidence=evidence,
    )


def levels_kept(levels: tuple[tuple[Decimal, Decimal], ...]) -> tuple[tuple[Decimal, Decimal], ...]:
    """The levels worth keeping: the best ones, and the last."""
    return levels if len(levels) <= LEVELS_KEPT else (*levels[: LEVELS_KEPT - 1], levels[-1])


def encode_evidence(evidence: Evidence) -> str:
    """The evidence as compact JSON: decimals are strings with their digits, times integer microseconds."""
    return msgspec.json.encode(evidence).decode()


def decode_evidence(text: str) -> Evidence:
    """The inverse of `encode_evidence`; unknown fields are ignored. Raises msgspec.DecodeError."""
    return msgspec.json.decode(text, type=Evidence)
