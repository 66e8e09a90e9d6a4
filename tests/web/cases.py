"""Cases of review for tests: opened so many hours ago, with or without a proposal."""

from __future__ import annotations

import datetime
import html
import re
import uuid
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from results.domain.review import Severity
from results.review_models import Review, ReviewCase

LOW, MEDIUM, HIGH, CRITICAL = Severity


def case(severity: Severity = MEDIUM, hours: float = 1, **changes: Any) -> ReviewCase:
    """A case that was opened so many hours ago."""
    now = timezone.now()
    values = {
        "trade_id": uuid.uuid4(), "portfolio": "strategy", "symbol": "BTCUSDT", "exchange": "binance",
        "kind": "adverse_slippage", "severity": severity, "state": "open", "rejection_reason": "Slippage too high",
        "break_count": 1, "opened_at": now - datetime.timedelta(hours=hours), "reconciliation_version": 1,
        "reconciliation_hash": 11, "day": now.date(), "changed_at": now,
    }  # fmt: skip
    return ReviewCase.objects.create(**{**values, **changes})


def proposed(maker: User, severity: Severity = MEDIUM, **changes: Any) -> ReviewCase:
    """A case with a proposal."""
    now = timezone.now()
    made = Review(
        trade_id=uuid.uuid4(), resolution="accept", reason="market_moved", maker=maker.username, maker_id=maker.pk,
        proposed_at=now, expires_at=now + datetime.timedelta(hours=24), basis_version=1, basis_hash=11, day=now.date(),
        changed_at=now,
    )  # fmt: skip
    made.save()
    return case(severity, trade_id=made.trade_id, state="proposed", review_id=made.pk, **changes)


def ids(*cases: ReviewCase) -> list[str]:
    """The keys as a page shows them."""
    return [str(each.pk) for each in cases]


def words_of(answer: Any) -> str:
    """The words of a page, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())
