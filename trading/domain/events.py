"""What a market feed delivers: frozen events in event-time order.

`instrument` is "venue:symbol". Times are microseconds UTC of the exchange's clock. Prices and quantities stay
the exchange's own decimal text: most are never calculated with, and those that are become `Decimal` exactly.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Level = tuple[str, str]  # price, quantity; a quantity of zero removes the level


class TopOfBook(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask of an instrument."""

    instrument: str
    event_us: int
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str


class BookSnapshot(msgspec.Struct, frozen=True, gc=False):
    """The whole book (or its best levels) as of `last_id`."""

    instrument: str
    event_us: int
    bids: list[Level]
    asks: list[Level]
    last_id: int


class BookDiff(msgspec.Struct, frozen=True, gc=False):
    """Changed levels. `first_id..last_id` are covered; `previous_id` is the last id of the diff before, or -1
    where the venue numbers its diffs without gaps (then `first_id` must be the last id before plus one)."""

    instrument: str
    event_us: int
    bids: list[Level]
    asks: list[Level]
    first_id: int
    last_id: int
    previous_id: int = -1


class Print(msgspec.Struct, frozen=True, gc=False):
    """A market execution on the tape. `aggressor` is the side that crossed the spread."""

    instrument: str
    event_us: int
    print_id: int
    price: str
    quantity: str
    aggressor: Literal["buy", "sell"]


class FundingRate(msgspec.Struct, frozen=True, gc=False):
    """Funding of a perpetual: the rate of the settlement at `next_settlement_us`, per `interval_hours`."""

    instrument: str
    event_us: int
    rate: str
    interval_hours: int
    mark_price: str
    next_settlement_us: int


class FeedGap(msgspec.Struct, frozen=True, gc=False):
    """The feed of an instrument broke: its book is unknown until the next snapshot."""

    instrument: str
    event_us: int
    reason: str


MarketEvent = TopOfBook | BookSnapshot | BookDiff | Print | FundingRate | FeedGap
