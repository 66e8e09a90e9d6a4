"""Each kind of break in plain words, with its size; what is rounded stays on its side of what is allowed."""

from decimal import Decimal

import msgspec
import pytest

from results.domain.break_words import sentence_of, short, size_of
from results.domain.breaks import REASONS, Break, BreakKind

SLIPPED = Break(
    id="1", trade_id="2", result_id="3", portfolio="strategy", exchange="binance", symbol="BTCUSDT", leg="long",
    kind=BreakKind.ADVERSE_SLIPPAGE, is_failure=True, expected=Decimal(40_000), actual=Decimal("40049.6"),
    discrepancy=Decimal("49.6"), tolerance=Decimal(5), reason="Slippage too high", found_us=0,
)  # fmt: skip


def made(kind: BreakKind, expected: str, actual: str, tolerance: str, **changes: object) -> Break:
    figures = {"expected": Decimal(expected), "actual": Decimal(actual), "tolerance": Decimal(tolerance)}
    return msgspec.structs.replace(SLIPPED, **{"kind": kind, "reason": REASONS[kind], **figures, **changes})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (SLIPPED, "Slippage of 12.4 bps on binance, allowed are 5"),  # 49.6 / 40000 = 0.00124
        (
            made(BreakKind.ADVERSE_SLIPPAGE, "40000", "40020.01", "5"),
            "Slippage of 5.002 bps on binance, allowed are 5",  # 5.0025, and 5.0 would look like no break
        ),
        (
            made(BreakKind.PRICE_IMPROVEMENT, "40000", "39960", "5"),
            "A price 10 bps better than requested on binance",
        ),
        (
            made(BreakKind.LATENCY, "500", "900", "500", reason="Latency too high: execution"),
            "Execution latency of 900 ms on binance, allowed are 500",
        ),
        (made(BreakKind.MISSING_RESULT, "1", "0", "0"), "An order of the long leg on binance has no result"),
        (made(BreakKind.DUPLICATE_RESULT, "1", "3", "0"), "An order of the long leg on binance has 3 results"),
        (
            made(BreakKind.DUPLICATE_RESULT, "0", "1", "0"),
            "A result on binance names an order that the trade does not have",
        ),
        (
            made(BreakKind.QUANTITY_MISMATCH, "0.4", "0.50", "0"),
            "An order on binance filled 0.4, its result says 0.5, allowed is 0",
        ),
        (
            made(BreakKind.QUANTITY_MISMATCH, "0", "-0.001", "0", result_id=None),
            "The long leg on binance still holds 0.001 after the close, allowed is 0",
        ),
        (
            made(BreakKind.PNL_RESIDUAL, "0", "-0.00123", "0.001", exchange=None, leg=None),
            "The P&L is 0.0012 USD off the sum of its terms, allowed are 0.001",
        ),
        (msgspec.structs.replace(SLIPPED, actual=None), "Slippage too high on binance"),
    ],
)
def test_each_kind_has_its_sentence(found: Break, sentence: str) -> None:
    assert sentence_of(found) == sentence


def test_the_size_is_in_the_unit_of_the_tolerance() -> None:
    size = size_of(SLIPPED)
    assert (size.amount, size.tolerance, size.unit, size.times) == (Decimal("12.4"), Decimal(5), "bps", Decimal("2.48"))
    nothing_allowed = size_of(made(BreakKind.QUANTITY_MISMATCH, "0.4", "0.5", "0"))
    assert (nothing_allowed.unit, nothing_allowed.times) == ("base asset", None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("0.04", "0.04"),
        ("12.3456", "12.3"),
        ("-0.0002", "-0.0002"),
        ("0.008", "0.008"),
        ("0.0837", "0.084"),
    ],
)
def test_a_short_number_never_looks_like_none(value: str, text: str) -> None:
    assert short(Decimal(value)) == text
