"""The admin's list of dead letters: what could not become a durable row, and why. Staff may have it tried again."""

from __future__ import annotations

import datetime

import msgspec
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator

from paperdesk.admin_filters import listed_filter, period_filter
from paperdesk.mirror_admin import MirrorAdmin, row_link
from paperdesk.roles import may_command
from results.letter_services import dead_letters_retry
from results.models import DeadLetter, DeadLetterState

KINDS = ("hash", "open", "closed", "element", "wrong", "entry", "reconciliation")
TABLES = ("trade_result", "result_metrics", "trade_reconciliation", "paper_trade", "leg_out_event")
REASON_CHARACTERS = 160
MINUTE, HOUR, DAY = 60, 3_600, 86_400


@admin.display(description="record")
def record(row: DeadLetter) -> str:
    """The record's key, which leads to the letter's page."""
    return format_html('<a class="row-id" href="{}">{}</a>', row_link("results_deadletter", row.pk), row.key)


@admin.display(description="age")
def age(row: DeadLetter) -> str:
    """How long ago it was found: 12 s, 5 min, 3 h, 2 d."""
    seconds = int((timezone.now() - row.found_at) / datetime.timedelta(seconds=1))
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(0, seconds)} s"


@admin.display(description="reason")
def why(row: DeadLetter) -> str:
    """The beginning of the reason, or of what became of the letter; the key stands beside it."""
    return Truncator((row.outcome or row.reason).removeprefix(f"{row.key}: ")).chars(REASON_CHARACTERS)


@admin.display(description="content")
def content_as_found(row: DeadLetter) -> str:
    """The content as it was; a JSON object with one field a line."""
    return format_html('<pre class="content">{}</pre>', _lines(row.content))


def _lines(content: str) -> str:
    try:
        return msgspec.json.format(content.encode(), indent=2).decode()
    except msgspec.DecodeError:
        return content


@admin.register(DeadLetter)
class DeadLetterAdmin(MirrorAdmin):
    """Dead letters, the latest first."""

    columns = ("record", "why", "table", "age", "state", "tries")
    sorted_by = "found_at"
    actions = ("retry",)
    further_columns = (record, age, why)
    further_fields = (content_as_found,)
    record_columns = ()  # it is no row of a log
    id_columns = ("id", "key")
    search_help_text = "The exact key of a record, or the id of a dead letter."
    list_filter = (
        listed_filter("state", DeadLetterState.values),
        period_filter("found_at"),
        listed_filter("kind", KINDS),
        listed_filter("table", TABLES),
    )
    groups = (
        ("What", ("key", "id", "kind", "table", "found_at", "content_as_found")),
        ("Why", ("reason",)),
        ("What became of it", ("state", "outcome", "tries", "tried_at", "asked_by")),
    )

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether the user may have dead letters tried again."""
        return may_command(request.user)

    def action_of(self, request: HttpRequest, row: DeadLetter) -> tuple[str, str] | None:
        """The retry of this letter, while it is open."""
        may = row.state == DeadLetterState.OPEN and self.has_retry_permission(request)
        return ("retry", "Try again") if may else None

    @admin.action(description="Try the selected dead letters again", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        """Asks for another try of each; the next sync makes it and notes what came of it."""
        message = dead_letters_retry(queryset.values_list("pk", flat=True), request.user)
        self.message_user(request, message, messages.SUCCESS)
