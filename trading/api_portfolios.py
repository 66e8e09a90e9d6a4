"""The API's endpoint for the portfolios as they stand now. It reads Redis, not the mirrored tables."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from paperdesk.rest import ExactDecimal, ViewPermission, refuse_unknown
from trading import wiring
from trading.evidence_selectors import portfolio_sensitivity
from trading.live_portfolios import live_portfolios
from trading.models import PortfolioSnapshot
from trading.stores.errors import RedisAway


class DeskAway(APIException):
    """The desk's Redis does not answer: nobody knows how the portfolios stand."""

    status_code = 503
    default_code = "desk_away"


def _number(said: str) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=f"{said} Null while it is undefined.")


class RecentExitSerializer(serializers.Serializer):
    """One of the last trades that closed."""

    trade_id = serializers.CharField()
    symbol = serializers.CharField()
    exit_time = serializers.IntegerField(help_text="Unix seconds, UTC.")
    actual_profit = serializers.FloatField(help_text="Realised net, US dollars.")
    exit_reason = serializers.CharField()


class PortfolioMetricsSerializer(serializers.Serializer):
    """The documents' PortfolioMetrics, JSON numbers as they are on the wire."""

    timestamp = serializers.IntegerField(help_text="Unix seconds, UTC.")
    total_trades = serializers.IntegerField(help_text="Closed trades with at least one fill.")
    win_rate = _number("Won over closed trades, a ratio.")
    cumulative_pnl = _number("Realised net, US dollars.")
    pnl_percentage = _number("Of the starting capital, in percent.")
    available_capital = _number("US dollars that no trade has reserved.")
    utilization_pct = _number("Open positions over starting capital, a ratio.")
    leg_out_count = serializers.IntegerField(help_text="A count.")
    leg_out_loss_pct = _number("Leg-out loss over cumulative P&L, a ratio.")
    realistic_apr = _number("Simple, a ratio per year of 365 days.")
    active_trade_count = serializers.IntegerField(help_text="A count.")
    recent_exits = RecentExitSerializer(many=True)


class PortfolioSerializer(serializers.Serializer):
    """A portfolio and its metrics now."""

    prefix = serializers.CharField(help_text="Beginning of its Redis keys, and its name in the tables.")
    name = serializers.CharField()
    starting_capital = serializers.CharField(help_text="US dollars, exact.")
    started_us = serializers.IntegerField(help_text="Microseconds since the epoch, UTC.")
    metrics = PortfolioMetricsSerializer(allow_null=True)
    trouble = serializers.CharField(help_text="Why there are no metrics; empty when there are.")


class AtThresholdSerializer(serializers.Serializer):
    """The portfolio at one queue threshold."""

    name = serializers.CharField(help_text="Share of the depth ahead that has to trade, or trade-through.")
    in_time_fraction = ExactDecimal(help_text="Entry orders filled within the leg-out time, a ratio.")
    filled_fraction = ExactDecimal(help_text="Entry orders filled at all while they were watched, a ratio.")
    hedged = serializers.IntegerField(help_text="Trades of which both legs fill within the leg-out time of each other.")
    legged_out = serializers.IntegerField(help_text="Trades of which only one leg does.")
    unfilled = serializers.IntegerField(help_text="Trades of which none does.")
    net_usd = ExactDecimal(
        allow_null=True,
        help_text="Estimate in US dollars: hedged and legged-out trades at the mean net that such trades made.",
    )


class SensitivitySerializer(serializers.Serializer):
    """What other queue thresholds would have made of the latest entry orders that rested, and of their trades."""

    orders = serializers.IntegerField(help_text="Entry orders counted.")
    trades = serializers.IntegerField(help_text="Trades of which both legs rested.")
    trades_closed = serializers.IntegerField(help_text="Those of them that closed with a fill.")
    net_usd = ExactDecimal(help_text="What these really made, US dollars.")
    thresholds = AtThresholdSerializer(many=True)


@extend_schema(tags=["live"])
@extend_schema_view(
    list=extend_schema(responses=PortfolioSerializer(many=True)), retrieve=extend_schema(responses=PortfolioSerializer)
)
class PortfolioViewSet(viewsets.ViewSet):
    """The portfolios now, as the monitor measured them within the last second or so."""

    queryset = PortfolioSnapshot.objects.none()  # whoever may view snapshots may view the portfolios
    permission_classes: ClassVar = [ViewPermission]
    lookup_field = "prefix"
    lookup_value_regex = "[^/]+"

    def list(self, request: Request) -> Response:
        """All portfolios by prefix."""
        refuse_unknown(request, known=set())
        return Response(_portfolios())

    def retrieve(self, request: Request, prefix: str) -> Response:
        """One portfolio. Raises NotFound, naming the prefix."""
        refuse_unknown(request, known=set())
        found = next((portfolio for portfolio in _portfolios() if portfolio["prefix"] == prefix), None)
        if found is None:
            raise NotFound(f"there is no portfolio {prefix!r}")
        return Response(found)

    @extend_schema(responses=SensitivitySerializer)
    @action(detail=True)
    def sensitivity(self, request: Request, prefix: str) -> Response:
        """What other queue thresholds would have made of a portfolio. Raises NotFound where none of its orders rested.

        It reads the mirrored tables, so it answers while Redis is away, and for portfolios of the past.
        """
        refuse_unknown(request, known=set())
        found = portfolio_sensitivity(prefix)
        if found is None:
            raise NotFound(f"no entry order of a portfolio {prefix!r} has rested")
        return Response(SensitivitySerializer(found).data)


def _portfolios() -> list[dict[str, Any]]:
    try:
        return live_portfolios(wiring.page_redis_client())
    except RedisAway as error:
        raise DeskAway(str(error)) from None
