"""Lists of tables that grow for ever: pages are counted up to a bound, the table never is."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.text import capfirst

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
        return bounded(lambda most: self.object_list[:most].count())


class BoundedChangeList(ChangeList):
    """A list that reads one page of rows, also when it believes that there is only one."""

    result_list: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = capfirst(self.opts.verbose_name_plural)

    def get_ordering_field(self, field_name: Any) -> Any:
        """The column to sort by; None for one that is not offered: an address cannot ask for it either."""
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """The order asked for, or the table's own when nothing that was asked for is offered."""
        asked = super().get_ordering(request, queryset)
        return [*self._get_default_ordering()] if {*asked} <= {"pk", "-pk"} else asked

    def get_results(self, request: HttpRequest) -> None:
        """Take one page; without pages (few rows) the query is bounded as well."""
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.result_list[: self.list_per_page]
        self.full_result_count = self.result_count  # the search box then shows no second count
