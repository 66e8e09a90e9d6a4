"""The admin's lists of trades, leg-outs, funding, days and snapshots. For reading only (`paperdesk.mirror_admin`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from paperdesk.admin_filters import found_filter, listed_filter, period_filter, venue_filter, venue_of_leg_filter
from paperdesk.mirror_admin import ROWS_A_PAGE, MirrorAdmin, trade_links
from paperdesk.roles import may_command
from trading import glossary
from trading.domain.funding import Basis
from trading.domain.orders import Leg, Liquidity, Role
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
from trading.selectors import trade_page
from trading.services import ExitRefused, trade_exit_request
from trading.settings_admin import InstrumentAdmin as InstrumentAdmin
from trading.settings_admin import StrategyAdmin as StrategyAdmin
from trading.settings_admin import VenueAdmin as VenueAdmin
from trading.stores.errors import RedisAway
from trading.wiring import page_redis_client


@admin.display(description="live")
def live_page(row: PaperTrade) -> str:
    """A link to the trade's live page."""
    return format_html('<a href="/trades/{}/">open</a>', row.id)


@admin.display(description="long / short")
def venues(row: PaperTrade) -> str:
    """The venue of the long leg and that of the short one."""
    return f"{row.long_exchange} / {row.short_exchange}"


OF_LEG = (
    found_filter(PaperTrade, "portfolio"),
    venue_of_leg_filter(PaperTrade),
    found_filter(PaperTrade, "symbol"),
)


@admin.register(PaperTrade)
class PaperTradeAdmin(MirrorAdmin):
    """Trades, the latest entry first."""

    columns = (
        "id", "entry_time", "portfolio", "symbol", "venues", "status", "actual_profit_usd", "exit_reason", "live_page",
    )  # fmt: skip
    sorted_by = "entry_time"
    actions = ("close_trades",)
    further_columns = (venues, live_page)
    change_form_template = "admin/trade_row.html"
    id_columns = ("id",)
    search_help_text = "A trade's exact id."
    list_filter = (
        period_filter("entry_time"),
        listed_filter("status", TradeStatus),
        listed_filter("exit_reason", ExitReason),
        found_filter(PaperTrade, "portfolio"),
        found_filter(PaperTrade, "symbol"),
        venue_filter(PaperTrade),
    )
    groups = (
        (
            "Trade",
            ("id", "portfolio", "symbol", "long_exchange", "short_exchange", "status", "exit_reason", "entry_time")
            + ("exit_time", "legged_out", "origin"),
        ),
        (
            "Entry",
            ("position_size_usd", "quantity", "entry_long_price", "entry_short_price", "entry_spread_bps")
            + ("funding_delta_entry",),
        ),
        (
            "Projection at entry",
            ("projected_profit_usd", "projected_spread_usd", "projected_funding_usd", "projected_fees_usd"),
        ),
        (
            "Outcome",
            ("actual_profit_usd", "exit_long_price", "exit_short_price", "price_pnl_long_usd", "price_pnl_short_usd")
            + ("funding_long_usd", "funding_short_usd", "fees_usd", "hedge_fees_usd", "residual_usd"),
        ),
    )

    def has_close_permission(self, request: HttpRequest) -> bool:
        """Whether the user may ask the engine to close a trade."""
        return may_command(request.user)

    @admin.action(description="Close the selected trades now", permissions=["close"])
    def close_trades(self, request: HttpRequest, queryset: QuerySet[PaperTrade]) -> None:
        """Asks the engine to close each of them, a page of them at most, and says for each what will happen."""
        if queryset[: ROWS_A_PAGE + 1].count() > ROWS_A_PAGE:
            self.message_user(request, f"At most {ROWS_A_PAGE} trades can be closed at once.", messages.ERROR)
            return
        for trade_id in queryset.values_list("pk", flat=True):
            try:
                message = trade_exit_request(str(trade_id), "asked for in the admin", request.user)
            except (ExitRefused, RedisAway) as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, message, messages.SUCCESS)

    def related_links(self, row: Any) -> list[tuple[str, str]]:
        """Live page, results, reconciliation, breaks, leg-out and funding of the trade."""
        return trade_links(row.id, leave_out="trade")

    def context_of(self, row: Any) -> dict[str, Any]:
        """Everything of the trade, as its live page has it. Its record in Redis may be newer than the row; where it
        cannot be read, orders are missing and a sentence says so."""
        page = trade_page(row.id, page_redis_client)
        return {"page": page, "trade": row, "terms": glossary.BY_NAME["trade"], "in_admin": True}


class OfTrade(MirrorAdmin):
    """Rows that belong to a trade."""

    def related_links(self, row: Any) -> list[tuple[str, str]]:
        """The trade, its live page, and what else belongs to it."""
        return trade_links(row.trade_id)


@admin.register(LegOutEvent)
class LegOutEventAdmin(OfTrade):
    """Leg-outs, the latest first."""

    columns = (
        "trade_id", "timestamp", "symbol", "filled_leg", "filled_price", "hedge", "hedge_executed", "hedge_price",
        "hedge_loss", "reason", "portfolio",
    )  # fmt: skip
    sorted_by = "timestamp"
    id_columns = ("trade_id",)
    search_help_text = "A trade's exact id."
    list_filter = (
        period_filter("timestamp"),
        listed_filter("hedge", Hedge),
        listed_filter("filled_leg", Leg),
        found_filter(PaperTrade, "portfolio"),
        found_filter(PaperTrade, "symbol"),
    )
    groups = (
        ("Leg-out", ("trade_id", "portfolio", "symbol", "timestamp", "reason", "origin")),
        ("Legs", ("filled_leg", "filled_at", "filled_price", "unfilled_leg")),
        ("Hedge", ("hedge", "hedge_executed", "hedge_price", "hedge_loss")),
    )


@admin.register(FundingPayment)
class FundingPaymentAdmin(OfTrade):
    """Funding of legs, the latest settlement first."""

    columns = (
        "id", "settled_at", "trade_id", "symbol", "exchange", "leg", "cash_usd", "quantity", "mark_price", "rate",
        "interval_hours", "basis", "portfolio",
    )  # fmt: skip
    sorted_by = "settled_at"
    id_columns = ("id", "trade_id")
    search_help_text = "The exact id of a payment or of a trade."
    list_filter = (
        period_filter("settled_at"),
        listed_filter("leg", Leg),
        listed_filter("basis", Basis),
        *OF_LEG,
    )
    groups = (
        ("Payment", ("id", "trade_id", "portfolio", "exchange", "symbol", "leg", "settled_at", "cash_usd")),
        ("Terms", ("quantity", "mark_price", "rate", "interval_hours", "basis")),
    )


@admin.register(OrderFill)
class OrderFillAdmin(OfTrade):
    """Fills of orders, the latest first, each with the evidence for it."""

    columns = (
        "id", "filled_at", "trade_id", "symbol", "exchange", "leg", "role", "direction", "liquidity", "quantity",
        "price", "fee", "portfolio",
    )  # fmt: skip
    sorted_by = "filled_at"
    id_columns = ("id", "trade_id", "order_id")
    search_help_text = "The exact id of a fill, of an order or of a trade."
    list_filter = (
        period_filter("filled_at"),
        listed_filter("liquidity", Liquidity),
        listed_filter("role", Role),
        listed_filter("leg", Leg),
        *OF_LEG,
    )
    groups = (
        (
            "Fill",
            ("id", "trade_id", "order_id", "result_id", "portfolio", "exchange", "symbol", "leg", "role", "direction")
            + ("liquidity", "price", "quantity", "order_quantity", "fee"),
        ),
        ("Times", ("sent_at", "accepted_at", "filled_at")),
        ("Evidence", ("evidence",)),
    )


@admin.register(ShadowFill)
class ShadowFillAdmin(OfTrade):
    """When orders would have filled at other thresholds, the latest first."""

    columns = (
        "id", "accepted_at", "trade_id", "symbol", "exchange", "leg", "depth", "volume", "filled_20_at", "filled_50_at",
        "filled_100_at", "filled_through_at", "portfolio",
    )  # fmt: skip
    sorted_by = "accepted_at"
    id_columns = ("id", "trade_id")
    search_help_text = "The exact id of a row or of a trade."
    list_filter = (period_filter("accepted_at"), listed_filter("role", Role), listed_filter("leg", Leg), *OF_LEG)
    groups = (
        (
            "Order",
            ("id", "trade_id", "order_id", "portfolio", "exchange", "symbol", "leg", "role", "direction", "price")
            + ("quantity", "accepted_at", "leg_out_ms"),
        ),
        ("Queue", ("depth", "volume", "watched_until")),
        ("Would have filled", ("filled_20_at", "filled_50_at", "filled_100_at", "filled_through_at")),
    )


class OfPortfolioDay(MirrorAdmin):
    """Rows of a portfolio and a UTC day, under the key `portfolio:date`."""

    sorted_by = "date"
    id_columns = ("id",)
    search_help_text = "The exact key, such as strategy:2026-01-31."
    list_filter: Sequence[Any] = (period_filter("date"), found_filter(PaperTrade, "portfolio"))


@admin.register(DailyMetrics)
class DailyMetricsAdmin(OfPortfolioDay):
    """Days of the portfolios."""

    columns = (
        "id", "date", "daily_pnl", "daily_pnl_percentage", "trades_executed", "trades_won", "trades_lost", "win_rate",
        "leg_out_events", "leg_out_loss", "max_drawdown",
    )  # fmt: skip
    groups = (
        ("Day", ("id", "portfolio", "date", "updated_at")),
        ("Trades", ("trades_executed", "trades_won", "trades_lost", "win_rate", "average_trade_duration_seconds")),
        ("Profit and loss", ("daily_pnl", "daily_pnl_percentage", "realistic_apr")),
        ("Risk", ("leg_out_events", "leg_out_loss", "max_drawdown", "sharpe_ratio", "sortino_ratio")),
    )


@admin.register(PortfolioSnapshot)
class PortfolioSnapshotAdmin(OfPortfolioDay):
    """States of the portfolios, one a day."""

    columns = (
        "id", "date", "equity_usd", "cumulative_pnl", "unrealised_usd", "available_capital", "total_open_positions",
        "active_trade_count", "total_trades", "leg_out_count",
    )  # fmt: skip
    groups = (
        ("Snapshot", ("id", "portfolio", "date", "taken_at")),
        (
            "Capital",
            ("starting_capital", "available_capital", "total_open_positions", "cumulative_pnl", "unrealised_usd")
            + ("equity_usd", "fees_paid", "funding_received"),
        ),
        (
            "Counts",
            ("active_trade_count", "total_trades", "win_count", "loss_count", "leg_out_count")
            + ("leg_out_total_loss",),
        ),
    )
