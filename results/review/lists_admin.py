"""The admin's lists of proposals, adjustments and comments. For reading only: they are made on the page of a case."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from paperdesk.admin_filters import listed_filter, period_filter, yes_or_no_filter
from paperdesk.mirror_admin import BORN_COLUMNS, MirrorAdmin, row_link, trade_links
from results.domain.review import Reason, Resolution
from results.review_models import Outcome, Review, ReviewComment, TradeAdjustment


class OfCase(MirrorAdmin):
    """Rows that belong to the case of a trade."""

    record_columns = BORN_COLUMNS

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list. Rows that people made never leave their table, so it has no window."""
        return super().changelist_view(request, {"subtitle": None, **(extra_context or {})})

    def related_links(self, row: Any) -> list[tuple[str, str]]:
        """The case, the trade and what belongs to it."""
        return [("Case", row_link("results_reviewcase", row.trade_id)), *trade_links(row.trade_id)]


@admin.register(Review)
class ReviewAdmin(OfCase):
    """Proposals and what was decided on them, the latest first."""

    columns = (
        "id", "proposed_at", "trade_id", "resolution", "reason", "maker", "outcome", "checker", "decided_at",
    )  # fmt: skip
    sorted_by = "proposed_at"
    id_columns = ("id", "trade_id")
    search_help_text = "The exact id of a proposal or of a trade."
    list_filter = (
        period_filter("proposed_at"),
        listed_filter("outcome", filter(None, Outcome.values), empty="undecided"),
        listed_filter("resolution", Resolution),
        listed_filter("reason", Reason),
    )
    groups = (
        ("Proposal", ("id", "trade_id", "resolution", "reason", "comment", "maker", "proposed_at", "expires_at")),
        ("What the maker saw", ("basis_version", "basis_hash")),
        ("Decision", ("outcome", "checker", "decided_at", "decision_comment")),
        ("Users", ("maker_id", "checker_id")),
    )


@admin.register(TradeAdjustment)
class TradeAdjustmentAdmin(OfCase):
    """Corrected figures, the latest first."""

    columns = (
        "id", "changed_at", "trade_id", "adjusted_table", "adjusted_column", "value_before", "value_after", "in_force",
        "changed_by",
    )  # fmt: skip
    sorted_by = "changed_at"
    id_columns = ("id", "trade_id", "review_id")
    search_help_text = "The exact id of an adjustment, of a proposal or of a trade."
    list_filter = (
        period_filter("changed_at"),
        yes_or_no_filter("in_force"),
        listed_filter("adjusted_table", ("trade_result", "paper_trade"), "table"),
    )
    groups = (
        ("Adjustment", ("id", "trade_id", "review_id", "in_force")),
        ("Figure", ("adjusted_table", "adjusted_key", "adjusted_version", "adjusted_column")),
        ("Value", ("value_before", "value_after")),
    )


@admin.register(ReviewComment)
class ReviewCommentAdmin(OfCase):
    """What people said of cases, the latest first."""

    columns = ("id", "said_at", "trade_id", "author", "text")
    sorted_by = "said_at"
    ordering = ("-said_at", "id")
    id_columns = ("id", "trade_id")
    search_help_text = "The exact id of a comment or of a trade."
    list_filter = (period_filter("said_at"),)
    groups = (("Comment", ("id", "trade_id", "author", "said_at", "text")),)
