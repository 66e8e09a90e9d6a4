"""An order that is under way or at a venue: the engine's own knowledge of it, newer than the stored trade.

Acceptance and queue progress live here and become durable with the trade's next transition, and with the checkpoint
until then. `accepted_us`, `queue` and the fills are in `order`; what is here besides is where it waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading.domain.evidence import Evidence, WalkEvidence
from trading.domain.orders import Liquidity, Order
from trading.domain.witness import Witness

if TYPE_CHECKING:
    from trading.engine.markets import Market
    from trading.engine.portfolio import Portfolio


class Working:
    """One pending order of one portfolio."""

    __slots__ = (
        "arrival_us",
        "fills_whole",
        "market",
        "moved",
        "order",
        "portfolio",
        "step",
        "trade_id",
        "walked",
        "witness",
    )

    def __init__(self, portfolio: Portfolio, trade_id: str, order: Order, market: Market) -> None:
        self.portfolio = portfolio
        self.trade_id = trade_id
        self.order = order
        self.market = market
        self.moved = False  # accepted or further in the queue since the last checkpoint
        self.witness: Witness | None = None  # since it rests
        self.walked: WalkEvidence | None = None  # the last walk of the book
        self.arrival_us = 0  # when it reaches the venue
        self.fills_whole = portfolio.strategy.fill_volume == "whole"
        self.step = portfolio.lot_step(trade_id)  # fills of printed volume are multiples of it

    def leave_market(self) -> None:
        """No longer rests in the queue or waits for the book."""
        for waiting in (self.market.resting, self.market.waiting):
            if self in waiting:
                waiting.remove(self)
        if self.witness is not None:
            self.witness.is_resting = False

    def evidence(self, filled: Order) -> Evidence | None:
        """Why the order was filled just now; `filled` is what it has become."""
        if filled.liquidity is Liquidity.TAKER:
            return self.walked
        return self.witness.evidence(filled.queue) if self.witness and filled.queue else None
