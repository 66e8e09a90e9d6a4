"""One side of a book: the wire's price text -> the wire's quantity text.

Invariants: every price of an instrument is written with the same number of decimals ("61800.20", never "61800.2"),
so that text identifies a price, and (length, text) orders prices as numbers do. A level whose quantity is zero
counts as absent; it may stay in the dict until the next sort. Nothing is parsed before somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from trading.domain.events import Level
from trading.domain.units import ZERO
from trading.market.errors import MixedPriceTexts

EMPTY_LEVELS_MAX = 1_000


def decimals_of(price: str) -> int:
    """How many digits a price text has behind the point."""
    return len(price.partition(".")[2])


def is_zero(quantity: str) -> bool:
    """Whether a plain decimal text is zero: "0", "0.000"."""
    return not quantity.strip("0.")


class Ladder:
    """The levels of one side. Bids are best where the price is highest, asks where it is lowest."""

    def __init__(self, best_is_highest: bool) -> None:
        self._best_is_highest = best_is_highest
        self._levels: dict[str, str] = {}
        self._size_max = EMPTY_LEVELS_MAX
        self._ordered: list[str] | None = None

    def replace(self, levels: list[Level]) -> None:
        """Starts anew from a snapshot's levels. Raises MixedPriceTexts, and nothing has changed."""
        if levels:
            decimals = decimals_of(levels[0][0])
            for price, _ in levels:
                if decimals_of(price) != decimals:
                    raise MixedPriceTexts(f"prices {levels[0][0]} and {price} of one book differ in decimals")
        self._levels = dict(levels)
        self._ordered = None

    def update(self, diffs: Iterable[list[Level]]) -> None:
        """Sets the levels of the diffs, one diff after the other. At C speed: the hot path of a replay."""
        for levels in diffs:
            self._levels.update(levels)
        self._ordered = None
        if len(self._levels) > self._size_max:
            self._drop_empty()

    def text_of(self, price: Decimal) -> str:
        """The price as the wire writes it. A price finer than that stays finer, and is no level of this book."""
        decimals = decimals_of(next(iter(self._levels), ""))
        exact = f"{price:.{decimals}f}"
        return exact if Decimal(exact) == price else f"{price:f}"

    def quantity(self, price: Decimal) -> Decimal:
        """The resting quantity at a price in base asset, 0 where there is no level."""
        text = self._levels.get(self.text_of(price))
        return Decimal(text) if text is not None else ZERO

    def best(self) -> str | None:
        """The best price's text, None for an empty side."""
        return next(iter(self._in_order()), None)

    def levels(self) -> Iterator[tuple[Decimal, Decimal]]:
        """(price, quantity) from the best level on; zero quantities are left out."""
        levels = self._levels
        for price in self._in_order():
            yield Decimal(price), Decimal(levels[price])

    def _in_order(self) -> list[str]:
        """The prices that have a quantity, best first.

        The dict is rebuilt in that order: the next sort then meets one long sorted run and is nearly linear.
        """
        if self._ordered is None:
            self._drop_empty()
            prices = sorted(self._levels, reverse=self._best_is_highest)
            prices.sort(key=len, reverse=self._best_is_highest)
            self._levels = {price: self._levels[price] for price in prices}
            self._ordered = prices
        return self._ordered

    def _drop_empty(self) -> None:
        zeros = {quantity for quantity in set(self._levels.values()) if is_zero(quantity)}  # one text, as a rule
        if zeros:
            self._levels = {price: quantity for price, quantity in self._levels.items() if quantity not in zeros}
        self._size_max = 2 * len(self._levels) + EMPTY_LEVELS_MAX
