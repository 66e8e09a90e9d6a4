"""ccxt's order book after a message -> what changed since the one before, as events.

ccxt keeps the whole book and hands it over after each message. Sent on are its best LEVELS_MAX levels a side: once as
a snapshot, then as diffs that are numbered without gaps (a level that leaves those levels is removed), and the top
whenever it changed. A message that changed none of them is an empty diff: the book is as fresh as its venue says.

Prices get the decimals of the instrument's tick size, because a book's prices are keyed by their text. Amounts of
derivatives are contracts: times `contract_size` they are base asset.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import islice
from typing import Any

from trading.domain.events import BookDiff, BookSnapshot, Level, MarketEvent, TopOfBook
from trading.domain.instruments import Instrument
from trading.market.errors import MarketError
from trading.market.live_messages import exact, text_of

LEVELS_MAX = 50

Side = dict[float, float]


class BookChanges:
    """The book of one instrument as it was sent last."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._decimals = max(-int(instrument.tick_size.normalize().as_tuple().exponent), 0)
        self._known = False
        self._bids: Side = {}
        self._asks: Side = {}
        self._number = 0
        self._top: tuple[str, str, str, str] | None = None

    def forget(self) -> None:
        """After a gap: the next book is sent as a whole."""
        self._known = False

    def events(self, order_book: dict[str, Any], contract_size: Decimal, event_us: int) -> list[MarketEvent]:
        """What the book's receiver has to know; nothing before both sides were seen.

        Raises MarketError for a price that is finer than the tick size, and nothing has changed.
        """
        bids, asks = _best(order_book["bids"]), _best(order_book["asks"])
        if not self._known and not (bids and asks):
            return []
        known_bids, known_asks = (self._bids, self._asks) if self._known else ({}, {})
        changed_bids = self._changed(known_bids, bids, contract_size)
        changed_asks = self._changed(known_asks, asks, contract_size)
        top = (*self._first(bids, contract_size), *self._first(asks, contract_size))
        self._bids, self._asks = bids, asks
        self._number += 1
        events: list[MarketEvent] = [self._book_event(changed_bids, changed_asks, event_us)]
        if top != self._top or not self._known:
            events.append(TopOfBook(self._instrument.id, event_us, *top))
        self._known, self._top = True, top
        return events

    def _book_event(self, bids: list[Level], asks: list[Level], event_us: int) -> MarketEvent:
        name, number = self._instrument.id, self._number
        if self._known:
            return BookDiff(name, event_us, bids, asks, number, number)
        return BookSnapshot(name, event_us, bids, asks, number)

    def _changed(self, before: Side, after: Side, contract_size: Decimal) -> list[Level]:
        changed = [
            self._level(price, amount, contract_size) for price, amount in after.items() if before.get(price) != amount
        ]
        changed += [(self._price(price), "0") for price in before if price not in after]
        return changed

    def _first(self, side: Side, contract_size: Decimal) -> Level:
        """The best level; "0" for both where the side is empty, as venues write it."""
        for price, amount in side.items():
            return self._level(price, amount, contract_size)
        return "0", "0"

    def _level(self, price: float, amount: float, contract_size: Decimal) -> Level:
        return self._price(price), text_of(exact(amount) * contract_size)

    def _price(self, price: float) -> str:
        text = f"{price:.{self._decimals}f}"
        if float(text) != price:
            name, tick = self._instrument.id, self._instrument.tick_size
            raise MarketError(f"{name}: price {exact(price)} is no multiple of the tick_size {tick} of the settings")
        return text


def _best(side: Iterable[Any]) -> Side:
    return {level[0]: level[1] for level in islice(side, LEVELS_MAX)}
