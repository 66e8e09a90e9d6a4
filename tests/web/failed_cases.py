"""Cases of review for tests: a trade with its results, breaks and reconciliation, as the mirror takes them in, and the
page of its case."""

from __future__ import annotations

import html
import uuid
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from paperdesk.models import OutboxRow
from results.domain.review import Basis, Reason, Resolution
from results.domain.units import us_of_datetime
from results.models import TradeReconciliation, TradeReconciliationBreak, TradeResult
from results.review.following import cases_follow
from results.review.services import Wanted, case_propose
from results.review_models import AuditEntry, Review, ReviewCase, ReviewComment, TradeAdjustment
from tests.web.rows import NOON, row
from trading.engine.clock import SystemClock
from trading.models import PaperTrade

TRADE = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")
RESULT = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
NOON_US = us_of_datetime(NOON)
PLACE = f"/admin/results/reviewcase/{TRADE}/change/"
BASIS = {"propose-basis": "1:11", f"propose-seen-{RESULT}": "3"}
ACCEPT = {"step": "propose", "propose-resolution": "accept", "propose-reason": "market_moved", **BASIS}
PRICE = f"propose-execution_price-{RESULT}"
ADJUST = {**ACCEPT, "propose-resolution": "adjust", "propose-reason": "wrong_price", PRICE: "40010"}


def failed(trade: uuid.UUID = TRADE, **changes: Any) -> ReviewCase:
    """The case of a trade whose entry on binance slipped by 12.4 bps, where 5 are allowed."""
    row(PaperTrade, id=trade).save()
    result = RESULT if trade == TRADE else uuid.uuid4()
    row(
        TradeResult, result_id=result, trade_id=trade, requested_price=Decimal(40_000),
        execution_price=Decimal("40049.6"), filled_quantity=Decimal("0.5"), commission=Decimal("8.01"), version=3,
    ).save()  # fmt: skip
    row(
        TradeReconciliationBreak, trade_id=trade, result_id=result, is_failure=True, expected=Decimal(40_000),
        actual=Decimal("40049.6"), discrepancy=Decimal("49.6"), tolerance=Decimal(5), version=1,
        reason="Slippage too high",
    ).save()  # fmt: skip
    return reconciled(1, trade, **changes)


def reconciled(version: int, trade: uuid.UUID = TRADE, status: str = "failed", **changes: Any) -> ReviewCase:
    """The case after the mirror took in a reconciliation of the trade."""
    reason = "Slippage too high" if status == "failed" else None
    values = {"reconciliation_status": status, "rejection_reason": reason, **changes}
    found = row(TradeReconciliation, trade_id=trade, version=version, row_hash=11 * version, **values)
    found.save()
    TradeReconciliationBreak.objects.filter(trade_id=trade).update(version=version)
    told = {field.column: getattr(found, field.attname) for field in found._meta.local_fields}
    told["reconciled_at"] = us_of_datetime(found.reconciled_at)
    with transaction.atomic():
        cases_follow([told], NOON_US)
    return ReviewCase.objects.get(pk=trade)


def proposed(case: ReviewCase, maker: User, at_us: int) -> Review:
    """Somebody's proposal on the figures of the case."""
    wanted = Wanted(
        Resolution.ACCEPT,
        Reason.THIN_BOOK,
        Basis(case.reconciliation_version, case.reconciliation_hash),
        "the book was thin",
    )
    return case_propose(case.pk, wanted, maker, at_us)


def now_us() -> int:
    """The wall clock."""
    return SystemClock().now_us()


def page(client: Client) -> str:
    """The case's page, as a person reads it."""
    answer = client.get(PLACE)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def post(client: Client, data: dict[str, str]) -> Any:
    """The answer, and the page that it leads to if it leads anywhere."""
    return client.post(PLACE, data, follow=True)


def everything() -> tuple[Any, ...]:
    """What a refused step must not have changed."""
    born = (ReviewCase, Review, ReviewComment, TradeAdjustment)
    hashes = [list(model.objects.order_by("pk").values_list("pk", "row_hash")) for model in born]
    return *hashes, AuditEntry.objects.count(), OutboxRow.objects.count(), ReviewCase.history.count()
