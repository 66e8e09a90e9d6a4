"""The admin of tolerances: what is allowed on which venue and symbol, and which of them counts where.

Every change goes through `results.reconcile.tolerances.tolerance_save`. Nothing is deleted: a tolerance is switched
off.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from paperdesk.admin_format import exact
from paperdesk.born_admin import BornAdmin, ExactNumber, number_of, whole_number
from paperdesk.mirror import ExactDecimalField
from paperdesk.mirror_admin import row_link
from paperdesk.roles import may_command
from results.domain.tolerances import ANY, ToleranceRefused
from results.reconcile.page import reconcile_page
from results.reconcile.tolerances import key_now, tolerance_refuse, tolerance_save, tolerances_in_force
from results.review_models import ReconciliationTolerance
from trading.engine.clock import SystemClock
from trading.models import Instrument

INSTRUMENTS_SHOWN_MAX = 200
FIXED = ("venue", "symbol")
LABELS = {
    "slippage_bps": "Adverse slippage (bps)",
    "quantity": "Quantity (base asset)",
    "residual_usd": "P&L residual (USD)",
    "execution_ms": "Execution latency (ms)",
    "broker_ms": "Broker latency (ms)",
    "network_ms": "Network latency (ms)",
    "missing_results": "Missing results (count)",
    "duplicate_results": "Duplicate results (count)",
}
HELPS = {
    "venue": "A venue's name as the results have it, or * for any.",
    "symbol": "A symbol as the results have it, or * for any.",
    "enabled": "Switched off, the next wider one counts: the venue's, then the symbol's, then *:*.",
    "slippage_bps": "How much worse than asked for an order may execute, in basis points (1/10,000) of that price.",
    "quantity": "How far an order's quantity and its result's may differ, in units of the base asset.",
    "residual_usd": "P&L that prices, funding and fees do not explain, in US dollars, beyond the rounding of averages.",
    "execution_ms": "From the signal to the last fill, in milliseconds, without the wait in the queue.",
    "broker_ms": "From acceptance to the fill of an order that crosses, in milliseconds.",
    "network_ms": "The order's and the response's way together, in milliseconds.",
    "missing_results": "How many orders of a trade on the venue may have no result. 0: none may.",
    "duplicate_results": "How many results of a trade on the venue may be too many. 0: none may.",
}


class ToleranceForm(forms.ModelForm):
    """A tolerance; what the rules refuse stands beside its field."""

    instance: ReconciliationTolerance

    class Meta:
        help_texts = HELPS
        labels = LABELS

    def _post_clean(self) -> None:
        super()._post_clean()
        if self.errors:
            return
        row = self.instance
        try:
            tolerance_refuse(row)
        except ToleranceRefused as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))
            return
        if row._state.adding and ReconciliationTolerance.objects.filter(pk=key_now(row)).exists():
            self.add_error("symbol", f"tolerance {key_now(row)} exists already: change it instead")


@admin.register(ReconciliationTolerance)
class ToleranceAdmin(BornAdmin):
    """Tolerances, and which of them counts for each instrument."""

    form = ToleranceForm
    change_list_template = "admin/tolerance_list.html"
    list_display = (
        "__str__", "standing", number_of("slippage_bps", "slippage (bps)"), number_of("quantity", "quantity (base)"),
        number_of("residual_usd", "P&L residual (USD)"), number_of("execution_ms", "execution (ms)"),
        number_of("broker_ms", "broker (ms)"), number_of("network_ms", "network (ms)"),
        number_of("missing_results", "missing"), number_of("duplicate_results", "duplicate"), "changed",
    )  # fmt: skip
    search_fields = ("venue", "symbol")
    search_help_text = "A part of a venue's or symbol's name."
    list_filter = ("enabled",)
    fieldsets = (
        ("Where", {"fields": ("venue", "symbol", "enabled")}),
        ("Figures", {"fields": ("slippage_bps", "quantity", "residual_usd")}),
        ("Latency", {"fields": ("execution_ms", "broker_ms", "network_ms")}),
        ("Results", {"fields": ("missing_results", "duplicate_results")}),
    )

    def get_urls(self) -> list[Any]:
        """The lists' addresses, and the page that reconciles again."""
        view = self.admin_site.admin_view(self.reconcile_view)
        return [path("reconcile/", view, name="results_reconcile"), *super().get_urls()]

    def reconcile_view(self, request: HttpRequest) -> HttpResponse:
        """Asking for a period to be reconciled once more, and how far that is."""
        return reconcile_page(request, self.admin_site.each_context(request))

    # The form
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Of a tolerance that exists, what it is for."""
        return FIXED if obj else ()

    def formfield_for_dbfield(self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """Numbers as exact texts."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        words = {"label": LABELS.get(db_field.name), "help_text": HELPS.get(db_field.name)}
        if isinstance(db_field, ExactDecimalField):
            return ExactNumber(
                min_value=0, max_digits=db_field.max_digits, decimal_places=db_field.decimal_places, **words
            )
        if isinstance(db_field, models.BigIntegerField) and field is not None:
            return whole_number(min_value=0, max_value=models.BigIntegerField.MAX_BIGINT, **words)
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new tolerance begins with the figures that count for its instrument, or for any."""
        wanted = {name: request.GET.get(name, ANY) for name in FIXED}
        counting = ":".join(tolerances_in_force().key_of(*wanted.values()))
        row = ReconciliationTolerance.objects.filter(pk=counting).first()
        return {**({name: getattr(row, name) for name in LABELS} if row else {}), **wanted}

    def save_model(self, request: HttpRequest, obj: ReconciliationTolerance, form: Any, change: bool) -> None:
        """Through the service; says where it counts and how trades of before come under it."""
        if not tolerance_save(obj, SystemClock().now_us(), request.user.get_username()):
            return
        again = reverse("admin:results_reconcile")
        text = 'It counts for what is reconciled from now on. Trades of before: <a href="{}">reconcile again</a>.'
        self.message_user(request, format_html(text, again))
        if nowhere := unknown_instrument(obj):
            self.message_user(request, nowhere, messages.WARNING)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The form. What was refused between check and saving is said, and nothing was saved."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ToleranceRefused as error:
            self.message_user(request, f"Nothing was saved: {error}", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    # The list
    @admin.display(description="state")
    def standing(self, row: ReconciliationTolerance) -> SafeString:
        """Whether it is switched on; where it counts is told below the list."""
        tone, word = ("good", "on") if row.enabled else ("calm", "off")
        return format_html('<span class="pill pill-{}">{}</span>', tone, word)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, and below it which tolerance counts for each instrument of the desk."""
        more = {"counting": counting_now(), "may_reconcile": may_command(request.user)}
        return super().changelist_view(request, {**(extra_context or {}), **more})


def counting_now() -> list[tuple[str, str, str, str]]:
    """By instrument: it, the tolerance that counts for it, that one's page, its adverse slippage in bps."""
    tolerances, lines = tolerances_in_force(), []
    names = Instrument.objects.order_by("venue", "symbol").values_list("venue", "symbol")
    for venue, symbol in names[:INSTRUMENTS_SHOWN_MAX]:
        key = ":".join(tolerances.key_of(venue, symbol))
        figures = exact(tolerances.of(venue, symbol).slippage_bps)
        lines.append((f"{venue}:{symbol}", key, row_link("results_reconciliationtolerance", key), figures))
    return lines


def unknown_instrument(row: ReconciliationTolerance) -> str:
    """Says so where the desk has nothing that a tolerance is for; "" where it has."""
    known = Instrument.objects.all()
    found = known.filter(**{name: getattr(row, name) for name in FIXED if getattr(row, name) != ANY})
    if found.exists():
        return ""
    venues = ", ".join(sorted(set(known.values_list("venue", flat=True)))) or "none"
    return (
        f"No instrument of this desk is {row.venue}:{row.symbol}, so this tolerance counts only for trades of other "
        f"programs. Venues of this desk: {venues}."
    )
