"""Rows of mirrored tables for tests: valid in every column, the values that matter given by the test."""

import datetime
import uuid
from decimal import Decimal
from typing import Any, TypeVar

from django.db import models

from paperdesk.born import BornModel
from paperdesk.mirror import ExactDecimalField, MirroredModel

NOON = datetime.datetime(2026, 1, 31, 12, 0, 0, 250_001, tzinfo=datetime.UTC)
TEXTS = {
    "portfolio": "strategy", "symbol": "BTCUSDT", "exchange": "binance", "long_exchange": "binance",
    "short_exchange": "bybit", "status": "Closed", "exit_reason": "profit_target", "state": "executed",
    "origin": "engine", "direction": "buy", "leg": "long", "role": "entry", "filled_leg": "long",
    "unfilled_leg": "short", "hedge": "unwind", "reason": "timeout_500ms", "kind": "adverse_slippage",
    "reconciliation_status": "success", "stream_id": "1-0", "order_id": "order-1",
    "liquidity": "maker",
}  # fmt: skip

Row = TypeVar("Row", bound=MirroredModel | BornModel)


def row(model: type[Row], **values: Any) -> Row:
    """An unsaved row: nullable columns empty but for texts, ids random, decimals 1.5, times NOON."""
    columns = {f.name: _value(f) for f in model._meta.fields if f.name not in values}
    return model(**columns, **values)


def _value(field: Any) -> Any:
    match field:
        case models.UUIDField():
            return uuid.uuid4()
        case models.BooleanField():
            return False
        case ExactDecimalField():
            return None if field.null else Decimal("1.5")
        case models.DateTimeField():
            return None if field.null else NOON
        case models.DateField():
            return NOON.date()
        case models.IntegerField():
            return None if field.null else 7
        case _ if field.primary_key:
            return f"strategy:{uuid.uuid4().hex[:8]}"
        case _:
            return TEXTS.get(field.name, None if field.null else "")
