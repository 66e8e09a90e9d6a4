"""The pages: the live desk, which the browser fills from `/ws/live/`, and the page of one trade."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from paperdesk.mirror import window_note
from trading import glossary, selectors, wiring

HEALTH = (
    ("feed", "Feed", "The market feed: its name, messages a second, and the age of the newest message."),
    ("tick", "Monitor", "The monitor marks every open trade once a second."),
    ("duckdb", "DuckDB", "The local durable log: age of its last sync, and rows that wait for it."),
    ("django", "Django tables", "What admin and API read: age of the last sync, and rows that wait."),
    ("clickhouse", "ClickHouse", "The store for everything and for ever: age of the last sync, and rows that wait."),
    (
        "sweep",
        "Other programs",
        "Results, trades and leg-outs that other programs wrote into Redis. Each one seen is accepted, and then in "
        "every store, or set aside as a dead letter with the reason, until it is mended or staff have it tried again.",
    ),
    (
        "verify",
        "Verified",
        "When changed days, and when all rows, were last compared between the stores, and what differed; or where the "
        "audit trail is broken.",
    ),
)
COMPARED = (
    ("headline", "equity_usd", "equity_usd"),
    ("headline", "unrealised_usd", "unrealised_usd"),
    ("portfolio", "cumulative_pnl", "metrics.cumulative_pnl"),
    ("portfolio", "pnl_percentage", "metrics.pnl_percentage"),
    ("portfolio", "total_trades", "metrics.total_trades"),
    ("portfolio", "win_rate", "metrics.win_rate"),
    ("portfolio", "leg_out_count", "metrics.leg_out_count"),
    ("portfolio", "leg_out_loss_pct", "metrics.leg_out_loss_pct"),
    ("portfolio", "utilization_pct", "metrics.utilization_pct"),
    ("portfolio", "realistic_apr", "metrics.realistic_apr"),
    ("headline", "max_drawdown", "max_drawdown"),
    ("portfolio", "active_trade_count", "metrics.active_trade_count"),
)
TERMS_SHOWN = (
    ("Portfolio", (*glossary.HEADLINE, glossary.LEG_OUT_RATE, *glossary.PORTFOLIO)),
    ("Today", glossary.DAILY),
    ("Open trades", glossary.TRADE),
    ("Exits and leg-outs", glossary.EXIT + glossary.LEG_OUT),
    ("Other programs", glossary.OTHER_PROGRAMS),
)


@require_safe
@login_required
def live_desk(request: HttpRequest) -> HttpResponse:
    """The live desk: a frame with every label; the numbers come by WebSocket."""
    terms = glossary.BY_NAME
    context = {
        "health": HEALTH,
        "headline": (*glossary.HEADLINE, glossary.LEG_OUT_RATE),
        "portfolio_figures": [(f"metrics.{term.name}", term) for term in glossary.PORTFOLIO],
        "daily_figures": [(f"daily.{term.name}", term) for term in glossary.DAILY],
        "comparison": [{"term": terms[section][name], "path": path} for section, name, path in COMPARED],
        "trade_columns": [term for term in glossary.TRADE if term.name != "queue"],
        "queue": terms["trade"]["queue"],
        "hedge_price": terms["leg_out"]["hedge_price"],
        "hedge_loss": terms["leg_out"]["hedge_loss"],
        "glossary": TERMS_SHOWN,
    }
    return render(request, "desk/live.html", context)


@require_safe
@login_required
def trade(request: HttpRequest, trade_id: uuid.UUID) -> HttpResponse:
    """Everything about one trade; 404 when nobody knows it, 503 when what could tell does not answer."""
    try:
        page = selectors.trade_page(trade_id, wiring.page_redis_client)
    except selectors.TradeUnreadable as trouble:
        return render(request, "desk/unreadable.html", {"trouble": trouble, "trade_id": trade_id}, status=503)
    if page is None:
        missing = f"No trade has the id {trade_id}. It may be from another desk, or mistyped. {window_note()}".strip()
        return render(request, "404.html", {"missing": missing}, status=404)
    return render(request, "desk/trade.html", {"page": page, "trade": page.facts, "terms": glossary.BY_NAME["trade"]})
