"""What the list of review cases shows of each, and by what it is filtered. No filter reads the table."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from paperdesk.admin_filters import found_filter
from paperdesk.admin_format import NOTHING, age, utc
from paperdesk.mirror_admin import row_link
from paperdesk.roles import may_decide
from results.domain.breaks import REASONS
from results.domain.review import SEVERITY_OF, CaseState, Severity
from results.models import TradeResult
from results.review.queue import GRAVEST_FIRST, UNDECIDED, past_index, rarest, waiting_for
from results.review_models import Review, ReviewCase

SHOWN = {
    "open": "Undecided",
    "mine": "Undecided, assigned to me",
    "waiting": "Waiting for my decision",
    "resolved": "Resolved",
    "cleared": "Cleared by newer figures",
    "all": "All",
}
STATES_SHOWN = {
    "open": UNDECIDED,
    "mine": UNDECIDED,
    "waiting": (CaseState.PROPOSED,),
    "resolved": (CaseState.RESOLVED,),
    "cleared": (CaseState.CLEARED,),
    "all": tuple(CaseState),
}
WITH_INDEX = ("exchange", "symbol", "kind", "portfolio")
AGED_HOURS = (24, 72)
TONES = {CaseState.OPEN: "bad", CaseState.PROPOSED: "wait", CaseState.RESOLVED: "good", CaseState.CLEARED: "calm"}


def shown_in(request: HttpRequest) -> str:
    """What the list shows: what is undecided, unless something else or a certain trade was asked for."""
    return request.GET.get("show") or ("all" if request.GET.get("q", "").strip() else "open")


def severities_in(request: HttpRequest) -> tuple[Severity, ...]:
    """The severities that the list shows; none for a word that is none."""
    word = request.GET.get("severity")
    return GRAVEST_FIRST if word is None else tuple(each for each in Severity if each.name.lower() == word)


class ShowFilter(SimpleListFilter):
    """Whose turn it is, and what is over."""

    title = "state"
    parameter_name = "show"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """The choices; `open` is chosen at first. Nothing waits for who may not decide."""
        self.chosen = shown_in(request)
        return [(key, words) for key, words in SHOWN.items() if key != "waiting" or may_decide(request.user)]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Each as a link."""
        for key, words in self.lookup_choices:
            address = changelist.get_query_string({self.parameter_name: key})
            yield {"selected": key == self.chosen, "query_string": address, "display": words}

    def queryset(self, request: HttpRequest, queryset: QuerySet[ReviewCase]) -> QuerySet[ReviewCase]:
        """The cases in the states that belong to the choice."""
        cases = queryset.filter(state__in=STATES_SHOWN.get(self.chosen, ()))
        if self.chosen == "mine":
            return cases.filter(assignee=request.user.get_username())
        return waiting_for(request.user, cases) if self.chosen == "waiting" else cases


class SeverityFilter(SimpleListFilter):
    """How grave."""

    title = "severity"
    parameter_name = "severity"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """The severities in words, the gravest first."""
        return [(each.name.lower(), each.name.lower()) for each in GRAVEST_FIRST]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ReviewCase]) -> QuerySet[ReviewCase]:
        """The cases of the chosen one."""
        return queryset if self.value() is None else queryset.filter(severity__in=severities_in(request))


class KindFilter(SimpleListFilter):
    """What the gravest break is."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """The kinds that fail, the gravest first, in the words of their reasons."""
        return [(kind.value, words) for kind, words in REASONS.items() if kind in SEVERITY_OF]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ReviewCase]) -> QuerySet[ReviewCase]:
        """The cases of the chosen one."""
        return queryset if self.value() is None else past_index(queryset, "kind", str(self.value()))


def value_filter(column: str, title: str = "") -> type[SimpleListFilter]:
    """Cases with one of the values that results have in a column."""

    class ValueFilter(found_filter(TradeResult, column, title)):  # type: ignore[misc]
        def queryset(self, request: HttpRequest, queryset: QuerySet[ReviewCase]) -> QuerySet[ReviewCase]:
            return queryset if self.value() is None else past_index(queryset, column, self.value())

    return ValueFilter


def narrowed_in(request: HttpRequest) -> dict[str, str]:
    """The column, and its value, by whose index the list is read: a person's own cases are few, of other filters it is
    the rarest."""
    if shown_in(request) == "mine":
        return {"assignee": request.user.get_username()}
    asked = {column: request.GET[column] for column in WITH_INDEX if column in request.GET}
    return rarest(asked, STATES_SHOWN.get(shown_in(request), ()))


class AgeFilter(SimpleListFilter):
    """Cases that have been waiting for long."""

    title = "age"
    parameter_name = "aged"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        """The ages, in hours."""
        return [(str(hours), f"Over {hours} hours") for hours in AGED_HOURS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ReviewCase]) -> QuerySet[ReviewCase]:
        """The cases that were opened longer ago than that."""
        hours = self.value()
        if hours is None:
            return queryset
        if hours not in map(str, AGED_HOURS):
            return queryset.none()
        return queryset.filter(opened_at__lte=timezone.now() - datetime.timedelta(hours=int(hours)))


@admin.display(description="severity")
def severity(row: ReviewCase) -> str:
    """The severity as a word, which also has a colour."""
    word = Severity(row.severity).name.lower()
    return format_html('<span class="severity severity-{}">{}</span>', word, word)


@admin.display(description="opened")
def opened(row: ReviewCase) -> str:
    """How long ago the case was opened, the exact time on hover."""
    aged = timezone.now() - row.opened_at >= datetime.timedelta(hours=AGED_HOURS[-1])
    tone = "when aged" if aged and row.state in UNDECIDED else "when"
    exactly = utc(row.opened_at)
    words = f"{age(row.opened_at)} ago"
    return format_html('<time class="{}" datetime="{}" title="{}">{}</time>', tone, exactly, exactly, words)


@admin.display(description="trade id")
def trade_id(row: Any) -> str:
    """The link to the case, which remembers what the list was filtered by: previous and next stay within it."""
    kept = {"opts": row._meta, "preserved_filters": row.kept}
    address = add_preserved_filters(kept, row_link("results_reviewcase", row.pk))
    return format_html('<a class="row-id" href="{}" title="{}">{}</a>', address, row.pk, str(row.pk)[:8])


@admin.display(description="instrument")
def instrument(row: ReviewCase) -> str:
    """What was traded, and the venue of the gravest break."""
    return _two_lines(row.symbol, row.exchange or "whole trade")


@admin.display(description="why it failed")
def why(row: ReviewCase) -> str:
    """The reason, which names the gravest break; then how many failed, or that another program says so."""
    reason = row.rejection_reason or "No reason given"
    if not row.kind:
        return _two_lines(reason, "said by another program")
    return _two_lines(reason, f"{row.break_count} failures") if row.break_count > 1 else reason


@admin.display(description="state")
def state(row: Any) -> str:
    """Where the case stands; who proposed what and why, and who approved it."""
    pill = format_html('<span class="pill pill-{}">{}</span>', TONES[CaseState(row.state)], row.state)
    made: Review | None = row.proposal
    if made is None:
        return pill
    verb = "proposed" if made.checker else "proposes"
    told = f"{made.maker} {verb} to {made.resolution}: {made.get_reason_display()}"
    return _two_lines(pill, f"{told}; approved by {made.checker}" if made.checker else told)


@admin.display(description="assigned to")
def assignee(row: ReviewCase) -> str:
    """Who works on it."""
    return row.assignee or NOTHING


def _two_lines(first: str, second: str) -> str:
    return format_html('{}<br><span class="second">{}</span>', first, second)


DISPLAYS = (severity, opened, trade_id, instrument, why, state, assignee)
