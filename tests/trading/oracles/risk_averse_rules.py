"""Why an order fills at another time on hftbacktest: its rules one by one, beside ruling 10's.

Four things differ. Each is a rule that can be switched on for one order of a recording; with none of them the order
fills as ruling 10 says, with all of them as hftbacktest does. The least of them that bring it to hftbacktest's time
are the explanation of a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import combinations

import msgspec

from tests.trading.oracles.paper_attempts import LOT, Attempt
from trading.domain.events import BookDiff, BookSnapshot, MarketEvent, Print
from trading.domain.orders import Side
from trading.market.book import Book

SHRINKS = "the queue shrinks with the depth"
CROSSES = "a book that reaches the price fills, without a print"
DIFFS = "depth is that of the diffs, not of the top of book"
MORE = "more than the queue must trade, not as much"
RULES = (SHRINKS, CROSSES, DIFFS, MORE)


class Joined(msgspec.Struct, frozen=True):
    """The books at the instant of an order's acceptance: what rests at its price, and whether it would cross."""

    depth_of_top: Decimal
    depth_of_diffs: Decimal
    crosses_top: bool
    crosses_diffs: bool


def joined(attempt: Attempt, book: Book, of_diffs: Book) -> Joined:
    """What an order meets on arrival, on our book and on one of the diffs alone."""
    return Joined(
        book.depth_at(attempt.side, attempt.price),
        of_diffs.depth_at(attempt.side, attempt.price),
        reaches(attempt, book.best_ask if attempt.side is Side.BUY else book.best_bid),
        reaches(attempt, of_diffs.best_ask if attempt.side is Side.BUY else of_diffs.best_bid),
    )


def reaches(attempt: Attempt, price: Decimal | None) -> bool:
    """Whether a price of the other side is at the order's or better for it."""
    return price is not None and (price - attempt.price) * attempt.side.sign <= 0


def filled_us(attempt: Attempt, met: Joined, events: Iterable[MarketEvent], rules: Iterable[str]) -> int | None:
    """When the order is filled under these rules besides ruling 10 at a threshold of 1; None: not in its lifetime."""
    shrinks, crosses, diffs, more = (rule in rules for rule in RULES)
    if met.crosses_diffs if diffs else met.crosses_top:
        return attempt.sent_us
    ahead = met.depth_of_diffs if diffs else met.depth_of_top
    for event in events:
        if isinstance(event, Print):
            if event.aggressor == attempt.side.value:
                continue
            price = Decimal(event.price)
            if (price - attempt.price) * attempt.side.sign < 0:
                return event.event_us
            if price == attempt.price:
                ahead -= Decimal(event.quantity)
                if ahead <= -LOT if more else ahead <= 0:
                    return event.event_us
        elif isinstance(event, BookDiff):
            own, other = (event.bids, event.asks) if attempt.side is Side.BUY else (event.asks, event.bids)
            if shrinks:
                ahead = min([ahead, *(Decimal(q) for price, q in own if Decimal(price) == attempt.price)])
            if crosses and any(reaches(attempt, Decimal(price)) and Decimal(q) for price, q in other):
                return event.event_us
    return None


def explanation(
    attempt: Attempt, met: Joined, events: Sequence[MarketEvent], theirs_us: int | None, within_us: int
) -> tuple[str, ...] | None:
    """The least rules of hftbacktest's that bring the order to its time there; None if not even all of them do."""
    for count in range(1, len(RULES) + 1):
        for rules in combinations(RULES, count):
            if is_near(filled_us(attempt, met, events, rules), theirs_us, within_us):
                return rules
    return None


def is_near(one_us: int | None, other_us: int | None, within_us: int) -> bool:
    """Whether both are unknown, or differ by no more than that."""
    if one_us is None or other_us is None:
        return one_us is other_us
    return abs(one_us - other_us) <= within_us


def meetings(events: Sequence[MarketEvent], attempts: Sequence[Attempt]) -> dict[int, Joined]:
    """What each order meets on its arrival, by its number."""
    both, of_diffs = Book("both"), Book("diffs")
    due = sorted(attempts, key=lambda attempt: attempt.sent_us)
    found: dict[int, Joined] = {}
    for event in events:
        while due and due[0].sent_us < event.event_us:
            found[due[0].number] = joined(due[0], both, of_diffs)
            due.pop(0)
        both.apply(event)
        if isinstance(event, BookDiff | BookSnapshot):
            of_diffs.apply(event)
    return found
