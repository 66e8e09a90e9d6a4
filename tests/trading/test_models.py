"""Decimals of the mirror are exact, sort and filter like numbers, on SQLite and on PostgreSQL."""

import itertools
import os
import uuid
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Sum
from django.db.utils import IntegrityError, NotSupportedError
from hypothesis import given
from hypothesis import strategies as st

from paperdesk.mirror import ExactDecimalField, decimal_of_sortable, sortable_text
from tests.web.rows import row
from trading.models import FundingPayment, PaperTrade

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

LARGEST = Decimal("99999999999999999999999999.999999999999")  # 26 + 12 digits
SMALLEST = Decimal("0.000000000001")
NUMBERS = [Decimal(text) for text in ("-10.5", "-9.5", "-0.000000000001", "0", "0.1", "9.5", "10.5", "42495.30")]
NUMBERS = [-LARGEST, *NUMBERS, LARGEST]
exact_decimals = st.decimals(-LARGEST, LARGEST, places=12, allow_nan=False, allow_infinity=False)


def stored(value: Decimal) -> Decimal:
    saved = row(FundingPayment, cash_usd=value)
    saved.save()
    return FundingPayment.objects.get(pk=saved.pk).cash_usd


@pytest.mark.parametrize("value", [*NUMBERS, SMALLEST, Decimal("12345678901234567890.123456789012")])
def test_a_decimal_of_38_digits_comes_back_exactly(value: Decimal) -> None:
    assert stored(value) == value


def test_a_decimal_comes_back_without_exponent_or_trailing_zeros() -> None:
    assert [str(stored(Decimal(text))) for text in ("5E+3", "1.500", "-0", "1E-12")] == ["5000", "1.5", "0", "1E-12"]


def test_rows_sort_by_the_number_and_not_by_its_text() -> None:
    FundingPayment.objects.bulk_create(row(FundingPayment, cash_usd=value) for value in reversed(NUMBERS))
    found = FundingPayment.objects.order_by("cash_usd").values_list("cash_usd", flat=True)
    assert list(found) == NUMBERS


@pytest.mark.parametrize("bound", NUMBERS)
def test_comparisons_hold_exactly_the_numbers_on_their_side(bound: Decimal) -> None:
    FundingPayment.objects.bulk_create(row(FundingPayment, cash_usd=value) for value in NUMBERS)

    def found(**condition: object) -> set[Decimal]:
        return set(FundingPayment.objects.filter(**condition).values_list("cash_usd", flat=True))

    assert found(cash_usd__lt=bound) == {n for n in NUMBERS if n < bound}
    assert found(cash_usd__gte=bound) == {n for n in NUMBERS if n >= bound}
    assert found(cash_usd=bound) == {bound}
    assert found(cash_usd__in=[bound, SMALLEST]) == {bound}
    assert found(cash_usd__range=(bound, LARGEST)) == {n for n in NUMBERS if n >= bound}


def test_a_number_that_differs_in_the_last_place_is_another_number() -> None:
    row(FundingPayment, cash_usd=LARGEST).save()
    assert not FundingPayment.objects.filter(cash_usd=LARGEST - SMALLEST).exists()


def test_null_is_kept_apart_from_zero() -> None:
    PaperTrade.objects.bulk_create([row(PaperTrade, actual_profit_usd=value) for value in (None, Decimal(0))])
    assert PaperTrade.objects.filter(actual_profit_usd__isnull=True).count() == 1
    assert PaperTrade.objects.get(actual_profit_usd=0).actual_profit_usd == 0


def test_queryset_update_stores_the_exact_number() -> None:
    saved = row(FundingPayment)
    saved.save()
    FundingPayment.objects.filter(pk=saved.pk).update(cash_usd=Decimal("-0.000000000001"))
    assert FundingPayment.objects.get(pk=saved.pk).cash_usd == Decimal("-0.000000000001")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Decimal("0.0000000000001"), "cash_usd: 1E-13 has more than 12 decimals or 38 digits"),
        (Decimal("1E+26"), "cash_usd: 1E+26 has more than 12 decimals or 38 digits"),
        (Decimal("NaN"), "cash_usd: Decimal('NaN') is not a number"),
        ("ten", "cash_usd: 'ten' is not a number"),
    ],
)
def test_what_the_column_cannot_hold_is_refused_by_name_and_nothing_is_stored(value: object, said: str) -> None:
    with pytest.raises(ValidationError, match="cash_usd") as refused, transaction.atomic():
        row(FundingPayment, cash_usd=value).save()
    assert refused.value.messages[0].startswith(said)
    assert not FundingPayment.objects.exists()


def test_the_key_of_a_mirrored_row_is_unique() -> None:
    key = uuid.uuid4()
    row(PaperTrade, id=key).save(force_insert=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        row(PaperTrade, id=key).save(force_insert=True)


def test_the_database_is_the_one_that_was_asked_for() -> None:
    asked = os.environ.get("TEST_DATABASE", "sqlite")
    assert connection.vendor == {"sqlite": "sqlite", "postgres": "postgresql"}[asked]


def test_the_column_is_text_on_sqlite_and_numeric_on_postgresql() -> None:
    expected = {"sqlite": "text", "postgresql": "numeric(38, 12)"}[connection.vendor]
    assert PaperTrade._meta.get_field("quantity").db_type(connection) == expected


@given(exact_decimals)
def test_sortable_text_and_back_is_the_same_number(value: Decimal) -> None:
    assert decimal_of_sortable(sortable_text(value)) == value


@given(st.lists(exact_decimals, min_size=2, max_size=6))
def test_sortable_texts_sort_like_their_numbers(values: list[Decimal]) -> None:
    for low, high in itertools.pairwise(sorted(values)):
        assert sortable_text(low) <= sortable_text(high)
        assert (sortable_text(low) == sortable_text(high)) == (low == high)


def test_no_mirrored_column_is_a_float() -> None:
    kinds = {type(field).__name__ for field in PaperTrade._meta.fields}
    assert "FloatField" not in kinds
    assert ExactDecimalField.__name__ in kinds


def test_a_sum_over_exact_decimals_is_refused_where_it_would_be_wrong() -> None:
    row(PaperTrade).save()
    if connection.vendor == "sqlite":
        with pytest.raises(NotSupportedError, match="fees_usd is text on SQLite"):
            PaperTrade.objects.aggregate(total=Sum("fees_usd"))
    else:
        assert PaperTrade.objects.aggregate(total=Sum("fees_usd"))["total"] is not None
