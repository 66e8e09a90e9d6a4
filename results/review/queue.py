"""The queue of review cases: which are to be looked at first, and how many there are, without reading the table.

The order is severity, then age. Each stream of it, the cases of one severity and one state, is a range of an index in
the queue's own order (`ReviewCase.Meta.indexes`); a page takes the streams one after the other and merges the states.
So neither a page nor a count reads more than its bound, however many cases there are.

Filters of several columns would leave it to the database along which of their indexes it walks, and SQLite, which knows
no value's frequency, takes the one of a common value: 300 ms to find that nothing matches. So a filter asks past the
indexes (`past_index`), and the streams are those of the rarest value that was asked for (`rarest`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.core.paginator import Page
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Concat

from paperdesk.bounded_list import ROWS_COUNTED_MAX, BoundedPaginator, bounded
from results.domain.review import CaseState, Severity
from results.review_models import Review, ReviewCase

UNDECIDED = (CaseState.OPEN, CaseState.PROPOSED)
GRAVEST_FIRST = tuple(sorted(Severity, reverse=True))


class Streams:
    """Cases in the queue's order. `cases` may be filtered by anything; its states and severities are the ones given."""

    def __init__(
        self,
        cases: QuerySet[ReviewCase],
        states: Iterable[CaseState] = UNDECIDED,
        severities: Iterable[Severity] = GRAVEST_FIRST,
    ) -> None:
        self._streams = [
            [cases.filter(state=state, severity=severity).order_by("opened_at", "trade_id") for state in states]
            for severity in severities
        ]

    def counted(self, most: int) -> int:
        """How many there are; counting ends at `most`."""
        counted = 0
        for stream in (one for of_severity in self._streams for one in of_severity):
            counted += stream[: most - counted].count()
            if counted >= most:
                break
        return counted

    def between(self, start: int, end: int) -> list[ReviewCase]:
        """The cases at these places of the queue, from 0."""
        found: list[ReviewCase] = []
        for of_severity in self._streams:
            wanted = end - len(found)
            if wanted <= 0:
                break
            merged = heapq.merge(*(stream[:wanted] for stream in of_severity), key=_by_age)
            found += list(merged)[:wanted]
        return found[start:]


class QueuePaginator(BoundedPaginator):
    """Pages of the queue."""

    def __init__(self, cases: QuerySet[ReviewCase], per_page: int, streams: Streams) -> None:
        super().__init__(cases, per_page)
        self._streams = streams

    @cached_property
    def count(self) -> int:
        """The number of cases that can be paged through."""
        return bounded(self._streams.counted)

    def page(self, number: Any) -> Page[ReviewCase]:
        """A page of cases, already read."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        return self._get_page(self._streams.between(start, start + self.per_page), number, self)


def past_index(cases: QuerySet[ReviewCase], column: str, value: str) -> QuerySet[ReviewCase]:
    """The cases with this text in a column, found without an index of it."""
    return cases.alias(**{f"{column}_past_index": Concat(column, Value(""))}).filter(**{f"{column}_past_index": value})


def rarest(asked: Mapping[str, str], states: Iterable[CaseState]) -> dict[str, str]:
    """Of columns with an index, and the values asked for, the one that fewest cases in these states have."""
    in_states = ReviewCase.objects.filter(state__in=[*states]).order_by()

    def some(column: str) -> int:
        return in_states.filter(**{column: asked[column]})[:ROWS_COUNTED_MAX].count()

    found = min(asked, key=some) if len(asked) > 1 else next(iter(asked), None)
    return {found: asked[found]} if found else {}


def waiting_for(user: Any, cases: QuerySet[ReviewCase]) -> QuerySet[ReviewCase]:
    """Those with a proposal of somebody else: the user may decide on them, if he has the right to."""
    of_others = Review.objects.filter(pk=OuterRef("review_id")).exclude(maker_id=user.pk)
    return cases.filter(Exists(of_others), state=CaseState.PROPOSED)


def proposals_of(cases: Sequence[ReviewCase]) -> dict[Any, Review]:
    """The proposals that the cases name, by their ids, in one query."""
    named = [case.review_id for case in cases if case.review_id]
    return {made.pk: made for made in Review.objects.filter(pk__in=named)} if named else {}


def _by_age(case: ReviewCase) -> tuple[Any, Any]:
    return case.opened_at, case.trade_id
