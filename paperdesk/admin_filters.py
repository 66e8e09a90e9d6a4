"""Filters of the admin's lists. None of them reads a table to learn which values there are."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from paperdesk.known_values import known_values

PERIODS: dict[str, tuple[str, datetime.timedelta]] = {
    "hour": ("Past hour", datetime.timedelta(hours=1)),
    "day": ("Past 24 hours", datetime.timedelta(days=1)),
    "week": ("Past 7 days", datetime.timedelta(days=7)),
    "month": ("Past 30 days", datetime.timedelta(days=30)),
}


class _Filter(SimpleListFilter):
    """`matching` narrows the rows to a chosen value, `choices_now` lists the values."""

    matching: Callable[[QuerySet[Model], str], QuerySet[Model]]
    choices_now: Callable[[], Iterable[tuple[str, str]]]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """The values to choose from."""
        return type(self).choices_now()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        """The chosen rows; a value that is not in the list narrows too, to whatever rows it has."""
        value = self.value()
        return queryset if value is None else type(self).matching(queryset, value)


def _made(title: str, parameter: str, choices: Callable[[], Iterable[tuple[str, str]]], matching: Any) -> type[_Filter]:
    body = {
        "title": title,
        "parameter_name": parameter,
        "choices_now": staticmethod(choices),
        "matching": staticmethod(matching),
    }
    return type(f"{parameter.title()}Filter", (_Filter,), body)


def period_filter(column: str) -> type[_Filter]:
    """Rows whose time (or date) `column` lies in the past hour, day, week or month, up to now."""

    def matching(rows: QuerySet[Model], value: str) -> QuerySet[Model]:
        if value not in PERIODS:
            return rows.none()
        start: datetime.datetime | datetime.date = timezone.now() - PERIODS[value][1]
        if rows.model._meta.get_field(column).get_internal_type() == "DateField":
            start = start.date()  # type: ignore[union-attr]
        return rows.filter(**{f"{column}__gte": start})

    return _made("period", "period", lambda: [(key, text) for key, (text, _) in PERIODS.items()], matching)


def listed_filter(column: str, values: Iterable[str], title: str = "") -> type[_Filter]:
    """Rows with one of the values that the domain knows, e.g. a state."""
    choices = [(str(value), str(value).replace("_", " ")) for value in values]
    return _made(title or column.replace("_", " "), column, lambda: choices, _equal(column))


def found_filter(model: type[Model], column: str, title: str = "") -> type[_Filter]:
    """Rows with one of the values that `model` has in `column`; an index of that model must begin with it."""

    def choices() -> list[tuple[str, str]]:
        return [(value, value) for value in known_values(model, column)]

    return _made(title or column.replace("_", " "), column, choices, _equal(column))


def venue_filter(model: type[Model]) -> type[_Filter]:
    """Trades with a leg at the venue, long or short."""

    def choices() -> list[tuple[str, str]]:
        venues = {*known_values(model, "long_exchange"), *known_values(model, "short_exchange")}
        return [(venue, venue) for venue in sorted(venues)]

    def matching(rows: QuerySet[Model], value: str) -> QuerySet[Model]:
        return rows.filter(Q(long_exchange=value) | Q(short_exchange=value))

    return _made("venue, either leg", "venue", choices, matching)


def _equal(column: str) -> Callable[[QuerySet[Model], str], QuerySet[Model]]:
    return lambda rows, value: rows.filter(**{column: value})
