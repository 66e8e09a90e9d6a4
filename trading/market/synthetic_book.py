"""The book of one synthetic instrument: ten levels a side on a grid, and the events that its changes make.

Prices are whole ticks and quantities whole lots; both become text only in events. The ask is always one grid step
above the bid, so the book never crosses. Changes of depth are collected and sent as one diff, as venues do.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Literal

from trading.domain.events import BookDiff, BookSnapshot, Level, MarketEvent, Print, TopOfBook
from trading.domain.instruments import Instrument

LEVELS = 10
GRID_BPS = 0.5
LOTS_MIN = 20


class Steps:
    """Whole multiples of a tick size or lot step as plain decimal text: 618002 of 0.1 is "61800.2"."""

    def __init__(self, step: Decimal) -> None:
        sign, digits, exponent = step.normalize().as_tuple()
        power = int(exponent)
        self._units = int("".join(map(str, digits))) * 10 ** max(power, 0)
        self._decimals = max(-power, 0)
        self._scale = 10**self._decimals

    def text(self, count: int) -> str:
        """The number that `count` steps are."""
        whole, fraction = divmod(count * self._units, self._scale)
        return f"{whole}.{fraction:0{self._decimals}d}" if self._decimals else str(whole)


class SyntheticBook:
    """Ladders around a fair price. `notional_usd` is about what rests at each level."""

    def __init__(self, instrument: Instrument, price: float, notional_usd: float, random: Random) -> None:
        self.instrument = instrument.id
        self._random = random
        self._prices = Steps(instrument.tick_size)
        self._quantities = Steps(instrument.lot_step)
        self._tick = float(instrument.tick_size)
        self._grid = max(1, round(price * GRID_BPS / 10_000 / self._tick))
        self._nominal_lots = max(LOTS_MIN, round(notional_usd / price / float(instrument.lot_step)))
        self._last_id = 0
        self._print_id = 0
        self._bid = 0
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._changed_bids: set[int] = set()
        self._changed_asks: set[int] = set()
        self._top_changed = False
        self.quote(price)

    def quote(self, fair_price: float) -> None:
        """Follows the fair price once it has left the spread by half a grid step; refreshes a level otherwise."""
        fair = fair_price / self._tick
        slack = self._grid / 2
        if not self._bids or not self._bid - slack <= fair <= self._bid + self._grid + slack:
            self._move(int(fair // self._grid) * self._grid)
        else:
            self._refresh()

    def snapshot(self, time_us: int) -> list[MarketEvent]:
        """The whole book, and its top."""
        self._forget_changes()
        return [
            BookSnapshot(
                self.instrument,
                time_us,
                [self._level(price, lots) for price, lots in sorted(self._bids.items(), reverse=True)],
                [self._level(price, lots) for price, lots in sorted(self._asks.items())],
                self._last_id,
            ),
            self._top(time_us),
        ]

    def changes(self, time_us: int) -> list[MarketEvent]:
        """What changed since the last diff: a diff, and the top of book if that changed too."""
        events: list[MarketEvent] = []
        if self._changed_bids or self._changed_asks:
            self._last_id += 1
            bids = [self._level(price, self._bids.get(price, 0)) for price in sorted(self._changed_bids)]
            asks = [self._level(price, self._asks.get(price, 0)) for price in sorted(self._changed_asks)]
            events.append(BookDiff(self.instrument, time_us, bids, asks, self._last_id, self._last_id))
        if self._top_changed:
            events.append(self._top(time_us))
        self._forget_changes()
        return events

    def print_at_best(self, time_us: int, aggressor: Literal["buy", "sell"], fraction: float) -> list[MarketEvent]:
        """A market order that takes a fraction of the best level (at least a lot, never all of it)."""
        sells = aggressor == "sell"
        side, changed, price = (
            (self._bids, self._changed_bids, self._bid)
            if sells
            else (self._asks, self._changed_asks, self._bid + self._grid)
        )
        lots = min(max(1, round(side[price] * fraction)), side[price] - 1)
        if lots < 1:
            return []
        side[price] -= lots
        changed.add(price)
        self._print_id += 1
        price_text, lots_text = self._level(price, lots)
        printed = Print(self.instrument, time_us, self._print_id, price_text, lots_text, aggressor)
        return [printed, self._top(time_us)]

    def mark_price(self) -> str:
        """The price at which the venue marks positions: its best bid."""
        return self._prices.text(self._bid)

    def _move(self, bid: int) -> None:
        bids = {bid - step * self._grid for step in range(LEVELS)}
        asks = {bid + (step + 1) * self._grid for step in range(LEVELS)}
        self._bid = bid
        self._bids = self._moved(self._bids, bids, self._changed_bids)
        self._asks = self._moved(self._asks, asks, self._changed_asks)
        self._top_changed = True

    def _moved(self, held: dict[int, int], wanted: set[int], changed: set[int]) -> dict[int, int]:
        changed |= held.keys() ^ wanted
        return {price: held[price] if price in held else self._drawn_lots() for price in sorted(wanted)}

    def _refresh(self) -> None:
        """New orders at one level, and at a best level that prints have thinned out."""
        step = min(int(self._random.expovariate(0.5)), LEVELS - 1)
        if self._random.random() < 0.5:
            self._renew(self._bids, self._changed_bids, self._bid - step * self._grid, step == 0)
        else:
            self._renew(self._asks, self._changed_asks, self._bid + (step + 1) * self._grid, step == 0)

    def _renew(self, side: dict[int, int], changed: set[int], price: int, is_best: bool) -> None:
        side[price] = self._drawn_lots()
        changed.add(price)
        self._top_changed |= is_best

    def _drawn_lots(self) -> int:
        return max(LOTS_MIN, round(self._nominal_lots * self._random.uniform(0.7, 1.3)))

    def _level(self, price: int, lots: int) -> Level:
        return self._prices.text(price), self._quantities.text(lots)

    def _top(self, time_us: int) -> TopOfBook:
        self._top_changed = False
        ask = self._bid + self._grid
        return TopOfBook(
            self.instrument, time_us, *self._level(self._bid, self._bids[self._bid]), *self._level(ask, self._asks[ask])
        )

    def _forget_changes(self) -> None:
        self._changed_bids.clear()
        self._changed_asks.clear()
        self._top_changed = False
