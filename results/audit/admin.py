"""The admin's list of the audit trail: who did what to which subject, the latest first. For reading only."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator

from paperdesk.admin_filters import PERIODS, found_filter, period_filter
from paperdesk.admin_format import NOTHING, utc_seconds
from paperdesk.mirror_admin import MirrorAdmin, is_uuid
from results.domain.audit import entries_told
from results.domain.units import datetime_of
from results.review_models import AuditEntry
from trading import wiring
from trading.stores.errors import RedisAway
from trading.stores.monitor_store import SnapshotStore

TRAIL = "trail"
CHANGE_CHARACTERS = 120
CLOCKS_APART = datetime.timedelta(minutes=5)


class AuditPeriod(period_filter("at")):  # type: ignore[misc]
    """Entries of a period. Numbers grow with time, so the list is read from the first number of the period on."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The period's entries."""
        rows: QuerySet[AuditEntry] = super().queryset(request, queryset)
        if self.value() not in PERIODS:
            return rows
        start = timezone.now() - PERIODS[self.value()][1] - CLOCKS_APART  # two hosts' clocks may differ
        entries = AuditEntry.objects.filter(at__gte=start).order_by("at", "number")
        first = entries.values_list("number", flat=True).first()
        return rows.none() if first is None else rows.filter(number__gte=first)


@admin.display(description="what changed")
def change(row: AuditEntry) -> str:
    """What is other than before, as far as it fits: "state: open → proposed, reason: market_moved"."""
    before, after = values_of(row.before), values_of(row.after)
    told = [
        f"{name}: {before[name]} → {value}" if name in before else f"{name}: {value}"
        for name, value in after.items()
        if before.get(name) != value and value not in ("", "[]", "{}", "null")
    ]
    return Truncator(", ".join(told)).chars(CHANGE_CHARACTERS) or NOTHING


def values_of(text: str | None) -> dict[str, str]:
    """The fields of a JSON object, each as it would be read aloud; none of anything else."""
    found = msgspec.json.decode(text) if text else None
    fields = found.items() if isinstance(found, dict) else ()
    return {name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in fields}


def pretty(column: str, words: str) -> Any:
    """A JSON column with one value a line."""

    def display(row: AuditEntry) -> str:
        text = getattr(row, column)
        if text is None:
            return NOTHING
        return format_html('<pre class="content">{}</pre>', msgspec.json.format(text.encode(), indent=2).decode())

    display.__name__ = f"{column}_in_lines"
    display.short_description = words  # type: ignore[attr-defined]
    return display


def verified_when() -> str:
    """When the whole trail was last verified, and what was found."""
    try:
        state = SnapshotStore(wiring.page_redis_client()).sync().get(TRAIL)
    except RedisAway:
        return "Redis does not answer, so it is not known when the trail was last verified: manage.py verify_audit"
    if not state or not state["at_us"]:
        return "The trail has not been verified yet: the desk does so once a day, manage.py verify_audit at once."
    at = utc_seconds(datetime_of(state["at_us"]))
    if state["error"]:
        return f"The trail is broken, found at {at} UTC: {state['error']}"
    return f"The trail was verified at {at} UTC and is whole: {entries_told(state['rows'])}."


@admin.register(AuditEntry)
class AuditEntryAdmin(MirrorAdmin):
    """The audit trail, the latest entry first."""

    columns = ("number", "at", "who", "action", "subject", "change")
    sorted_by = "number"
    further_columns = (change,)
    further_fields = (pretty("before", "before"), pretty("after", "after"))
    record_columns = ("chain", "version", "day", "row_hash", "changed_at", "changed_by")
    id_columns = ("subject",)
    search_help_text = (
        "The exact subject, such as “reconciliation_tolerance binance:BTCUSDT”; or the id of a trade, for its case."
    )
    change_list_template = "admin/audit_list.html"
    list_filter = (AuditPeriod, found_filter(AuditEntry, "who"), found_filter(AuditEntry, "action"))
    groups = (
        ("What was done", ("number", "at", "who", "action", "subject")),
        ("What changed", ("before_in_lines", "after_in_lines")),
    )

    def found_by(self, text: str) -> Iterable[dict[str, Any]]:
        """The case of a trade, by the trade's id."""
        return ({"subject": f"review_case {uuid.UUID(text)}"},) if is_uuid(text) else ()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, which says when the trail was last verified."""
        return super().changelist_view(request, {"told": verified_when(), "subtitle": None, **(extra_context or {})})
