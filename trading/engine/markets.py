"""What the engine knows of each instrument: its book, funding, and the orders that stand in it.

`bid` and `ask` are floats for screening only; what is decided is read from the book, exactly.
`resting` holds limit orders in the order of their acceptance, `waiting` those that want the book: takers with a
remainder, and orders that arrived while the book was unknown. `watched` sees prints for the shadows of ended orders.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from trading.domain.events import FundingRate, TopOfBook
from trading.domain.funding import Basis
from trading.domain.instruments import Instrument, Venue
from trading.domain.spread import FundingTerm
from trading.domain.strategy import Desk
from trading.engine.funding_terms import Funding, FundingTerms
from trading.engine.liquidity import Liquidity
from trading.engine.witnesses import Watched
from trading.engine.working import Working
from trading.market.book import Book

if TYPE_CHECKING:
    from trading.engine.signals import PairSignal


UNKNOWN_BID, UNKNOWN_ASK = 0.0, math.inf  # no spread with them is a number, so none passes a screen


class Market:
    """One instrument."""

    __slots__ = (
        "ask",
        "bid",
        "book",
        "changed",
        "funding",
        "instrument",
        "last_print_id",
        "last_print_us",
        "liquidity",
        "resting",
        "signals",
        "terms",
        "venue",
        "waiting",
        "watched",
    )

    def __init__(self, instrument: Instrument, venue: Venue) -> None:
        self.instrument = instrument
        self.venue = venue
        self.book = Book(instrument.id, venue.book_age_us_max)
        self.bid = UNKNOWN_BID
        self.ask = UNKNOWN_ASK
        self.changed = False  # since the last publication
        self.funding: Funding | None = None
        self.terms = FundingTerms()
        self.last_print_id = 0
        self.last_print_us = 0
        self.resting: list[Working] = []
        self.waiting: list[Working] = []
        self.watched = Watched()
        self.liquidity = Liquidity()
        self.signals: list[PairSignal] = []

    def retune(self, instrument: Instrument, venue: Venue) -> None:
        """Takes in new settings of the instrument and its venue; book, orders and funding stay."""
        self.instrument, self.venue = instrument, venue
        self.book.grow_stale_after(venue.book_age_us_max)

    def reprice(self, top: TopOfBook) -> None:
        """Takes in other best prices, for the signals of its pairs."""
        self.bid, self.ask = float(top.bid), float(top.ask) or UNKNOWN_ASK  # 0: an empty side
        for signal in self.signals:
            signal.look()

    @property
    def funding_term(self) -> FundingTerm | None:
        """The next settlement's rate, or None for spot and while none was announced."""
        return self.funding.term if self.funding else None

    def announce(self, event: FundingRate) -> bool:
        """Takes in the rate of the next settlement. Returns whether its instant was not known before."""
        term = FundingTerm(Decimal(event.rate), event.interval_hours, event.next_settlement_us)
        self.funding = Funding(term, Decimal(event.mark_price))
        return self.terms.learn(self.funding, Basis.ANNOUNCED, event.event_us)


def markets_of(desk: Desk) -> dict[str, Market]:
    """A market for every declared instrument, by instrument id."""
    return {each.id: Market(each, desk.venue(each.venue)) for each in desk.instruments}
