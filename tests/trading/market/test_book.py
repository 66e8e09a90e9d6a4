"""The book: lazily applied diffs, joining, gaps, and the newer top of book over the depth."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.events import BookDiff, BookSnapshot, FeedGap, Level, Print, TopOfBook
from trading.domain.orders import Side
from trading.market.book import PENDING_MAX, TOP_LAG_US_MAX, Book
from trading.market.errors import MixedPriceTexts

INSTRUMENT = "binance:BTCUSDT"
BIDS: list[Level] = [("99.50", "2.0"), ("99.00", "3.0"), ("9.00", "1.0")]
ASKS: list[Level] = [("100.00", "1.0"), ("100.50", "4.0")]


def snapshot(last_id: int = 10, event_us: int = 1_000) -> BookSnapshot:
    return BookSnapshot(INSTRUMENT, event_us, BIDS, ASKS, last_id)


def spot_diff(first: int, last: int, bids: list[Level] | None = None, event_us: int = 1_000) -> BookDiff:
    return BookDiff(INSTRUMENT, event_us, bids or [], [], first, last)


def perpetual_diff(previous: int, first: int, last: int, bids: list[Level] | None = None) -> BookDiff:
    return BookDiff(INSTRUMENT, 1_000, bids or [], [], first, last, previous)


def top(bid: str, bid_quantity: str, ask: str, ask_quantity: str, event_us: int = 1_000) -> TopOfBook:
    return TopOfBook(INSTRUMENT, event_us, bid, bid_quantity, ask, ask_quantity)


def book_of(*events: TopOfBook | BookSnapshot | BookDiff | FeedGap | Print) -> Book:
    book = Book(INSTRUMENT, age_us_max=5_000_000)
    for event in events:
        book.apply(event)
    return book


def bids_of(book: Book) -> list[tuple[Decimal, Decimal]]:
    return list(book.levels(Side.BUY))


def decimals(levels: list[tuple[str, str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in levels]


def test_a_snapshot_gives_levels_best_first_and_exact_prices() -> None:
    book = book_of(snapshot())
    assert bids_of(book) == decimals([("99.50", "2"), ("99", "3"), ("9", "1")])  # 9.00 sorts as a number, not as text
    assert list(book.levels(Side.SELL)) == decimals([("100", "1"), ("100.5", "4")])
    assert (book.best_bid, book.best_ask) == (Decimal("99.50"), Decimal(100))
    assert book.state(1_000) == "ok"


def test_depth_is_found_by_number_whatever_its_spelling() -> None:
    book = book_of(snapshot())
    assert book.depth_at(Side.BUY, Decimal(99)) == 3
    assert book.depth_at(Side.BUY, Decimal("9.90E+1")) == 3
    assert book.depth_at(Side.BUY, Decimal("99.001")) == 0
    assert book.depth_at(Side.SELL, Decimal("100.5")) == 4


def test_prints_do_not_change_a_book() -> None:
    book = book_of(snapshot(), Print(INSTRUMENT, 9_000, 1, "99.50", "2", "sell"))
    assert (book.event_us, bids_of(book)[0]) == (1_000, (Decimal("99.5"), Decimal(2)))


def test_spot_diffs_join_the_snapshot_that_they_overlap() -> None:
    early = spot_diff(5, 10, [("99.50", "7.0")])  # the snapshot (10) has it already
    first = spot_diff(9, 12, [("99.50", "5.0")])
    book = book_of(early, first, snapshot(10), spot_diff(13, 13, [("99.25", "1.0")]))
    assert book.state(1_000) == "ok"
    assert bids_of(book)[:2] == decimals([("99.5", "5"), ("99.25", "1")])


def test_spot_diff_that_begins_right_after_the_snapshot_joins() -> None:
    assert book_of(snapshot(10), spot_diff(11, 12)).state(1_000) == "ok"


def test_spot_diff_that_leaves_out_a_number_after_the_snapshot_is_a_gap() -> None:
    assert book_of(snapshot(10), spot_diff(12, 12)).state(1_000) == "gapped"


def test_perpetual_diffs_chain_by_the_previous_id() -> None:
    stale = perpetual_diff(3, 5, 9, [("99.50", "7.0")])
    first = perpetual_diff(9, 10, 15, [("99.50", "5.0")])
    book = book_of(stale, first, snapshot(12), perpetual_diff(15, 40, 50, [("99.25", "1.0")]))
    assert book.state(1_000) == "ok"
    assert bids_of(book)[:2] == decimals([("99.5", "5"), ("99.25", "1")])
    book.apply(perpetual_diff(49, 51, 60))
    assert book.state(1_000) == "gapped"


@pytest.mark.parametrize(
    "broken", [spot_diff(12, 13), FeedGap(INSTRUMENT, 1_000, "away")], ids=["a missing number", "a feed gap"]
)
def test_a_gap_lasts_until_the_next_snapshot_and_forgets_the_depth(broken: BookDiff | FeedGap) -> None:
    book = book_of(snapshot(10), broken)
    assert book.state(1_000) == "gapped"
    assert bids_of(book) == []
    book.apply(top("99.50", "1.0", "100.00", "1.0"))
    assert book.state(1_000) == "gapped"
    book.apply(snapshot(20))
    assert book.state(1_000) == "ok"


def test_a_snapshot_after_a_missing_number_takes_the_diffs_that_came_since() -> None:
    book = book_of(snapshot(10), spot_diff(12, 13), spot_diff(14, 15, [("99.25", "1.0")]), snapshot(13))
    assert book.state(1_000) == "ok"
    assert bids_of(book)[1] == (Decimal("99.25"), Decimal(1))


def test_a_snapshot_older_than_the_diffs_changes_nothing() -> None:
    book = book_of(snapshot(10), spot_diff(11, 20, [("99.50", "5.0")]), snapshot(15), spot_diff(21, 21))
    assert book.state(1_000) == "ok"
    assert bids_of(book)[0] == (Decimal("99.5"), Decimal(5))


def test_an_instrument_with_a_top_of_book_only_is_ok_with_one_level() -> None:
    book = book_of(top("99.50", "2.0", "100.00", "1.0"))
    assert book.state(1_000) == "ok"
    assert bids_of(book) == decimals([("99.5", "2")])
    book.apply(FeedGap(INSTRUMENT, 1_000, "away"))
    assert (book.state(1_000), book.best_bid) == ("gapped", None)
    book.apply(top("99.50", "2.0", "100.00", "1.0"))
    assert book.state(1_000) == "ok"


def test_diffs_without_a_snapshot_are_no_book() -> None:
    assert book_of(spot_diff(1, 2), top("99.50", "2.0", "100.00", "1.0")).state(1_000) == "empty"
    assert Book(INSTRUMENT).state(1_000) == "empty"


def test_the_age_limit_is_of_the_last_message() -> None:
    book = book_of(snapshot())
    assert book.state(1_000 + 5_000_000) == "ok"
    assert book.state(1_001 + 5_000_000) == "stale"


def test_bid_at_or_over_the_ask_is_crossed() -> None:
    assert book_of(top("100.00", "1", "100.00", "1")).state(1_000) == "crossed"
    assert book_of(top("100.01", "1", "100.00", "1")).state(1_000) == "crossed"


def test_a_top_that_repeats_its_prices_rules_again_over_a_depth_that_was_newer() -> None:
    late_us = 1_000 + 2 * TOP_LAG_US_MAX
    book = book_of(snapshot(), top("99.50", "1", "100.00", "1"), spot_diff(11, 11, [("99.75", "1.0")], late_us))
    assert book.best_bid == Decimal("99.75")
    book.apply(top("99.50", "1", "100.00", "1", late_us + 1))
    assert book.best_bid == Decimal("99.50")


def test_the_top_of_book_rules_over_the_first_levels() -> None:
    """The bid fell to 99.00 of which 0.5 is left, the depth does not know it yet."""
    book = book_of(snapshot(), top("99.00", "0.5", "100.00", "8.0"))
    assert bids_of(book) == decimals([("99", "0.5"), ("9", "1")])
    assert book.depth_at(Side.BUY, Decimal("99.50")) == 0
    assert book.depth_at(Side.BUY, Decimal(99)) == Decimal("0.5")
    assert next(book.levels(Side.SELL)) == (Decimal(100), Decimal(8))


def test_a_top_between_the_levels_becomes_the_first_level() -> None:
    book = book_of(snapshot(), top("99.75", "0.5", "100.00", "1.0"))
    assert bids_of(book)[:2] == decimals([("99.75", "0.5"), ("99.5", "2")])


def test_a_top_that_is_much_older_than_the_depth_is_not_believed() -> None:
    newer_us = 1_000 + TOP_LAG_US_MAX + 1
    book = book_of(snapshot(10), top("99.00", "0.5", "100.00", "8.0"), spot_diff(11, 11, event_us=newer_us))
    assert book.best_bid == Decimal("99.50")
    assert book.depth_at(Side.BUY, Decimal("99.50")) == 2


def test_prices_of_unequal_decimals_are_refused() -> None:
    with pytest.raises(MixedPriceTexts, match="99.50 and 99.0 of one book"):
        book_of(BookSnapshot(INSTRUMENT, 1, [("99.50", "1"), ("99.0", "1")], ASKS, 1))


def test_levels_that_were_emptied_do_not_pile_up() -> None:
    book = book_of(snapshot(0))
    for number in range(1, 20 * PENDING_MAX):
        price = f"{number}.00"
        book.apply(spot_diff(2 * number - 1, 2 * number - 1, [(price, "1.0")]))
        book.apply(spot_diff(2 * number, 2 * number, [(price, "0.0")]))
    assert len(book._pending) <= PENDING_MAX
    assert len(book._bids._levels) < 4 * PENDING_MAX
    assert bids_of(book) == decimals([("99.5", "2")])  # 99.00 and 9.00 were emptied on the way


PRICES = st.integers(1, 30).map(lambda ticks: f"{ticks * 5 / 10:.2f}")
QUANTITIES = st.sampled_from(["0.000", "1.000", "2.500", "10.000"])
LEVELS = st.lists(st.tuples(PRICES, QUANTITIES), max_size=6)


@given(start=LEVELS, changes=st.lists(LEVELS, max_size=30), asked=st.sets(st.integers(0, 30)), probe=PRICES)
def test_bulk_application_equals_level_by_level(
    start: list[Level], changes: list[list[Level]], asked: set[int], probe: str
) -> None:
    book = Book(INSTRUMENT)
    book.apply(BookSnapshot(INSTRUMENT, 0, start, ASKS, 0))
    plain = {Decimal(price): Decimal(quantity) for price, quantity in start}
    for number, levels in enumerate(changes, 1):
        book.apply(BookDiff(INSTRUMENT, number, levels, [], number, number))
        for price, quantity in levels:
            plain[Decimal(price)] = Decimal(quantity)
        if number in asked:  # asking in between must not change what comes out
            assert book.depth_at(Side.BUY, Decimal(probe)) == plain.get(Decimal(probe), 0)
    expected = sorted(((price, quantity) for price, quantity in plain.items() if quantity), reverse=True)
    assert bids_of(book) == expected
    assert book.best_bid == (expected[0][0] if expected else None)
