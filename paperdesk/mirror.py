"""Mirrored tables: the Django models that define what every durable store keeps.

A mirrored row is written by the pipeline only, never edited. Its columns, in the order of the model's fields, are
the canonical row (`results.domain.canonical`) except the ingestion columns, which tell how it arrived.
"""

from __future__ import annotations

import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import NotSupportedError, models
from django.db.backends.base.base import BaseDatabaseWrapper

from results.domain.units import PLACES

INGESTION_COLUMNS = frozenset({"stream_id", "ingested_at"})
DIGITS = 38
WINDOW = "window"  # among the followers' watermarks: its mark is the first day of which the tables have every row
_OFFSET = 10**DIGITS


def sortable_text(value: Decimal) -> str:
    """A DECIMAL(38,12) as 39 digits whose text order is the numeric order: the scaled integer plus 10^38."""
    return f"{int(value.scaleb(PLACES)) + _OFFSET:039d}"


def decimal_of_sortable(text: str) -> Decimal:
    """The inverse of `sortable_text`, exactly, without trailing zeros."""
    scaled = Decimal(int(text) - _OFFSET).scaleb(-PLACES).normalize()
    return scaled.quantize(Decimal(1)) if scaled.as_tuple().exponent > 0 else scaled  # type: ignore[operator]


class ExactDecimalField(models.DecimalField):
    """DECIMAL(38,12), exact on every database.

    SQLite keeps 15 significant digits of an ordinary DecimalField, and text sorts "10.5" before "9.5"; there the
    value is stored as text that sorts and filters like the number. Source: ruling 1.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = DIGITS, PLACES
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, list(args), kwargs

    def get_internal_type(self) -> str:
        return "ExactDecimalField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "text" if connection.vendor == "sqlite" else f"numeric({DIGITS}, {PLACES})"

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Decimal | None:
        if value is None:
            return None
        if connection.vendor == "sqlite":
            if not isinstance(value, str):
                raise NotSupportedError(f"{self.name} is text on SQLite: sums and averages are made in ClickHouse")
            return decimal_of_sortable(value)
        return decimal_of_sortable(sortable_text(value))

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        number = self.to_python(value)
        return sortable_text(number) if number is not None and connection.vendor == "sqlite" else number

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return value if hasattr(value, "as_sql") else self.get_db_prep_value(value, connection)

    def to_python(self, value: Any) -> Decimal | None:
        """The value as Decimal. Raises ValidationError, naming field and value, over 38 digits or 12 decimals."""
        if value is None:
            return None
        try:
            number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
            if not number.is_finite():
                raise InvalidOperation
            scaled = number.scaleb(PLACES)
            exact = scaled == scaled.to_integral_value() and abs(scaled) < _OFFSET
        except (InvalidOperation, TypeError, ValueError):
            raise ValidationError(f"{self.name}: {value!r} is not a number") from None
        if not exact:
            raise ValidationError(f"{self.name}: {value} has more than {PLACES} decimals or {DIGITS} digits")
        return number


class JsonTextField(models.TextField):
    """A JSON document as the very text that was written: a database's own JSON type would reorder keys and rewrite
    numbers, and the row's hash covers the text."""

    def get_internal_type(self) -> str:
        return "TextField"


class MirroredModel(models.Model):
    """A durable table. `version` grows with each transition, `day` is the UTC day of the first one and never
    changes, `row_hash` is the signed 64-bit hash of the canonical row. `added_columns` came after rows had been
    written: null there, they leave the hash of those rows as it was."""

    added_columns: ClassVar[frozenset[str]] = frozenset()

    version = models.BigIntegerField(help_text="Counts the transitions of this row; the newest wins.")
    day = models.DateField(help_text="UTC day of the row's first version.")
    row_hash = models.BigIntegerField(help_text="Hash of the canonical row, the same in every store.")
    stream_id = models.CharField(max_length=40, help_text="Entry of the outbox stream that carried this version.")
    ingested_at = models.DateTimeField(help_text="When the durable log took this version.")

    class Meta:
        abstract = True
        default_permissions = ("view",)


def window_began() -> datetime.date | None:
    """The first day of which these tables have every row; None while nothing was ever removed from them."""
    marks = apps.get_model("results", "FollowerWatermark")._default_manager.filter(name=WINDOW)
    found = marks.values_list("mark", flat=True).first()
    return None if found is None else datetime.date.fromisoformat(found)


def window_note() -> str:
    """What to say of a row that is not here, where it may be one that was removed; "" where none was."""
    began = window_began()
    if began is None:
        return ""
    return f"Rows of days before {began} are no longer in these tables; ClickHouse and manage.py export have them."
