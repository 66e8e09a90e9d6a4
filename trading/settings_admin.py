"""The admin of the settings: venues, instruments, strategies. Lists say what is in force now and since when.

Every change goes through `trading.settings_service`; nothing is deleted. What identifies a row, and what a portfolio's
numbers start from, cannot be changed: a strategy is copied under a new prefix instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from paperdesk.admin_format import exact, utc_seconds
from paperdesk.born_admin import BornAdmin, number_of
from results.domain.units import datetime_of
from trading import wiring
from trading.domain.errors import ConfigurationError
from trading.domain.settings import settings_of
from trading.engine.clock import SystemClock
from trading.settings_columns import values_of_row
from trading.settings_forms import SettingsForm, form_field, label_of, setting_of
from trading.settings_live import Standing, in_force_now, standing_of
from trading.settings_models import Instrument, SettingsModel, Strategy, Venue
from trading.settings_service import settings_save

TONES = {"live": "good", "off": "calm", "waits": "wait", "not yet": "wait", "elsewhere": "bad", "unknown": "calm"}
COPY = "copy_of"


class SettingsList(ChangeList):
    """A list whose rows know how they stand."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """The rows, with what the engines say; asked once for all of them."""
        super().get_results(request)
        told, trouble = in_force_now(wiring.page_redis_client)
        rows: list[Any] = list(self.result_list)
        for row in rows:
            row.standing = standing_of(row, told, trouble)
        self.result_list = rows


def pill(standing: Standing) -> str:
    """How a row stands, as a coloured word and since when."""
    since = f"since {utc_seconds(datetime_of(standing.since_us))}" if standing.since_us else standing.sentence
    return format_html(
        '<span class="pill pill-{}">{}</span> <span class="since">{}</span>',
        TONES[standing.state],
        standing.state,
        since,
    )


class SettingsAdmin(BornAdmin):
    """Rows of settings. `groups` are titled fields of the form; what no group names follows under "More"."""

    form = SettingsForm
    groups: ClassVar[Sequence[tuple[str, Sequence[str]]]] = ()

    def __init__(self, model: Any, site: admin.AdminSite) -> None:
        super().__init__(model, site)
        self._fixed = {name: fixed_field(name) for name in model.fixed}

    # What one may do
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Of a row that exists, what identifies it and what its numbers start from."""
        return [self._fixed[name] for name in self.model.fixed] if obj else []

    # The form
    def formfield_for_dbfield(self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """A field as the domain declares its setting."""
        setting = setting_of(self.model, db_field.name)
        return (
            form_field(self.model, setting) if setting else super().formfield_for_dbfield(db_field, request, **kwargs)
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[forms.Form]:
        """The form; what cannot be changed says so."""
        texts = dict.fromkeys(self.model.fixed, "Fixed since it was made. Copy it to choose another.")
        labels = {setting.name: label_of(setting.name) for setting in settings_of(self.model.struct)}
        return super().get_form(request, obj, change, help_texts=texts, labels=labels, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The groups, and whatever the domain has besides."""
        named = {name for _, names in self.groups for name in names}
        more = [setting.name for setting in settings_of(self.model.struct) if setting.name not in named]
        groups = [*self.groups, *([("More", more)] if more else [])]
        fixed = self._fixed if obj else {}
        return [(title, {"fields": tuple(fixed.get(name, name) for name in names)}) for title, names in groups]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Rows that know how they stand."""
        return SettingsList

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The row's page. Who was overtaken by another change that does not go with this one is told so."""
        row = self.get_object(request, object_id) if object_id else None
        context = dict(extra_context or {})
        if row is not None:
            context["standing"] = pill(standing_of(row, *in_force_now(wiring.page_redis_client)))
            context["row"] = row
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except ConfigurationError as error:
            self.message_user(request, f"Nothing was saved: {error}", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: SettingsModel, form: Any, change: bool) -> None:
        """Through the service, which checks the whole desk once more."""
        saved = settings_save([obj], request.user.get_username(), SystemClock().now_us())
        if saved.added or saved.changed:
            sentence = f"Settings version {saved.version}: a running engine takes it in within 3 s."
            self.message_user(request, sentence)

    # The list
    @admin.display(description="in force")
    def standing(self, row: Any) -> str:
        """Whether the engine runs on it, and since when."""
        return pill(row.standing)


def fixed_field(name: str) -> Any:
    """A field of the form that is only shown."""

    def display(row: Any) -> str:
        value = getattr(row, name)
        return exact(value) if hasattr(value, "as_tuple") else str(value)

    display.__name__ = name
    display.short_description = label_of(name)  # type: ignore[attr-defined]
    return display


@admin.register(Venue)
class VenueAdmin(SettingsAdmin):
    """Venues."""

    list_display = (
        "name", "standing", number_of("maker_fee_rate", "maker fee (ratio)"),
        number_of("taker_fee_rate", "taker fee (ratio)"), number_of("order_latency_us", "order latency (µs)"),
        number_of("response_latency_us", "response latency (µs)"),
        number_of("fill_threshold_fraction", "fill threshold (ratio)"), "changed",
    )  # fmt: skip
    groups = (
        ("Venue", ("name", "maker_fee_rate", "taker_fee_rate")),
        ("Latency", ("order_latency_us", "order_latency_p99_us", "response_latency_us", "response_latency_p99_us")),
        ("Books and queues", ("fill_threshold_fraction", "book_age_us_max")),
    )


@admin.register(Instrument)
class InstrumentAdmin(SettingsAdmin):
    """Instruments."""

    list_display = (
        "id", "standing", "contract_type", number_of("tick_size", "tick size"), number_of("lot_step", "lot step"),
        number_of("funding_interval_hours", "funding (h)"), "may_be_shorted", "changed",
    )  # fmt: skip
    list_filter = ("venue", "base_asset")
    search_fields = ("id",)
    groups = (
        ("Instrument", ("venue", "symbol", "base_asset", "quote_asset", "contract_type")),
        ("Steps and funding", ("tick_size", "lot_step", "funding_interval_hours", "shortable", "inverse")),
    )

    @admin.display(description="short", boolean=True)
    def may_be_shorted(self, row: Instrument) -> bool:
        """Whether it may be sold without being owned, by its own setting or its contract type."""
        return bool(row.settings().can_be_shorted)


@admin.register(Strategy)
class StrategyAdmin(SettingsAdmin):
    """Strategies: one portfolio each."""

    list_display = (
        "name", "standing", "entry_policy", number_of("entry_threshold_bps", "threshold (bps)"),
        number_of("position_size_usd", "size (USD)"), "hedge", "pair_count", "prefix", "changed", "copy_link",
    )  # fmt: skip
    list_display_links = ("name",)
    search_fields = ("prefix", "name")
    actions = ("switch_on", "switch_off")
    groups = (
        ("Portfolio", ("prefix", "name", "enabled", "starting_capital", "capital_mode", "closed_trades_kept")),
        ("What is traded", ("pairs", "position_size_usd", "trades_open_max", "trades_open_per_pair_max")),
        ("Signal", ("signal", "entry_threshold_bps", "baseline_seconds", "funding_weight", "hold_seconds_expected")),
        ("Entry", ("entry_policy", "first_leg", "fill_volume", "entry_timeout_seconds", "cooldown_seconds")),
        ("Leg-out", ("leg_out_ms", "hedge")),
        (
            "Exit",
            ("profit_target_bps", "loss_limit_bps", "funding_convergence_threshold", "exit_order")
            + ("exit_timeout_seconds",),
        ),
    )

    @admin.display(description="pairs")
    def pair_count(self, row: Any) -> int:
        """How many pairs it trades."""
        return len(values_of_row(row.struct, row)["pairs"])

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns; a copy is for who may add one."""
        shown = super().get_list_display(request)
        return [each for each in shown if each != "copy_link" or self.has_add_permission(request)]

    @admin.display(description="")
    def copy_link(self, row: Strategy) -> str:
        """The form of a new strategy with this one's settings."""
        return format_html('<a href="{}?{}={}">copy</a>', reverse("admin:trading_strategy_add"), COPY, row.pk)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Of a copy, everything but the prefix."""
        original = Strategy.objects.filter(pk=request.GET.get(COPY, "")).first()
        if original is None:
            return {}
        values = {setting.name: getattr(original, setting.name) for setting in settings_of(Strategy.struct)}
        return {**values, "prefix": "", "name": f"{original.name}, copy"}

    @admin.action(description="Switch on", permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Lets the strategies enter trades."""
        self._switch(request, queryset, True)

    @admin.action(description="Switch off: no new trades", permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Keeps the strategies from entering; their open trades go on to their end."""
        self._switch(request, queryset, False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Any], enabled: bool) -> None:
        rows = list(queryset)
        for row in rows:
            row.enabled = enabled
        try:
            saved = settings_save(rows, request.user.get_username(), SystemClock().now_us())
        except ConfigurationError as error:
            self.message_user(request, f"Nothing was changed: {error}", messages.ERROR)
            return
        words = "on" if enabled else "off"
        self.message_user(request, f"Switched {words}: {len(saved.changed)} of {len(rows)} strategies.")
