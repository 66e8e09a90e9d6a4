"""What pages and API tell of fills: why each happened, and what other queue thresholds would have made of it."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from results.domain.units import datetime_of, us_of_datetime
from trading.domain.evidence import Evidence, QueueEvidence, WalkEvidence, decode_evidence
from trading.domain.explanation import explained
from trading.domain.orders import Role, Side
from trading.domain.sensitivity import Outcome, RestedEntry, Sensitivity, sensitivity
from trading.domain.shadow import NAMES
from trading.domain.trades import ExitReason, TradeStatus
from trading.models import OrderFill, PaperTrade, ShadowFill

FILLS_SHOWN_MAX = 50
ENTRIES_COUNTED_MAX = 1_000  # the latest ones of a portfolio
FILLED_COLUMNS = ("filled_20_at", "filled_50_at", "filled_100_at", "filled_through_at")
NEVER_FILLED = (ExitReason.ENTRY_TIMEOUT, ExitReason.RESTART)


@dataclass(frozen=True)
class PrintLine:
    """A print that counted, or (`omitted` above zero) how many are left out here."""

    at: datetime.datetime | None = None
    print_id: int = 0
    price: Decimal | None = None
    quantity: Decimal | None = None
    counted: Decimal | None = None
    is_decisive: bool = False
    omitted: int = 0


@dataclass(frozen=True)
class FillLine:
    """A row of `order_fill`, explained. Exactly one of `queue` and `walk` is there, or none without evidence."""

    fill: OrderFill
    sentence: str
    queue: QueueEvidence | None
    walk: WalkEvidence | None
    prints: list[PrintLine]
    book_at: datetime.datetime | None

    @property
    def way_ms(self) -> float | None:
        """From sending to acceptance."""
        return _ms_between(self.fill.sent_at, self.fill.accepted_at)

    @property
    def wait_ms(self) -> float | None:
        """From acceptance to this fill."""
        return _ms_between(self.fill.accepted_at, self.fill.filled_at)


@dataclass(frozen=True)
class ShadowLine:
    """One threshold: milliseconds from acceptance for each of the trade's rested orders, None if it never filled."""

    name: str
    waits_ms: list[float | None]


def fills_of(trade_id: uuid.UUID) -> list[FillLine]:
    """The fills of a trade, the first one first."""
    rows = OrderFill.objects.filter(trade_id=trade_id).order_by("filled_at", "id")[:FILLS_SHOWN_MAX]
    return [_fill_line(row) for row in rows]


def shadows_of(trade_id: uuid.UUID) -> list[ShadowFill]:
    """The shadow fills of a trade's orders that rested, the long leg first."""
    return list(ShadowFill.objects.filter(trade_id=trade_id).order_by("leg", "accepted_at")[:FILLS_SHOWN_MAX])


def shadow_lines(shadows: Iterable[ShadowFill]) -> list[ShadowLine]:
    """A line per threshold, a column per order."""
    orders = list(shadows)
    return [
        ShadowLine(name, [_ms_between(order.accepted_at, getattr(order, column)) for order in orders])
        for name, column in zip(NAMES, FILLED_COLUMNS, strict=True)
    ]


def portfolio_sensitivity(portfolio: str) -> Sensitivity | None:
    """How the portfolio's latest ENTRIES_COUNTED_MAX rested entry orders would have fared; None without any."""
    rows = ShadowFill.objects.filter(portfolio=portfolio, role=Role.ENTRY.value)
    found = rows.values_list("trade_id", "accepted_at", "leg_out_ms", *FILLED_COLUMNS)[:ENTRIES_COUNTED_MAX]
    entries = [
        RestedEntry(str(trade), us_of_datetime(accepted), patience_ms, tuple(map(_us, filled)))
        for trade, accepted, patience_ms, *filled in found
    ]
    closed = PaperTrade.objects.filter(
        id__in={entry.trade_id for entry in entries}, status=TradeStatus.CLOSED, actual_profit_usd__isnull=False
    ).exclude(exit_reason__in=NEVER_FILLED)
    outcomes = {
        str(trade): Outcome(net, legged_out)
        for trade, net, legged_out in closed.values_list("id", "actual_profit_usd", "legged_out")
    }
    return sensitivity(entries, outcomes)


def _fill_line(row: OrderFill) -> FillLine:
    evidence = _evidence(row.evidence)
    filled_us = us_of_datetime(row.filled_at)
    queue = evidence if isinstance(evidence, QueueEvidence) else None
    return FillLine(
        fill=row,
        sentence=explained(evidence, Side(row.direction), filled_us, row.quantity, row.order_quantity),
        queue=queue,
        walk=evidence if isinstance(evidence, WalkEvidence) else None,
        prints=_print_lines(queue) if queue else [],
        book_at=datetime_of(evidence.book_us) if evidence else None,
    )


def _evidence(text: str | None) -> Evidence | None:
    """The evidence, None where there is none that this version can read."""
    try:
        return None if text is None else decode_evidence(text)
    except msgspec.DecodeError:
        return None


def _print_lines(queue: QueueEvidence) -> list[PrintLine]:
    first, last = (
        [
            PrintLine(
                at=datetime_of(seen.event_us),
                print_id=seen.print_id,
                price=seen.price,
                quantity=seen.quantity,
                counted=seen.counted,
                is_decisive=seen is queue.decisive,
            )
            for seen in prints
        ]
        for prints in (queue.first_prints, queue.last_prints)
    )
    return [*first, *([PrintLine(omitted=queue.prints_omitted)] if queue.prints_omitted else []), *last]


def _ms_between(start: datetime.datetime | None, end: datetime.datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds() * 1000


def _us(moment: datetime.datetime | None) -> int | None:
    return None if moment is None else us_of_datetime(moment)
