"""What every endpoint of the API has in common: exact numbers, bounded pages, and errors that name field and value.

Decimals are JSON strings with all their digits, times ISO-8601 with `Z`, undefined values null (rulings 1-3). A page
is found by a cursor on an indexed time, so the last page costs what the first does. Unknown parameters are refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

import django_filters
import msgspec
from django import forms
from django.core.exceptions import ValidationError as InvalidValue
from django.db import models
from django.db.models import Model, QuerySet
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework import permissions, serializers, viewsets
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from paperdesk.columns import description_of, name_of
from paperdesk.mirror import DIGITS, ExactDecimalField, JsonTextField, window_note
from results.domain.units import PLACES, plain, text_of

PAGE_ROWS = 100
PAGE_ROWS_MAX = 1_000
PAGING_PARAMETERS = frozenset({"cursor", "page_size"})


@extend_schema_field({"type": "string", "format": "decimal", "example": "61800.2"})
class ExactDecimal(serializers.Field):
    """A number as text with all its digits; it is only ever read."""

    def to_representation(self, value: Decimal) -> str:
        """Plain digits without an exponent or trailing zeros."""
        return text_of(plain(value))


@extend_schema_field({"type": "object", "additionalProperties": True})
class JsonText(serializers.Field):
    """A JSON document that is kept as text, as the document itself; it is only ever read."""

    def to_representation(self, value: str) -> Any:
        """The document; a text that is none stays a text."""
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value


class MirrorSerializer(serializers.ModelSerializer):
    """All columns of a mirrored table under their own names, described with their units."""

    serializer_field_mapping: ClassVar = {
        **serializers.ModelSerializer.serializer_field_mapping,
        ExactDecimalField: ExactDecimal,
        JsonTextField: JsonText,
    }

    def build_standard_field(self, field_name: str, model_field: Any) -> tuple[Any, dict[str, Any]]:
        """The field with its description; nothing is validated, as nothing is written."""
        field_class, options = super().build_standard_field(field_name, model_field)
        if field_class in (ExactDecimal, JsonText):
            options = {"allow_null": model_field.null}
        said = description_of(model_field) or f"{name_of(model_field).capitalize()}."
        return field_class, {**options, "help_text": said, "read_only": True}


def serializer_of(model: type[Model]) -> type[MirrorSerializer]:
    """A serializer of all columns of `model`."""
    meta = type("Meta", (), {"model": model, "fields": "__all__"})
    body = {"Meta": meta, "__doc__": model.__doc__, "__module__": model.__module__}
    return type(f"{model.__name__}Serializer", (MirrorSerializer,), body)


class ViewPermission(permissions.DjangoModelPermissions):
    """Reading takes the `view` permission of the table, as in the admin."""

    perms_map: ClassVar = {method: ["%(app_label)s.view_%(model_name)s"] for method in ("GET", "HEAD", "OPTIONS")}


class NewestFirst(CursorPagination):
    """Pages in the order of the model, which an index has."""

    page_size = PAGE_ROWS
    page_size_query_param = "page_size"
    max_page_size = PAGE_ROWS_MAX
    offset_cutoff = 10_000  # rows of one same instant that a cursor can count

    def get_ordering(self, request: Request, queryset: QuerySet[Model], view: Any) -> tuple[str, ...]:
        """The model's own order."""
        return tuple(str(column) for column in queryset.model._meta.ordering)

    def get_page_size(self, request: Request) -> int:
        """The rows of a page. Raises ValidationError, naming the value, outside 1 to PAGE_ROWS_MAX."""
        text = request.query_params.get("page_size", str(PAGE_ROWS))
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= PAGE_ROWS_MAX):
            raise ValidationError({"page_size": [f"{text!r} is not a whole number from 1 to {PAGE_ROWS_MAX}"]})
        return int(text)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """One page. Raises NotFound for a cursor that this API did not make."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (InvalidValue, ValueError):
            raise NotFound(self.invalid_cursor_message) from None


class ExactFilter(django_filters.NumberFilter):
    """Compares a decimal column; a number that the column could not hold is refused."""

    field_class = forms.DecimalField

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=DIGITS, decimal_places=PLACES, **options)

    def get_max_validator(self) -> None:
        """None: the number of digits bounds the value."""
        return


class MirrorFilters(django_filters.FilterSet):
    """Filters of a mirrored table. Made by `filters_of`."""


def filters_of(
    model: type[Model],
    *,
    time: str,
    equal: Sequence[str] = (),
    choices: dict[str, Sequence[str]] | None = None,
    ranges: Sequence[str] = (),
    more: dict[str, django_filters.Filter] | None = None,
) -> type[MirrorFilters]:
    """The filters of a table.

    `since` (inclusive) and `until` (exclusive) bound the column `time`; `equal` columns take exact values, `choices`
    one of the listed ones, `ranges` are decimal columns with `<column>_min` and `<column>_max` (both inclusive).
    """
    fields = {field.name: field for field in model._meta.fields}
    found: dict[str, Any] = {**_period(fields[time]), **(more or {})}
    found |= {name: _equal(fields[name]) for name in equal}
    for name, values in (choices or {}).items():
        options = [(str(value), str(value)) for value in values]
        found[name] = django_filters.ChoiceFilter(
            field_name=name, choices=options, help_text=f"{name_of(fields[name])}"
        )
    for name in ranges:
        for ending, lookup in (("min", "gte"), ("max", "lte")):
            said = f"{'At least' if ending == 'min' else 'At most'} this. {description_of(fields[name])}"
            found[f"{name}_{ending}"] = ExactFilter(field_name=name, lookup_expr=lookup, help_text=said)
    meta = type("Meta", (), {"model": model, "fields": []})
    return type(f"{model.__name__}Filters", (MirrorFilters,), {"Meta": meta, **found})


def _period(field: models.Field[Any, Any]) -> dict[str, django_filters.Filter]:
    kind = django_filters.IsoDateTimeFilter if isinstance(field, models.DateTimeField) else django_filters.DateFilter
    said = f"{{}} of `{field.name}`: ISO-8601, UTC unless it says otherwise."
    return {
        "since": kind(field_name=field.name, lookup_expr="gte", help_text=said.format("Inclusive start")),
        "until": kind(field_name=field.name, lookup_expr="lt", help_text=said.format("Exclusive end")),
    }


def _equal(field: models.Field[Any, Any]) -> django_filters.Filter:
    kinds: dict[type, type[django_filters.Filter]] = {
        models.UUIDField: django_filters.UUIDFilter,
        models.BooleanField: django_filters.BooleanFilter,
    }
    kind = kinds.get(type(field), django_filters.CharFilter)
    return kind(field_name=field.name, help_text=description_of(field) or f"Exact {name_of(field)}.")


class NamedErrors(DjangoFilterBackend):
    """Filters that refuse what they do not know, and say which parameter and which value."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Model], view: Any) -> QuerySet[Model]:
        """The rows asked for. Raises ValidationError keyed by the parameters that are wrong."""
        filters = self.get_filterset(request, queryset, view)
        refuse_unknown(request, known={*filters.filters, *PAGING_PARAMETERS})
        if not filters.is_valid():
            raise ValidationError({name: _with_value(name, said, request) for name, said in filters.errors.items()})
        return filters.qs


def refuse_unknown(request: Request, known: set[str]) -> None:
    """Raises ValidationError, keyed by name, for query parameters that are not known."""
    if wrong := {name: [_unknown(name, known)] for name in request.query_params if name not in known}:
        raise ValidationError(wrong)


def _with_value(name: str, sentences: Sequence[str], request: Request) -> list[str]:
    return [f"{name} is {request.query_params.get(name)!r}: {sentence}" for sentence in sentences]


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known)) or 'none'}"
    return f"there is no parameter {name!r}; {hint}"


class MirrorViewSet(viewsets.ReadOnlyModelViewSet):
    """A mirrored table: a list, newest first, and a row by its key."""

    permission_classes: ClassVar = [ViewPermission]
    filter_backends: ClassVar = [NamedErrors]
    pagination_class = NewestFirst

    def get_object(self) -> Any:
        """The row. Raises NotFound, which says so where rows of its age were removed."""
        try:
            return super().get_object()
        except Http404 as missing:
            raise NotFound(f"{missing} {window_note()}".strip()) from None
