"""The admin's lists of results, their metrics and reconciliations. For reading only (`paperdesk.mirror_admin`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from paperdesk.admin_filters import found_filter, listed_filter, period_filter, yes_or_no_filter
from paperdesk.admin_format import NOTHING, exact
from paperdesk.mirror_admin import MirrorAdmin, row_link, trade_links
from paperdesk.roles import may_command
from results.audit.admin import AuditEntryAdmin as AuditEntryAdmin
from results.domain.breaks import BreakKind
from results.domain.errors import PaperDeskError
from results.domain.outcomes import ResultState, result_id_of
from results.domain.reconciliation import Status
from results.letters_admin import DeadLetterAdmin as DeadLetterAdmin
from results.models import ResultMetrics, TradeReconciliation, TradeReconciliationBreak, TradeResult
from results.reconcile.services import reconcile_ask_trades
from results.reconcile.tolerance_admin import ToleranceAdmin as ToleranceAdmin
from results.review.admin import ReviewCaseAdmin as ReviewCaseAdmin
from results.review.lists_admin import ReviewAdmin as ReviewAdmin
from results.review.lists_admin import ReviewCommentAdmin as ReviewCommentAdmin
from results.review.lists_admin import TradeAdjustmentAdmin as TradeAdjustmentAdmin
from results.selectors import trade_breaks
from trading.engine.clock import SystemClock

DIRECTIONS = ("buy", "sell")
ROLES = ("entry", "exit", "hedge")


@admin.register(TradeResult)
class TradeResultAdmin(MirrorAdmin):
    """Results of orders, the latest first."""

    columns = (
        "result_id", "executed_at", "trade_id", "symbol", "exchange", "role", "direction", "state", "lot_size",
        "execution_price", "slippage_cost_bps", "pnl", "portfolio",
    )  # fmt: skip
    sorted_by = "executed_at"
    id_columns = ("result_id", "trade_id")
    search_help_text = "The exact id of a result, a trade or an order."
    list_filter = (
        period_filter("executed_at"),
        listed_filter("state", ResultState),
        listed_filter("role", ROLES),
        listed_filter("direction", DIRECTIONS),
        found_filter(TradeResult, "portfolio"),
        found_filter(TradeResult, "exchange", "venue"),
        found_filter(TradeResult, "symbol"),
    )
    groups = (
        ("Order", ("result_id", "order_id", "trade_id", "portfolio", "exchange", "symbol", "leg", "role", "direction")),
        ("Outcome", ("state", "executed_at", "lot_size", "filled_quantity", "execution_price", "requested_price")),
        ("Cost", ("slippage", "slippage_cost_bps", "pnl", "commission", "fees", "origin")),
    )

    def found_by(self, text: str) -> Iterable[dict[str, Any]]:
        """A result's id follows from its order's, so an order is found by the key (ruling 23)."""
        return ({"result_id": result_id_of(text)},)

    def related_links(self, row: Any) -> list[tuple[str, str]]:
        """The trade and what belongs to it, and the execution's metrics."""
        return [("Metrics", row_link("results_resultmetrics", row.result_id)), *trade_links(row.trade_id)]


@admin.register(ResultMetrics)
class ResultMetricsAdmin(MirrorAdmin):
    """Execution quality of orders, the latest first."""

    columns = (
        "result_id", "created_at", "portfolio", "execution_latency_ms", "broker_latency_ms", "network_latency_ms",
        "queue_wait_ms", "slippage", "origin",
    )  # fmt: skip
    sorted_by = "created_at"
    id_columns = ("result_id",)
    search_help_text = "The exact id of a result."
    list_filter = (period_filter("created_at"), found_filter(TradeResult, "portfolio"))
    groups = (
        ("Result", ("result_id", "portfolio", "created_at", "origin")),
        ("Latency", ("execution_latency_ms", "broker_latency_ms", "network_latency_ms", "queue_wait_ms")),
        ("Price", ("slippage",)),
    )

    def related_links(self, row: Any) -> list[tuple[str, str]]:
        """The result that was measured."""
        return [("Result", row_link("results_traderesult", row.result_id))]


@admin.display(description="breaks and improvements")
def breaks_of_trade(row: TradeReconciliation) -> str:
    """One line per break: kind, venue, what was expected and what came, linked to its own page."""
    lines = [
        (
            row_link("results_tradereconciliationbreak", found.pk),
            found.kind.replace("_", " "),
            found.exchange or "whole trade",
            NOTHING if found.expected is None else exact(found.expected),
            NOTHING if found.actual is None else exact(found.actual),
            found.reason,
        )
        for found in trade_breaks(row.trade_id)
    ]
    line = '<li><a href="{}">{}</a>, {}: expected {}, was {}. {}</li>'
    return format_html('<ul class="breaks">{}</ul>', format_html_join("", line, lines)) if lines else NOTHING


@admin.register(TradeReconciliation)
class TradeReconciliationAdmin(MirrorAdmin):
    """Reconciliations of trades, the latest first."""

    columns = (
        "trade_id", "reconciled_at", "symbol", "reconciliation_status", "rejection_reason", "discrepancy",
        "break_count", "improvement_count", "portfolio", "origin",
    )  # fmt: skip
    sorted_by = "reconciled_at"
    actions = ("reconcile_again",)
    id_columns = ("trade_id",)
    search_help_text = "A trade's exact id."
    list_filter = (
        period_filter("reconciled_at"),
        listed_filter("reconciliation_status", Status, "status"),
        found_filter(TradeResult, "portfolio"),
        found_filter(TradeResult, "symbol"),
    )
    further_fields = (breaks_of_trade,)
    groups = (
        ("Trade", ("trade_id", "portfolio", "symbol", "origin")),
        ("Reconciliation", ("reconciliation_status", "reconciled_at", "discrepancy", "rejection_reason")),
        ("Findings", ("break_count", "improvement_count", "breaks_of_trade")),
    )

    def related_links(self, row: Any) -> list[tuple[str, str]]:
        """The trade and what belongs to it."""
        return trade_links(row.trade_id, leave_out="reconciliation")

    def has_reconcile_permission(self, request: HttpRequest) -> bool:
        """Whether the user may have trades reconciled again."""
        return may_command(request.user)

    def action_of(self, request: HttpRequest, row: Any) -> tuple[str, str] | None:
        """Reconciling this trade again."""
        return ("reconcile_again", "Reconcile again") if self.has_reconcile_permission(request) else None

    @admin.action(description="Reconcile the selected trades again", permissions=["reconcile"])
    def reconcile_again(self, request: HttpRequest, queryset: QuerySet[TradeReconciliation]) -> None:
        """Asks for it; the worker of the warehouse does it within seconds."""
        chosen = list(queryset.values_list("pk", flat=True))
        try:
            asked = reconcile_ask_trades(chosen, request.user, SystemClock().now_us())
        except PaperDeskError as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        text = '{} reconciled again, by the tolerances of now. <a href="{}">How far that is</a>'
        trades = "1 trade is" if asked.of == 1 else f"{asked.of} trades are"
        self.message_user(request, format_html(text, trades, reverse("admin:results_reconcile")))


@admin.register(TradeReconciliationBreak)
class TradeReconciliationBreakAdmin(MirrorAdmin):
    """Differences between intended and actual, the latest first."""

    columns = (
        "id", "found_at", "trade_id", "symbol", "exchange", "leg", "kind", "is_failure", "expected", "actual",
        "discrepancy", "tolerance", "portfolio",
    )  # fmt: skip
    sorted_by = "found_at"
    id_columns = ("id", "trade_id")
    search_help_text = "The exact id of a break or of a trade."
    list_filter = (
        period_filter("found_at"),
        listed_filter("kind", BreakKind),
        yes_or_no_filter("is_failure", "fails"),
        found_filter(TradeResult, "portfolio"),
        found_filter(TradeResult, "exchange", "venue"),
        found_filter(TradeResult, "symbol"),
    )
    groups = (
        ("Where", ("id", "trade_id", "result_id", "portfolio", "exchange", "symbol", "leg")),
        ("What", ("kind", "is_failure", "found_at", "expected", "actual", "discrepancy", "tolerance", "reason")),
    )

    def related_links(self, row: Any) -> list[tuple[str, str]]:
        """The order's result, where there is one, and what belongs to the trade."""
        of_order = [("Result", row_link("results_traderesult", row.result_id))] if row.result_id else []
        return [*of_order, *trade_links(row.trade_id, leave_out="breaks")]
