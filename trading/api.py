"""The API's endpoints over the tables of trading, and the portfolios as they stand now."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import permissions, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from paperdesk.rest import MirrorViewSet, filters_of, serializer_of
from paperdesk.roles import may_command
from trading.api_portfolios import DeskAway
from trading.domain.funding import Basis
from trading.domain.orders import Leg, Liquidity, Role, Side
from trading.domain.trades import ExitReason, Hedge, TradeStatus
from trading.models import (
    DailyMetrics,
    FundingPayment,
    LegOutEvent,
    OrderFill,
    PaperTrade,
    PortfolioSnapshot,
    ShadowFill,
)
from trading.services import NOTE_CHARACTERS_MAX, ExitRefused, TradeUnknown, trade_exit_request
from trading.stores.errors import RedisAway


def _either_leg(rows: QuerySet[PaperTrade], name: str, value: str) -> QuerySet[PaperTrade]:
    return rows.filter(Q(long_exchange=value) | Q(short_exchange=value))


class ExitRequestSerializer(serializers.Serializer):
    """What a person says when a trade is to be closed."""

    reason = serializers.CharField(
        max_length=NOTE_CHARACTERS_MAX,
        allow_blank=True,
        default="",
        help_text="For the log.",
    )


class ExitAnswerSerializer(serializers.Serializer):
    """What will happen."""

    message = serializers.CharField()


class MayCommand(permissions.BasePermission):
    """Staff, administrators and superusers."""

    def has_permission(self, request: Request, view: object) -> bool:
        """Whether the user may ask the engine for something."""
        return may_command(request.user)


@extend_schema(tags=["trading"])
class PaperTradeViewSet(MirrorViewSet):
    """Paper trades, the latest entry first."""

    queryset = PaperTrade.objects.all()
    serializer_class = serializer_of(PaperTrade)
    filterset_class = filters_of(
        PaperTrade,
        time="entry_time",
        equal=("portfolio", "symbol", "long_exchange", "short_exchange", "legged_out", "origin"),
        choices={"status": list(TradeStatus), "exit_reason": list(ExitReason)},
        ranges=("actual_profit_usd", "position_size_usd", "entry_spread_bps"),
        more={"exchange": django_filters.CharFilter(method=_either_leg, help_text="Venue of either leg.")},
    )

    @extend_schema(
        request=ExitRequestSerializer,
        responses={202: ExitAnswerSerializer},
        filters=False,
        description="Asks the engine to close an Active trade, with exit reason `manual`. Staff only. The engine obeys "
        "at once if it runs; a request that it has not taken within 3 s is void.",
    )
    @action(detail=True, methods=["post"], url_path="exit", permission_classes=[MayCommand], filter_backends=[])
    def exit(self, request: Request, pk: str) -> Response:
        """202 with what will happen; 400, 403, 404 or 503 with the reason why not."""
        asked = ExitRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            message = trade_exit_request(pk, asked.validated_data["reason"], request.user)
        except TradeUnknown as error:
            raise NotFound(str(error)) from None
        except ExitRefused as error:
            raise ValidationError({"detail": str(error)}) from None
        except RedisAway as error:
            raise DeskAway(str(error)) from None
        return Response({"message": message}, status=status.HTTP_202_ACCEPTED)


@extend_schema(tags=["trading"])
class LegOutEventViewSet(MirrorViewSet):
    """Leg-outs, the latest first; the key is the trade's id."""

    queryset = LegOutEvent.objects.all()
    serializer_class = serializer_of(LegOutEvent)
    filterset_class = filters_of(
        LegOutEvent,
        time="timestamp",
        equal=("trade_id", "portfolio", "symbol", "hedge_executed", "reason"),
        choices={"filled_leg": list(Leg), "hedge": list(Hedge)},
        ranges=("hedge_loss",),
    )


@extend_schema(tags=["trading"])
class FundingPaymentViewSet(MirrorViewSet):
    """Funding of legs, the latest settlement first."""

    queryset = FundingPayment.objects.all()
    serializer_class = serializer_of(FundingPayment)
    filterset_class = filters_of(
        FundingPayment,
        time="settled_at",
        equal=("trade_id", "portfolio", "exchange", "symbol"),
        choices={"leg": list(Leg), "basis": list(Basis)},
        ranges=("cash_usd",),
    )


@extend_schema(tags=["trading"])
class OrderFillViewSet(MirrorViewSet):
    """Fills of orders with the evidence for them, the latest first.

    `evidence.kind` is "queue" (the order rested: depth, threshold and volume at its price, the first and last prints
    that counted, and what filled it: threshold, through or front) or "walk" (it took from the book: levels as
    [price, quantity], best first, the limit, the book's time and state). Its times are microseconds since the epoch.
    """

    queryset = OrderFill.objects.all()
    serializer_class = serializer_of(OrderFill)
    filterset_class = filters_of(
        OrderFill,
        time="filled_at",
        equal=("trade_id", "order_id", "portfolio", "exchange", "symbol"),
        choices={"leg": list(Leg), "role": list(Role), "direction": list(Side), "liquidity": list(Liquidity)},
    )


@extend_schema(tags=["trading"])
class ShadowFillViewSet(MirrorViewSet):
    """When orders that joined a queue would have filled at other thresholds, the latest first.

    An order is judged by the prints that it counts while it rests, and by whole prints afterwards, as if it still
    rested, for the strategy's entry timeout from its acceptance, at most 120 s (longer only while it rests).
    Null: not until `watched_until`.
    """

    queryset = ShadowFill.objects.all()
    serializer_class = serializer_of(ShadowFill)
    filterset_class = filters_of(
        ShadowFill,
        time="accepted_at",
        equal=("trade_id", "portfolio", "exchange", "symbol"),
        choices={"leg": list(Leg), "role": list(Role), "direction": list(Side)},
    )


@extend_schema(tags=["trading"])
class DailyMetricsViewSet(MirrorViewSet):
    """Metrics of portfolios' UTC days, the latest day first; the key is `portfolio:date`."""

    queryset = DailyMetrics.objects.all()
    serializer_class = serializer_of(DailyMetrics)
    filterset_class = filters_of(DailyMetrics, time="date", equal=("portfolio",), ranges=("daily_pnl",))


@extend_schema(tags=["trading"])
class PortfolioSnapshotViewSet(MirrorViewSet):
    """States of portfolios, one a UTC day, the latest day first; the key is `portfolio:date`."""

    queryset = PortfolioSnapshot.objects.all()
    serializer_class = serializer_of(PortfolioSnapshot)
    filterset_class = filters_of(PortfolioSnapshot, time="date", equal=("portfolio",), ranges=("cumulative_pnl",))
