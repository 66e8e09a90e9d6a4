"""The API's endpoints over reviews: read only. Proposals and decisions are made in the admin, where the evidence is."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema

from paperdesk.rest import MirrorViewSet, filters_of, serializer_of
from results.domain.breaks import BreakKind
from results.domain.review import CaseState, Reason, Resolution, Severity
from results.review_models import (
    AuditEntry,
    Outcome,
    ReconciliationTolerance,
    Review,
    ReviewCase,
    ReviewComment,
    TradeAdjustment,
)


@extend_schema(tags=["reviews"])
class ReviewCaseViewSet(MirrorViewSet):
    """Cases of review, the gravest and oldest first; the key is the trade's id."""

    queryset = ReviewCase.objects.all()
    serializer_class = serializer_of(ReviewCase)
    filterset_class = filters_of(
        ReviewCase,
        time="opened_at",
        equal=("portfolio", "exchange", "symbol", "assignee"),
        choices={
            "state": list(CaseState),
            "kind": list(BreakKind),
            "severity": [str(int(each)) for each in Severity],
            "resolution": list(Resolution),
        },
    )


@extend_schema(tags=["reviews"])
class ReviewViewSet(MirrorViewSet):
    """Proposals and what was decided on them, the latest first."""

    queryset = Review.objects.all()
    serializer_class = serializer_of(Review)
    filterset_class = filters_of(
        Review,
        time="proposed_at",
        equal=("trade_id", "maker", "checker"),
        choices={
            "resolution": list(Resolution),
            "reason": list(Reason),
            "outcome": [value for value in Outcome.values if value],
        },
    )


@extend_schema(tags=["reviews"])
class ReviewCommentViewSet(MirrorViewSet):
    """What was said of cases, the earliest first."""

    queryset = ReviewComment.objects.all()
    serializer_class = serializer_of(ReviewComment)
    filterset_class = filters_of(ReviewComment, time="said_at", equal=("trade_id", "author"))


@extend_schema(tags=["reviews"])
class TradeAdjustmentViewSet(MirrorViewSet):
    """Corrected figures, the latest first; those that are `in_force` were approved."""

    queryset = TradeAdjustment.objects.all()
    serializer_class = serializer_of(TradeAdjustment)
    filterset_class = filters_of(
        TradeAdjustment, time="changed_at", equal=("trade_id", "review_id", "adjusted_table", "adjusted_key")
    )


@extend_schema(tags=["reviews"])
class ReconciliationToleranceViewSet(MirrorViewSet):
    """Tolerances of reconciliation; the key is `venue:symbol`, with `*` for any."""

    queryset = ReconciliationTolerance.objects.all()
    lookup_value_regex = "[^/]+"
    serializer_class = serializer_of(ReconciliationTolerance)
    filterset_class = filters_of(ReconciliationTolerance, time="changed_at", equal=("venue", "symbol", "enabled"))


@extend_schema(tags=["reviews"])
class AuditEntryViewSet(MirrorViewSet):
    """The audit trail, the latest first; `manage.py verify_audit` proves it."""

    queryset = AuditEntry.objects.all()
    serializer_class = serializer_of(AuditEntry)
    filterset_class = filters_of(AuditEntry, time="at", equal=("who", "action", "subject"))
