"""What a resting order sees: the prints that count for it, and how its shadows fare by the same prints.

A witness begins when its order joins the queue. While the order rests it is shown what the order counts; afterwards,
filled or cancelled, it is shown each print whole until `until_us`, as if the order still rested: that tells when a
longer queue would have filled it. Its size is bounded, because the checkpoint carries it over a restart.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.domain.evidence import PRINTS_KEPT, CountedPrint, FilledBy, QueueEvidence
from trading.domain.orders import Leg, Order, QueuePosition, Role, Side
from trading.domain.shadow import UNFILLED, ShadowFill, judged
from trading.domain.units import ZERO, plain


class Witness(msgspec.Struct):
    """One resting order's. `moved`: it has seen something since its last checkpoint, until which it has watched."""

    trade_id: str
    order_id: str
    exchange: str
    symbol: str
    leg: Leg
    role: Role
    side: Side
    price: Decimal
    quantity: Decimal
    depth: Decimal
    threshold_fraction: Decimal
    accepted_us: int
    book_us: int
    book_state: str
    leg_out_ms: int
    until_us: int
    is_resting: bool = True
    moved: bool = True
    checkpoint_us: int = 0
    volume: Decimal = ZERO
    shadow_us: tuple[int | None, ...] = UNFILLED
    prints_count: int = 0
    prints_quantity: Decimal = ZERO
    first_prints: list[CountedPrint] = []
    last_prints: list[CountedPrint] = []
    through: CountedPrint | None = None

    @property
    def is_decided(self) -> bool:
        """Whether every shadow has filled."""
        return None not in self.shadow_us

    def count(self, print_id: int, event_us: int, price: Decimal, quantity: Decimal, counted: Decimal) -> None:
        """Takes in a print that the resting order counted, `counted` of its `quantity`."""
        seen = CountedPrint(print_id, event_us, price, quantity, counted)
        self.prints_count += 1
        self.prints_quantity += counted
        if len(self.first_prints) < PRINTS_KEPT:
            self.first_prints.append(seen)
        else:
            self.last_prints.append(seen)
            del self.last_prints[:-PRINTS_KEPT]
        if self.through is None and price != self.price:
            self.through = seen
        self.judge(price, counted, event_us)

    def judge(self, price: Decimal, counted: Decimal, event_us: int) -> None:
        """Judges the shadows by a print at or through the price."""
        is_through = price != self.price
        if not is_through:
            self.volume += counted
        self.shadow_us = judged(self.shadow_us, self.depth, self.volume, is_through, event_us)
        self.moved = True

    def evidence(self, queue: QueuePosition) -> QueueEvidence:
        """Why the order was filled now, its queue position being `queue`."""
        filled_by: FilledBy = "threshold" if self.depth else "front"
        return QueueEvidence(
            filled_by="through" if self.through else filled_by,
            depth=self.depth,
            threshold_fraction=self.threshold_fraction,
            threshold=plain(self.threshold_fraction * self.depth),
            volume=queue.cumulative_volume,
            accepted_us=self.accepted_us,
            book_us=self.book_us,
            book_state=self.book_state,
            prints_count=self.prints_count,
            prints_quantity=self.prints_quantity,
            first_prints=tuple(self.first_prints),
            last_prints=tuple(self.last_prints),
            through=self.through,
        )

    def shadow_fill(self, at_us: int) -> ShadowFill:
        """What the shadows came to by `at_us`."""
        return ShadowFill(
            trade_id=self.trade_id,
            order_id=self.order_id,
            exchange=self.exchange,
            symbol=self.symbol,
            leg=self.leg,
            role=self.role,
            side=self.side,
            price=self.price,
            quantity=self.quantity,
            depth=self.depth,
            volume=self.volume,
            accepted_us=self.accepted_us,
            leg_out_ms=self.leg_out_ms,
            filled_us=self.shadow_us,
            watched_until_us=at_us,
        )


def witness_of(
    trade_id: str, order: Order, book_us: int, book_state: str, leg_out_ms: int, patience_us: int
) -> Witness:
    """The witness of an order that has just joined the queue; it watches for `patience_us` from the acceptance."""
    queue = order.queue
    assert queue is not None and order.accepted_us is not None, f"order {order.id} rests nowhere"
    return Witness(
        trade_id=trade_id,
        order_id=order.id,
        exchange=order.exchange,
        symbol=order.symbol,
        leg=order.leg,
        role=order.role,
        side=order.side,
        price=order.price,
        quantity=order.quantity,
        depth=queue.resting_depth,
        threshold_fraction=queue.fill_threshold_fraction,
        accepted_us=order.accepted_us,
        book_us=book_us,
        book_state=book_state,
        leg_out_ms=leg_out_ms,
        until_us=order.accepted_us + patience_us,
    )
