"""The book of one instrument, kept from its top of book, its snapshots and its depth diffs.

Diffs are only checked for their sequence and laid aside (at most PENDING_MAX); they are applied in bulk when
somebody asks for depth, because few messages of a feed are ever asked about.

Joining (Binance's rules): diffs that come before a snapshot wait for it. Where diffs are numbered without gaps
(spot, `previous_id` -1) the first one applied has first_id <= snapshot + 1 <= last_id, and each next
first_id == last_id before + 1. Where a diff names the one before it (perpetual), the first one has
first_id <= snapshot <= last_id, and each next previous_id == last_id before. Anything else is a gap: the book is
unknown until the next snapshot.

The top of book is a stream of its own that reports every change of the best price or quantity, so it rules over
the first level of the depth, unless the depth is more than TOP_LAG_US_MAX newer.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from trading.domain.events import BookDiff, BookSnapshot, FeedGap, MarketEvent, TopOfBook
from trading.domain.orders import Side
from trading.domain.units import ZERO
from trading.market.ladder import Ladder

BookState = Literal["ok", "empty", "gapped", "stale", "crossed"]

PENDING_MAX = 1_000
UNJOINED_MAX = 10_000  # diffs that wait for a snapshot: minutes of a busy stream; older ones are of no use to it
TOP_LAG_US_MAX = 1_000_000
AGE_US_MAX = 5_000_000


class Book:
    """Best prices, depth and levels of one instrument. `age_us_max` is the venue's `book_age_us_max`."""

    def __init__(self, instrument: str, age_us_max: int = AGE_US_MAX) -> None:
        self.instrument = instrument
        self.event_us = 0
        self._age_us_max = age_us_max
        self._bids = Ladder(best_is_highest=True)
        self._asks = Ladder(best_is_highest=False)
        self._top: TopOfBook | None = None
        self._top_rules_until_us = -1
        self._pending: list[BookDiff] = []
        self._unjoined: list[BookDiff] = []
        self._has_depth = False
        self._joined = False
        self._first_diff_due = False
        self._last_id = 0
        self._gapped = False
        self._gap = ""  # what broke
        self._bid: Decimal | None = None
        self._ask: Decimal | None = None
        self._quote_known = False

    def apply(self, event: MarketEvent) -> None:
        """Takes in one event of this instrument; prints and funding rates do not change a book."""
        kind = type(event)
        if kind is TopOfBook:
            self.show_top(event)  # type: ignore[arg-type]
        elif kind is BookDiff:
            self._apply_diff(event)  # type: ignore[arg-type]
        elif kind is BookSnapshot:
            self._apply_snapshot(event)  # type: ignore[arg-type]
        elif kind is FeedGap:
            self._apply_gap(event.reason)  # type: ignore[union-attr]

    def show_top(self, event: TopOfBook) -> bool:
        """Takes in a top of book, the most frequent event by far; whether it has other prices than the one before."""
        before, has_ruled = self._top, self.event_us <= self._top_rules_until_us
        self._top = event
        self.event_us = event.event_us
        self._top_rules_until_us = event.event_us + TOP_LAG_US_MAX
        if self._gapped and not self._has_depth:
            self._gapped = False
        if before is not None and before.bid == event.bid and before.ask == event.ask:
            self._quote_known = self._quote_known and has_ruled
            return False
        self._quote_known = False
        return True

    def grow_stale_after(self, age_us_max: int) -> None:
        """Sets anew how old the book may be, in microseconds."""
        self._age_us_max = age_us_max

    def state(self, now_us: int) -> BookState:
        """Whether the book can be traded on at `now_us`; only "ok" can. Source: ruling 5."""
        if self._gapped:
            return "gapped"
        if self._has_depth and not self._joined:
            return "empty"
        bid, ask = self.best_bid, self.best_ask
        if bid is None or ask is None:
            return "empty"
        if now_us - self.event_us > self._age_us_max:
            return "stale"
        return "crossed" if bid >= ask else "ok"

    def trouble(self, now_us: int) -> str:
        """Why the book cannot be traded on, in words; empty while it can."""
        match self.state(now_us):
            case "gapped":
                return f"the feed has a gap: {self._gap}"
            case "stale":
                return f"nothing came for more than {self._age_us_max / 1_000_000:g} s"
            case "crossed":
                return f"the bid {self.best_bid} is not below the ask {self.best_ask}"
            case "empty" if self._has_depth and not self._joined:
                return "no snapshot of the book has come yet"
            case "empty":
                return "the book has no bid" if self.best_bid is None else "the book has no ask"
        return ""

    @property
    def best_bid(self) -> Decimal | None:
        """The highest bid, exactly as the venue wrote it."""
        if not self._quote_known:
            self._know_quote()
        return self._bid

    @property
    def best_ask(self) -> Decimal | None:
        """The lowest ask, exactly as the venue wrote it."""
        if not self._quote_known:
            self._know_quote()
        return self._ask

    def depth_at(self, side: Side, price: Decimal) -> Decimal:
        """The quantity in base asset that rests at a price on the bids (`buy`) or asks (`sell`), 0 if none."""
        best = self._top_level(side)
        if best is not None:
            if price == best[0]:
                return best[1]
            if _is_better(side, price, best[0]):
                return ZERO
        self._settle()
        return self._ladder(side).quantity(price)

    def levels(self, side: Side) -> Iterator[tuple[Decimal, Decimal]]:
        """(price, quantity) of the bids (`buy`) or asks (`sell`), best first, quantities above zero."""
        best = self._top_level(side)
        if best is not None and best[1]:
            yield best  # most orders need no more
        self._settle()
        for price, quantity in self._ladder(side).levels():
            if best is None or not (price == best[0] or _is_better(side, price, best[0])):
                yield price, quantity

    def _apply_diff(self, event: BookDiff) -> None:
        self.event_us = event.event_us
        self._has_depth = True
        if not self._joined:
            self._unjoined.append(event)
            if len(self._unjoined) > UNJOINED_MAX:
                del self._unjoined[: UNJOINED_MAX // 2]
            return
        self._chain(event)
        if event.event_us > self._top_rules_until_us:
            self._quote_known = False

    def _apply_snapshot(self, event: BookSnapshot) -> None:
        if self._joined and event.last_id < self._last_id:
            return  # a snapshot that the diffs have overtaken adds nothing
        self._bids.replace(event.bids)
        self._asks.replace(event.asks)
        self.event_us = max(self.event_us, event.event_us)
        self._last_id = event.last_id
        self._has_depth = self._joined = self._first_diff_due = True
        self._gapped = False
        self._pending.clear()
        waiting, self._unjoined = self._unjoined, []
        for number, diff in enumerate(waiting):
            self._chain(diff)
            if not self._joined:
                self._unjoined = waiting[number:]
                break
        self._quote_known = False

    def _apply_gap(self, reason: str) -> None:
        self._forget_depth(reason)
        self._unjoined.clear()
        self._top = None
        self._top_rules_until_us = -1

    def _chain(self, diff: BookDiff) -> None:
        """Lays a diff aside if it follows on the one before, drops it if the snapshot has it, else breaks."""
        numbered = diff.previous_id == -1
        if self._first_diff_due:
            if diff.last_id < self._last_id + numbered:
                return
            follows = diff.first_id <= self._last_id + numbered or diff.previous_id == self._last_id
            self._first_diff_due = not follows
        else:
            follows = (diff.first_id - 1 if numbered else diff.previous_id) == self._last_id
        if not follows:
            self._forget_depth(f"depth messages are missing after number {self._last_id}")
            self._unjoined = [diff]
            return
        self._last_id = diff.last_id
        self._pending.append(diff)
        if len(self._pending) > PENDING_MAX:
            self._settle()

    def _forget_depth(self, reason: str) -> None:
        self._gapped = True
        self._gap = reason
        self._joined = False
        self._pending.clear()
        self._bids.replace([])
        self._asks.replace([])
        self._quote_known = False

    def _settle(self) -> None:
        """Applies the diffs that were laid aside."""
        if self._pending:
            self._bids.update(diff.bids for diff in self._pending)
            self._asks.update(diff.asks for diff in self._pending)
            self._pending.clear()

    def _know_quote(self) -> None:
        top = self._top
        if top is not None and self._top_rules():
            bid, ask = top.bid, top.ask
        else:
            self._settle()
            bid, ask = self._bids.best() or "", self._asks.best() or ""
        self._bid = Decimal(bid or 0) or None  # a venue writes the price 0 for a side that is empty
        self._ask = Decimal(ask or 0) or None
        self._quote_known = True

    def _top_rules(self) -> bool:
        return not self._joined or self.event_us <= self._top_rules_until_us

    def _top_level(self, side: Side) -> tuple[Decimal, Decimal] | None:
        """The top of book's (price, quantity) of a side, None where the depth is to be believed instead."""
        top = self._top
        if top is None or not self._top_rules():
            return None
        price, quantity = (top.bid, top.bid_quantity) if side is Side.BUY else (top.ask, top.ask_quantity)
        return (Decimal(price), Decimal(quantity))

    def _ladder(self, side: Side) -> Ladder:
        return self._bids if side is Side.BUY else self._asks


def _is_better(side: Side, price: Decimal, than: Decimal) -> bool:
    return price > than if side is Side.BUY else price < than
