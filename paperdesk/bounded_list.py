"""Lists of tables that grow for ever: pages are counted up to a bound, the table never is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.text import capfirst

from paperdesk.combinations import Narrowing, NewestRows, combination_of

ROWS_COUNTED_MAX = 2_000


class AtLeast(int):
    """A count that stopped at its bound; it shows as "more than 2000"."""

    def __str__(self) -> str:
        return f"more than {int(self):d}"


def bounded(counting: Callable[[int], int]) -> int:
    """What `counting` counts, when it ends one after ROWS_COUNTED_MAX."""
    counted = counting(ROWS_COUNTED_MAX + 1)
    return AtLeast(ROWS_COUNTED_MAX) if counted > ROWS_COUNTED_MAX else counted


class BoundedPaginator(Paginator):
    """Counts at most ROWS_COUNTED_MAX rows: what lies behind them is reached by filters and search, not by paging."""

    @cached_property
    def count(self) -> int:
        """The number of rows that can be paged through."""

        def counted(most: int) -> int:
            some = self.object_list[:most]
            return len(some) if isinstance(some, list) else some.count()

        return bounded(counted)


class _Keys(list):
    """Keys of rows where Django's list has a query."""

    def _clone(self) -> list[Any]:
        return self


def _turned(column: str) -> str:
    return column.removeprefix("-") if column.startswith("-") else f"-{column}"


def refuse_nul(asked: Mapping[str, Sequence[str]]) -> None:
    """Raise IncorrectLookupParameters for a text with the character NUL. No row has one, and PostgreSQL does not even
    take it as a question."""
    if any("\0" in value for values in asked.values() for value in values):
        raise IncorrectLookupParameters


class BoundedChangeList(ChangeList):
    """A list that reads one page of rows, also when it believes that there is only one."""

    queryset: Any
    result_list: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = capfirst(self.opts.verbose_name_plural)

    def get_filters(self, request: HttpRequest) -> Any:
        """The filters."""
        refuse_nul(self.filter_params)
        return super().get_filters(request)

    def get_ordering_field(self, field_name: Any) -> Any:
        """The column to sort by; None for one that is not offered: an address cannot ask for it either."""
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """The order asked for, or the list's own when nothing that was asked for is offered: an index has the list's
        own order, and that from the other end."""
        asked, own = super().get_ordering(request, queryset), [*self._get_default_ordering()]
        if own and asked[0] == _turned(own[0]):
            return [_turned(column) for column in own]
        return own if {*asked} <= {"pk", "-pk"} or asked[0] == own[0] else asked

    def get_results(self, request: HttpRequest) -> None:
        """Take one page; without pages (few rows) the query is bounded as well."""
        matching = self.queryset
        if combination_of(self.model) and not self.query:
            self.queryset = _Keys(self._keys(request))
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.result_list[: self.list_per_page]
        if self.queryset is not matching:
            self.result_list = self._rows(self.result_list)
            self.queryset = matching
        self.full_result_count = self.result_count  # the search box then shows no second count

    def _keys(self, request: HttpRequest) -> list[Any]:
        """The keys of all rows that can be paged through, in order."""
        own = self._get_default_ordering()
        oldest_first = self.get_ordering(request, self.root_queryset)[0] != own[0]
        narrowing = Narrowing.all_of(spec.narrowing(self.model) for spec in self.filter_specs)
        return NewestRows(self.root_queryset, own, oldest_first=oldest_first).keys(narrowing, ROWS_COUNTED_MAX + 1)

    def _rows(self, keys: list[Any]) -> list[Any]:
        """The rows of these keys, in their order; one that is gone by now is left out."""
        wanted = [self.model._meta.pk.to_python(key) for key in keys]
        found = {row.pk: row for row in self.root_queryset.filter(pk__in=keys).order_by()[: len(keys)]}
        return [found[key] for key in wanted if key in found]
