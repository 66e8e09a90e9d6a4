"""Filters of the admin's lists. None of them reads a table to learn which values there are."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from paperdesk.combinations import NOTHING, Narrowing
from paperdesk.known_values import known_values

PERIODS: dict[str, tuple[str, datetime.timedelta]] = {
    "hour": ("Past hour", datetime.timedelta(hours=1)),
    "day": ("Past 24 hours", datetime.timedelta(days=1)),
    "week": ("Past 7 days", datetime.timedelta(days=7)),
    "month": ("Past 30 days", datetime.timedelta(days=30)),
}


LEGS = ("long_exchange", "short_exchange")
Narrowed = Callable[[type[Model], str], Narrowing]
Choices = Callable[[], Iterable[tuple[str, str]]]


class _Filter(SimpleListFilter):
    """`narrowed` says what a chosen value asks of a row of a model, `choices_now` lists the values."""

    narrowed: Narrowed
    choices_now: Choices

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """The values to choose from."""
        return type(self).choices_now()

    def narrowing(self, model: type[Model]) -> Narrowing:
        """What the chosen value asks, if any is; one that is not in the list asks for whatever rows it has."""
        value = self.value()
        return Narrowing() if value is None else type(self).narrowed(model, value)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        """The chosen rows."""
        return queryset.filter(self.narrowing(queryset.model).condition())


def _made(title: str, parameter: str, choices: Choices, narrowed: Narrowed) -> type[_Filter]:
    body = {
        "title": title,
        "parameter_name": parameter,
        "choices_now": staticmethod(choices),
        "narrowed": staticmethod(narrowed),
    }
    return type(f"{parameter.title()}Filter", (_Filter,), body)


def period_filter(column: str) -> type[_Filter]:
    """Rows whose time (or date) `column` lies in the past hour, day, week or month, up to now."""

    def narrowed(model: type[Model], value: str) -> Narrowing:
        if value not in PERIODS:
            return Narrowing(since=NOTHING)
        start: datetime.datetime | datetime.date = timezone.now() - PERIODS[value][1]
        if model._meta.get_field(column).get_internal_type() == "DateField":
            start = start.date()  # type: ignore[union-attr]
        return Narrowing(since={f"{column}__gte": start})

    return _made("period", "period", lambda: [(key, text) for key, (text, _) in PERIODS.items()], narrowed)


def listed_filter(column: str, values: Iterable[str], title: str = "", empty: str = "") -> type[_Filter]:
    """Rows with one of the values that the domain knows, e.g. a state. `empty` is what an empty text is called."""
    choices = [(str(value), str(value).replace("_", " ")) for value in ((empty,) if empty else ()) + tuple(values)]

    def narrowed(model: type[Model], value: str) -> Narrowing:
        return Narrowing(equal=[((column,), "" if value == empty else value)])

    return _made(title or column.replace("_", " "), column, lambda: choices, narrowed)


def yes_or_no_filter(column: str, title: str = "") -> type[_Filter]:
    """Rows of which `column` is true, or those of which it is false."""
    choices = [("yes", "yes"), ("no", "no")]

    def narrowed(model: type[Model], value: str) -> Narrowing:
        known = {"yes": True, "no": False}
        return Narrowing(equal=[((column,), known[value])]) if value in known else Narrowing(since=NOTHING)

    return _made(title or column.replace("_", " "), column, lambda: choices, narrowed)


def found_filter(model: type[Model], column: str, title: str = "") -> type[_Filter]:
    """Rows with one of the values that `model` has in `column`; an index of that model must begin with it."""

    def choices() -> list[tuple[str, str]]:
        return [(value, value) for value in known_values(model, column)]

    return _made(title or column.replace("_", " "), column, choices, _equal(column))


def venue_filter(trades: type[Model]) -> type[_Filter]:
    """Trades with a leg at the venue, long or short."""
    return _made(
        "venue, either leg", "venue", lambda: _venues(trades), lambda model, value: Narrowing(equal=[(LEGS, value)])
    )


def venue_of_leg_filter(trades: type[Model]) -> type[_Filter]:
    """Rows of a leg at the venue, of those where `trades` have legs."""
    return _made("venue", "exchange", lambda: _venues(trades), _equal("exchange"))


def _venues(trades: type[Model]) -> list[tuple[str, str]]:
    return [(venue, venue) for venue in sorted({name for leg in LEGS for name in known_values(trades, leg)})]


def _equal(column: str) -> Narrowed:
    return lambda model, value: Narrowing(equal=[((column,), value)])
