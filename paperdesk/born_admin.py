"""The admin of a table born in Django whose rows people edit: with history, without deleting."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.html import format_html
from django.utils.text import capfirst
from simple_history.admin import SimpleHistoryAdmin

from paperdesk.admin_format import NOTHING, exact, utc_seconds
from paperdesk.born import BornModel
from paperdesk.bounded_list import refuse_nul
from paperdesk.list_export import ListExport
from results.domain.units import plain, text_of


class ExactNumber(forms.DecimalField):
    """A number as text: a browser's number field would round what it shows, and hide what it cannot read."""

    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})

    def prepare_value(self, value: Any) -> Any:
        """All digits that the number has, without trailing zeros."""
        return text_of(plain(value)) if hasattr(value, "as_tuple") else value


def whole_number(**options: Any) -> forms.IntegerField:
    """A whole number as text, likewise."""
    return forms.IntegerField(widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}), **options)


class BornAdmin(ListExport, SimpleHistoryAdmin):
    """Rows that a service saves; `save_model` of each kind calls it."""

    change_form_template = "admin/settings_row.html"
    change_list_template = "admin/born_list.html"
    object_history_list_template = "admin/history_list.html"
    list_per_page = 100
    show_facets = admin.ShowFacets.NEVER
    empty_value_display = NOTHING

    class Media:
        css: ClassVar = {"all": ["paperdesk/mirror-admin.css", "paperdesk/settings-admin.css"]}

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """A version of before, for reading. simple-history would save a form that is sent here, whoever sends it."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        return super().history_form_view(request, object_id, version_id, extra_context)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: what once was in force stays readable."""
        return False

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """What is asked of the list, by its page or its export. Raises IncorrectLookupParameters."""
        refuse_nul(dict(request.GET.lists()))
        return super().get_changelist_instance(request)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The list, under the name of what it lists."""
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    @admin.display(description="changed (UTC)", ordering="changed_at")
    def changed(self, row: BornModel) -> str:
        """When and by whom."""
        return format_html('{} <span class="since">by {}</span>', utc_seconds(row.changed_at), row.changed_by)


def number_of(name: str, heading: str) -> Any:
    """A list's column of numbers."""

    def display(row: Any) -> str:
        value = getattr(row, name)
        return format_html('<span class="number">{}</span>', exact(value) if hasattr(value, "as_tuple") else value)

    display.__name__ = name
    display.short_description = heading  # type: ignore[attr-defined]
    display.admin_order_field = name  # type: ignore[attr-defined]
    return display
