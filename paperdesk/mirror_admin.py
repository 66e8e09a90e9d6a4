"""The admin of a mirrored table: a list and a page per row, for reading. Nobody adds, changes or deletes a row."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import models
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from paperdesk.admin_format import NOTHING, shown
from paperdesk.bounded_list import BoundedChangeList, BoundedPaginator
from paperdesk.columns import description_of, heading_of, name_of
from paperdesk.list_export import ListExport
from paperdesk.mirror import window_note

RECORD_COLUMNS = ("version", "day", "row_hash", "stream_id", "ingested_at")
BORN_COLUMNS = ("version", "day", "row_hash", "changed_at", "changed_by")
ROWS_A_PAGE = 50


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in any of its usual spellings."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


class MirrorAdmin(ListExport):
    """Read-only lists that stay quick when the table is large.

    columns      the list's columns: names of fields, shown short, and of `further_columns`
    id_columns   UUID columns (or a text key) that the search compares exactly; each has an index
    groups       fieldsets of the row's page; the record's own columns follow by themselves
    sorted_by    the one column that the list may be sorted by: an index begins with it
    history_at   where on a row's page its history is, if it has one
    record_columns    how the row was recorded; shown folded
    further_columns, further_fields    displays besides the model's fields, for `columns` and for `groups`
    """

    columns: ClassVar[Sequence[str]] = ()
    id_columns: ClassVar[Sequence[str]] = ()
    groups: ClassVar[Sequence[tuple[str, Sequence[str]]]] = ()
    sorted_by: ClassVar[str] = ""
    further_columns: ClassVar[Sequence[Callable[[Any], Any]]] = ()
    further_fields: ClassVar[Sequence[Callable[[Any], Any]]] = ()
    history_at: ClassVar[str] = ""
    record_columns: ClassVar[Sequence[str]] = RECORD_COLUMNS

    actions: Any = None
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = ROWS_A_PAGE
    list_max_show_all = 0
    list_select_related = False
    empty_value_display = NOTHING
    change_list_template = "admin/mirror_list.html"
    change_form_template = "admin/mirror_row.html"

    class Media:
        css: ClassVar = {"all": ["paperdesk/mirror-admin.css"]}

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        fields = {field.name: field for field in model._meta.fields}
        self._exact = {name: _display(field, brief=False) for name, field in fields.items()}
        further = {display.__name__: display for display in self.further_columns}
        self.list_display = [further.get(name) or _display(fields[name], brief=True) for name in self.columns]
        self.list_display_links = None
        self.sortable_by = [d for d in self.list_display if d.__name__ == self.sorted_by]
        self.search_fields = list(self.id_columns)
        super().__init__(model, admin_site)

    # Nobody may write, superusers included --------------------------------------------------------------------------
    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: rows come from the engine's log."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never: a wrong row is corrected by a new one, upstream."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """What the filters ask for. Raises IncorrectLookupParameters for anything else: no index would answer it."""
        if lookup not in {getattr(each, "parameter_name", "") for each in self.list_filter}:
            raise IncorrectLookupParameters(lookup)
        return True

    # The list ---------------------------------------------------------------------------------------------------------
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, which says so where rows were removed from its table."""
        return super().changelist_view(request, {"subtitle": window_note() or None, **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        """A list that does not count the table."""
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        """Rows of which an id equals the search text; without a text all rows."""
        text = search_term.strip()
        if not text:
            return queryset, False
        wanted = [Q(**{name: text}) for name in self.id_columns if self._may_hold(name, text)]
        wanted += [Q(**found) for found in self.found_by(text)]
        if not wanted:
            return queryset.none(), False
        condition = wanted[0]
        for other in wanted[1:]:
            condition |= other
        return queryset.filter(condition), False

    def found_by(self, text: str) -> Iterable[dict[str, Any]]:
        """Further exact conditions that a search text may mean."""
        return ()

    def _may_hold(self, name: str, text: str) -> bool:
        return is_uuid(text) or not isinstance(self.model._meta.get_field(name), models.UUIDField)

    # The row's page ---------------------------------------------------------------------------------------------------
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Every field, exact."""
        return [*self._exact.values(), *self.further_fields]

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """The groups, then how the row was recorded."""
        shown_by = {**self._exact, **{display.__name__: display for display in self.further_fields}}
        groups = [(title, [shown_by[name] for name in names]) for title, names in self.groups]
        shown_groups: list[Any] = [(title, {"fields": fields}) for title, fields in groups]
        record = [self._exact[name] for name in self.record_columns]
        if record:
            shown_groups.append(("Record", {"fields": record, "classes": ["collapse"]}))
        return shown_groups

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Help texts say what a column means and its unit."""
        texts = {field.name: description_of(field) for field in self.model._meta.fields}
        return super().get_form(request, obj, change, help_texts=texts, **kwargs)

    def related_links(self, row: Any) -> list[tuple[str, str]]:
        """(text, address) of what belongs to the row elsewhere."""
        return []

    def action_of(self, request: HttpRequest, row: Any) -> tuple[str, str] | None:
        """The list's action that the row's page offers too, and the words on its button."""
        return None

    def context_of(self, row: Any) -> dict[str, Any]:
        """What the template of the row's page is given besides."""
        return {}

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """To the row's page, where it has a history: nobody edits these rows, so Django keeps none of them."""
        page = row_link(f"{self.opts.app_label}_{self.opts.model_name}", object_id)
        return HttpResponseRedirect(f"{page}{self.history_at}")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The row's page, with links to what belongs to it."""
        row = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if row:
            context |= {"related_links": self.related_links(row), "offered": self.action_of(request, row)}
            context |= self.context_of(row)
        return super().change_view(request, object_id, form_url, context)


def list_link(model: str, text: Any) -> str:
    """Address of a model's list ("results_traderesult"), searched for an id."""
    return f"{reverse(f'admin:{model}_changelist')}?q={text}"


def row_link(model: str, key: Any) -> str:
    """Address of a row's page in the admin."""
    return reverse(f"admin:{model}_change", args=[key])


def trade_links(trade_id: Any, *, leave_out: str = "") -> list[tuple[str, str]]:
    """Everything that belongs to a trade: its live page and its rows in the other tables."""
    links = {
        "live": ("Live page", f"/trades/{trade_id}/"),
        "trade": ("Trade", row_link("trading_papertrade", trade_id)),
        "results": ("Results", list_link("results_traderesult", trade_id)),
        "reconciliation": ("Reconciliation", list_link("results_tradereconciliation", trade_id)),
        "breaks": ("Breaks", list_link("results_tradereconciliationbreak", trade_id)),
        "leg_out": ("Leg-out", list_link("trading_legoutevent", trade_id)),
        "funding": ("Funding", list_link("trading_fundingpayment", trade_id)),
        "fills": ("Fills", list_link("trading_orderfill", trade_id)),
        "shadows": ("Shadow fills", list_link("trading_shadowfill", trade_id)),
    }
    return [link for name, link in links.items() if name != leave_out]


def _display(field: models.Field[Any, Any], *, brief: bool) -> Callable[[Any], Any]:
    """A column's display: its value formatted, under its name; in lists ids link to the pages behind them."""

    def display(row: Any) -> Any:
        value = getattr(row, field.name)
        if brief and value is not None and (field.primary_key or field.name == "trade_id"):
            return _id_link(row, field, value)
        return shown(field, value, brief)

    display.__name__ = field.name
    display.short_description = heading_of(field) if brief else name_of(field)  # type: ignore[attr-defined]
    display.admin_order_field = field.name  # type: ignore[attr-defined]
    return display


def _id_link(row: Any, field: models.Field[Any, Any], value: Any) -> str:
    label, name = row._meta.app_label, row._meta.model_name
    address = row_link(f"{label}_{name}", row.pk)
    if not field.primary_key:
        address = row_link("trading_papertrade", value)
    short = str(value)[:8] if isinstance(field, models.UUIDField) else str(value)
    return format_html('<a class="row-id" href="{}" title="{}">{}</a>', address, value, short)
