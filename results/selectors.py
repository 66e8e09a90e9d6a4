"""What pages ask of the mirrored results. Read from Django's tables, which follow the durable log by a few seconds."""

from __future__ import annotations

import uuid

from results.models import TradeReconciliationBreak

BREAKS_SHOWN_MAX = 100


def trade_breaks(trade_id: uuid.UUID) -> list[TradeReconciliationBreak]:
    """The trade's breaks and improvements, failures first, at most BREAKS_SHOWN_MAX."""
    found = TradeReconciliationBreak.objects.filter(trade_id=trade_id).order_by("-is_failure", "-found_at", "id")
    return list(found[:BREAKS_SHOWN_MAX])
