"""The API's endpoints over the tables of results."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema

from paperdesk.rest import MirrorViewSet, filters_of, serializer_of
from results.domain.breaks import BreakKind
from results.domain.outcomes import ResultState
from results.domain.reconciliation import Status
from results.models import (
    DeadLetter,
    DeadLetterState,
    ResultMetrics,
    TradeReconciliation,
    TradeReconciliationBreak,
    TradeResult,
)

LEGS = ("long", "short")
DIRECTIONS = ("buy", "sell")
ROLES = ("entry", "exit", "hedge")


@extend_schema(tags=["results"])
class TradeResultViewSet(MirrorViewSet):
    """Results of orders, the latest first."""

    queryset = TradeResult.objects.all()
    serializer_class = serializer_of(TradeResult)
    filterset_class = filters_of(
        TradeResult,
        time="executed_at",
        equal=("trade_id", "portfolio", "exchange", "symbol", "order_id", "origin"),
        choices={"state": list(ResultState), "direction": DIRECTIONS, "leg": LEGS, "role": ROLES},
        ranges=("pnl", "slippage_cost_bps"),
    )


@extend_schema(tags=["results"])
class ResultMetricsViewSet(MirrorViewSet):
    """Execution quality of orders, the latest first; the key is the result's id."""

    queryset = ResultMetrics.objects.all()
    serializer_class = serializer_of(ResultMetrics)
    filterset_class = filters_of(ResultMetrics, time="created_at", equal=("portfolio", "origin"))


@extend_schema(tags=["results"])
class TradeReconciliationViewSet(MirrorViewSet):
    """Reconciliations of trades, the latest first; the key is the trade's id."""

    queryset = TradeReconciliation.objects.all()
    serializer_class = serializer_of(TradeReconciliation)
    filterset_class = filters_of(
        TradeReconciliation,
        time="reconciled_at",
        equal=("portfolio", "symbol", "origin"),
        choices={"reconciliation_status": list(Status)},
    )


@extend_schema(tags=["results"])
class TradeReconciliationBreakViewSet(MirrorViewSet):
    """Differences between intended and actual, the latest first."""

    queryset = TradeReconciliationBreak.objects.all()
    serializer_class = serializer_of(TradeReconciliationBreak)
    filterset_class = filters_of(
        TradeReconciliationBreak,
        time="found_at",
        equal=("trade_id", "result_id", "portfolio", "exchange", "symbol", "is_failure"),
        choices={"kind": list(BreakKind), "leg": LEGS},
    )


@extend_schema(tags=["results"])
class DeadLetterViewSet(MirrorViewSet):
    """What could not become a durable row, and why, the latest first; `content` is what was found, as text."""

    queryset = DeadLetter.objects.all()
    serializer_class = serializer_of(DeadLetter)
    filterset_class = filters_of(
        DeadLetter,
        time="found_at",
        equal=("key", "table", "kind"),
        choices={"state": DeadLetterState.values},
    )
