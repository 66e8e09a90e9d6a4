"""What the trade page reads: one trade with all that belongs to it.

A trade's record in Redis is the newest truth, and the only place with its orders and their queue positions; the
Django tables follow a few seconds later and stay for as long as they are kept. Whichever has the higher version is
shown. Results, metrics, funding, leg-out and reconciliation come from the Django tables.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db.models import Model
from redis import Redis
from redis.exceptions import RedisError

from paperdesk.mirror import window_began, window_note
from results.domain.units import ZERO, datetime_of
from trading.domain.orders import Order
from trading.domain.queue import progress_fraction
from trading.domain.sensitivity import Sensitivity
from trading.domain.trades import Trade
from trading.evidence_selectors import FillLine, ShadowLine, fills_of, portfolio_sensitivity, shadow_lines, shadows_of
from trading.models import FundingPayment, LegOutEvent, PaperTrade, ShadowFill
from trading.stores import keys
from trading.stores.errors import RedisAway, WireError
from trading.stores.rows import trade_row
from trading.stores.wire import decode_trade

FIRST_PREFIX = "strategy"
ROWS_SHOWN_MAX = 200


@dataclass(frozen=True)
class OrderLine:
    """An order of a trade and how far it is in its queue, from 0 to 1 (None: it never rested)."""

    order: Order
    progress: float | None
    created_at: datetime.datetime
    filled_at: datetime.datetime | None


@dataclass(frozen=True)
class ResultLine:
    """A row of `trade_result` and the row of `result_metrics` that belongs to it, if it has arrived."""

    result: Any
    metrics: Any | None


@dataclass(frozen=True)
class TradePage:
    """One trade. `facts` is a PaperTrade, saved or made from Redis; `trouble` a sentence, "" when all could be read;
    `left` says where its rows are that are too old for the tables, "" when none is."""

    facts: PaperTrade
    is_open: bool
    is_durable: bool
    trouble: str
    left: str = ""
    orders: list[OrderLine] = field(default_factory=list)
    results: list[ResultLine] = field(default_factory=list)
    funding: list[FundingPayment] = field(default_factory=list)
    leg_out: LegOutEvent | None = None
    reconciliation: Any | None = None
    breaks: list[Any] = field(default_factory=list)
    case: Any | None = None
    fills: list[FillLine] = field(default_factory=list)
    shadows: list[ShadowFill] = field(default_factory=list)
    sensitivity: Sensitivity | None = None

    @property
    def shadow_lines(self) -> list[ShadowLine]:
        """The trade's rested orders at each threshold."""
        return shadow_lines(self.shadows)

    @property
    def watched_seconds(self) -> float | None:
        """How long the longest watched order was watched."""
        spans = [(each.watched_until - each.accepted_at).total_seconds() for each in self.shadows]
        return max(spans, default=None)

    @property
    def funding_usd(self) -> Decimal:
        """The cash of the funding payments listed."""
        return sum((payment.cash_usd for payment in self.funding), ZERO)

    @property
    def duration_seconds(self) -> float | None:
        """From the first order to the last fill; None while the trade is open."""
        return self.facts.exit_time and (self.facts.exit_time - self.facts.entry_time).total_seconds()

    @property
    def spread_exit_bps(self) -> Decimal | None:
        """The spread of the exit prices, as at entry (ruling 6)."""
        long, short = self.facts.exit_long_price, self.facts.exit_short_price
        return None if long is None or short is None else (short - long) / ((short + long) / 2) * 10_000


def trade_page(trade_id: uuid.UUID, connect: Callable[[], Redis]) -> TradePage | None:
    """The trade with this id, or None when neither Redis nor the Django tables know it.

    `connect` gives the client; it may raise RedisAway. Raises TradeUnreadable when what could tell does not answer.
    """
    row = PaperTrade.objects.filter(id=trade_id).first()
    trade, trouble = trade_in_redis(str(trade_id), connect)
    facts = _newest(row, trade)
    if facts is None and trouble:
        raise TradeUnreadable(trouble)
    if facts is None:
        return None
    return TradePage(
        facts=facts,
        is_open=facts.status != "Closed",
        is_durable=row is not None,
        trouble=trouble,
        left=_left(facts),
        orders=[_order_line(order) for order in trade.all_orders] if trade else [],
        results=_results(trade_id),
        funding=list(FundingPayment.objects.filter(trade_id=trade_id)[:ROWS_SHOWN_MAX]),
        leg_out=LegOutEvent.objects.filter(trade_id=trade_id).first(),
        reconciliation=_rows("TradeReconciliation", trade_id=trade_id).first(),
        case=_rows("ReviewCase", trade_id=trade_id).first(),
        breaks=list(
            _rows("TradeReconciliationBreak", trade_id=trade_id).order_by("-is_failure", "kind")[:ROWS_SHOWN_MAX]
        ),
        fills=fills_of(trade_id),
        shadows=shadows_of(trade_id),
        sensitivity=portfolio_sensitivity(facts.portfolio),
    )


class TradeUnreadable(Exception):
    """A trade may exist, but what could tell does not answer or makes no sense; the sentence says which."""


def trade_in_redis(trade_id: str, connect: Callable[[], Redis]) -> tuple[Trade | None, str]:
    """The trade's record in any portfolio, open or closed, and a sentence when it could not be read."""
    try:
        client = connect()
        known: Any = client.hkeys(keys.PORTFOLIOS)
        places = [
            (portfolio, key)
            for portfolio in dict.fromkeys([*(raw.decode() for raw in known), FIRST_PREFIX])
            for key in _keys_of(portfolio, trade_id)
        ]
        found: Any = client.mget([key for _, key in places])
        for (portfolio, key), raw in zip(places, found, strict=True):
            if raw is not None:
                return decode_trade(raw, key, portfolio), ""
    except (RedisAway, RedisError):
        return None, "Redis does not answer, so orders and the latest state of the trade are missing here."
    except WireError as error:
        return None, f"The trade's record in Redis cannot be read: {error}"
    return None, ""


def _left(facts: PaperTrade) -> str:
    began = window_began()
    return window_note() if began is not None and facts.entry_time.date() < began else ""


def _keys_of(portfolio: str, trade_id: str) -> tuple[str, str]:
    place = keys.PortfolioKeys(portfolio)
    return place.active_trade(trade_id), place.closed_trade(trade_id)


def _newest(row: PaperTrade | None, trade: Trade | None) -> PaperTrade | None:
    if trade is None or (row is not None and row.version >= trade.version):
        return row
    columns = trade_row(trade)
    times = {name: _instant(columns[name]) for name in ("entry_time", "exit_time")}
    return PaperTrade(**{**columns, **times, "id": uuid.UUID(trade.id)})


def _order_line(order: Order) -> OrderLine:
    progress = progress_fraction(order.queue) if order.queue else None
    return OrderLine(order, progress, datetime_of(order.created_us), _instant(order.filled_us))


def _instant(time_us: int | None) -> datetime.datetime | None:
    return None if time_us is None else datetime_of(time_us)


def _results(trade_id: uuid.UUID) -> list[ResultLine]:
    results = list(_rows("TradeResult", trade_id=trade_id).order_by("executed_at", "result_id")[:ROWS_SHOWN_MAX])
    metrics = {row.pk: row for row in _rows("ResultMetrics", pk__in=[result.pk for result in results])}
    return [ResultLine(result, metrics.get(result.pk)) for result in results]


def _rows(model: str, **conditions: Any) -> Any:
    """Rows of a mirrored table of `results`, by the name of its model: this app knows nothing else of that one."""
    table: type[Model] = apps.get_model("results", model)
    return table._default_manager.filter(**conditions)
