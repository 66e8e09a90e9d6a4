"""What each portfolio has taken from a book since the feed last updated the level.

Liquidity is exclusive within a portfolio and shared between portfolios, which are separate worlds (ruling 10). A
level is fresh again when a depth message names it, when a snapshot comes, and when a top of book shows another
quantity at it or a best price beyond it. A top of book that repeats the quantity says nothing new: venues send both
sides when either changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from trading.domain.events import BookDiff, BookSnapshot, FeedGap, Level, TopOfBook
from trading.domain.orders import Side
from trading.domain.units import ZERO

BookEvent = TopOfBook | BookSnapshot | BookDiff | FeedGap
LevelKey = tuple[Side, Decimal]  # Side.BUY: a bid


class Liquidity:
    """The quantities taken of one instrument's book: portfolio -> level -> (taken, what the level showed then)."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[LevelKey, tuple[Decimal, Decimal]]] = {}

    def untaken(
        self, portfolio: str, side: Side, levels: Iterable[tuple[Decimal, Decimal]]
    ) -> Iterator[tuple[Decimal, Decimal]]:
        """The levels of the bids (`buy`) or asks without what the portfolio has taken of them."""
        mine = self.taken.get(portfolio)
        if not mine:
            yield from levels
            return
        for price, quantity in levels:
            taken = mine.get((side, price))
            yield price, quantity if taken is None else max(ZERO, quantity - taken[0])

    def take(self, portfolio: str, side: Side, price: Decimal, quantity: Decimal, level_quantity: Decimal) -> None:
        """Notes that the portfolio took `quantity` of a level that shows `level_quantity`."""
        mine = self.taken.setdefault(portfolio, {})
        before, _ = mine.get((side, price), (ZERO, ZERO))
        mine[side, price] = (before + quantity, level_quantity)

    def release(self, event: BookEvent) -> None:
        """Forgets what was taken of the levels that the feed has updated."""
        for portfolio, mine in list(self.taken.items()):
            if isinstance(event, TopOfBook):
                _release_top(mine, event)
            elif isinstance(event, BookDiff):
                _release_named(mine, Side.BUY, event.bids)
                _release_named(mine, Side.SELL, event.asks)
            else:
                mine.clear()
            if not mine:
                del self.taken[portfolio]


def _release_named(mine: dict[LevelKey, tuple[Decimal, Decimal]], side: Side, levels: list[Level]) -> None:
    for price, _ in levels:
        mine.pop((side, Decimal(price)), None)


def _release_top(mine: dict[LevelKey, tuple[Decimal, Decimal]], top: TopOfBook) -> None:
    bid, ask = Decimal(top.bid), Decimal(top.ask)
    best = {Side.BUY: (bid, Decimal(top.bid_quantity)), Side.SELL: (ask, Decimal(top.ask_quantity))}
    for (side, price), (_, level_quantity) in list(mine.items()):
        best_price, best_quantity = best[side]
        beyond = price > best_price if side is Side.BUY else price < best_price
        if beyond or (price == best_price and level_quantity != best_quantity):
            del mine[side, price]
