"""The sentence of each kind of fill."""

from decimal import Decimal as D

import msgspec

from trading.domain.evidence import CountedPrint, Evidence, QueueEvidence, WalkEvidence
from trading.domain.explanation import explained
from trading.domain.orders import Side

NOON_US = 1_723_118_400_000_000  # 2024-08-08 12:00 UTC
FILLED_US = NOON_US + 1_234_999  # shown as .234: a clock does not round up
LAST = CountedPrint(9, FILLED_US, D("49990.0"), D("1.60"), D("1.60"))
QUEUE = QueueEvidence(
    filled_by="threshold",
    depth=D("15.0"),
    threshold_fraction=D("0.20"),
    threshold=D("3"),
    volume=D("3.10"),
    accepted_us=NOON_US,
    book_us=NOON_US,
    book_state="ok",
    prints_count=2,
    prints_quantity=D("3.1"),
    first_prints=(msgspec.structs.replace(LAST, quantity=D("1.5"), counted=D("1.5")), LAST),
    last_prints=(),
)
WALK = WalkEvidence(((D("49980.0"), D(1)),), 1, D(1), D("49980.0"), None, FILLED_US - 12_000, "ok")


def sentence(evidence: Evidence | None, side: Side = Side.BUY, quantity: str = "1", order_quantity: str = "1") -> str:
    return explained(evidence, side, FILLED_US, D(quantity), D(order_quantity))


def test_a_fill_at_the_threshold_tells_what_had_traded_of_what_was_ahead() -> None:
    assert sentence(QUEUE) == "Filled at 12:00:01.234: 3.1 of the 15 ahead (20% = 3) had traded."


def test_a_fill_by_trade_through_names_the_price_that_went_through() -> None:
    through = CountedPrint(10, FILLED_US, D("49989.90"), D("0.1"), D("0.1"))
    evidence = msgspec.structs.replace(
        QUEUE, filled_by="through", volume=D("1.5"), last_prints=(through,), through=through
    )
    assert sentence(evidence) == (
        "Filled at 12:00:01.234: a print at 49,989.9 went through its price; "
        "until then 1.5 of the 15 ahead (20% = 3) had traded."
    )


def test_a_later_part_of_an_order_whose_price_was_gone_through() -> None:
    through = CountedPrint(8, NOON_US, D("49989.90"), D("0.1"), D("0.1"))
    evidence = msgspec.structs.replace(QUEUE, filled_by="through", volume=D("1.6"), through=through)
    assert sentence(evidence, quantity="0.5") == (
        "Filled 0.5 of 1 at 12:00:01.234: 1.6 was printed at 49,990; "
        "nothing was ahead since a print at 49,989.9 had gone through its price."
    )


def test_a_fill_with_nothing_ahead() -> None:
    evidence = msgspec.structs.replace(QUEUE, filled_by="front", depth=D(0), threshold=D(0))
    assert sentence(evidence) == (
        "Filled at 12:00:01.234: nothing was ahead of it, so the first print at its price was its turn."
    )


def test_a_walk_names_the_levels_and_the_age_of_the_book() -> None:
    assert sentence(WALK) == (
        "Filled at 12:00:01.234: it took 1 at 49,980, one level of the asks; the book was 12 ms old."
    )
    deep = msgspec.structs.replace(
        WALK, levels=((D("49980.0"), D("0.4")), (D("49979.5"), D("0.6"))), levels_count=2, book_us=FILLED_US
    )
    assert sentence(deep, Side.SELL) == (
        "Filled at 12:00:01.234: it took 1 from 2 levels of the bids, 49,980 to 49,979.5, as the book had just changed."
    )


def test_a_partial_fill_and_one_without_evidence_say_so() -> None:
    assert sentence(None, quantity="0.5", order_quantity="1.50") == (
        "Filled 0.5 of 1.5 at 12:00:01.234; no evidence was kept."
    )
