"""How the admin shows values: exact in a row's own page, short in lists with the exact value on hover.

Only displays round (ruling 3): lists show money and basis points with two decimals and times to the millisecond,
everything else as it is stored.
"""

from __future__ import annotations

import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from paperdesk.columns import BPS, QUOTE, USD, unit_of
from paperdesk.mirror import ExactDecimalField
from results.domain.units import plain, text_of

CENT = Decimal("0.01")
MINUTE = datetime.timedelta(minutes=1)
MILLISECONDS_CUT = 3  # digits that a list leaves out of a time's six decimals
NOTHING = "–"
# Gains and losses wear a colour; prices and sizes do not.
SIGNED = frozenset({
    "actual_profit_usd", "price_pnl_long_usd", "price_pnl_short_usd", "cash_usd", "daily_pnl", "daily_pnl_percentage",
    "cumulative_pnl", "unrealised_usd", "pnl",
})  # fmt: skip
TONES = {
    "Pending": "wait", "Active": "live", "Exiting": "wait", "Closed": "calm",
    "pending": "wait", "executed": "good", "partially_filled": "wait", "failed": "bad", "success": "good",
}  # fmt: skip


def exact(value: Decimal) -> str:
    """All digits that the number has, without an exponent or trailing zeros."""
    return text_of(plain(value))


def utc(moment: datetime.datetime) -> str:
    """`2026-11-20 23:22:01.000500`, in UTC."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def utc_seconds(moment: datetime.datetime) -> str:
    """`2026-11-20 23:22:01`, in UTC, without the fraction of the second."""
    return utc(moment).partition(".")[0]


def age(moment: datetime.datetime, depth: int = 1) -> str:
    """How long ago it was, in words: `less than a minute`, `2 days`; with `depth` 2 `2 days, 3 hours`."""
    if timezone.now() - moment < MINUTE:
        return "less than a minute"
    return timesince(moment, depth=depth)


def shown(field: models.Field[Any, Any], value: Any, brief: bool) -> Any:
    """A stored value as the admin shows it; a column without a value shows a dash."""
    if field.choices:
        value = dict(field.flatchoices).get(value, value)
    if value is None or value == "":
        return NOTHING
    if field.name in ("exit_reason", "kind") and brief:
        return str(value).replace("_", " ")
    if isinstance(field, ExactDecimalField):
        return _number(field, value, brief)
    if brief and isinstance(value, int) and not isinstance(value, bool):
        return format_html('<span class="number">{}</span>', value)
    if isinstance(field, models.DateTimeField):
        exactly = utc(value)
        short = exactly[:-MILLISECONDS_CUT] if brief else exactly
        return format_html('<time class="when" datetime="{}" title="{}">{}</time>', value.isoformat(), exactly, short)
    if isinstance(field, models.DateField):
        return value.isoformat()
    if isinstance(field, models.BooleanField):
        return "yes" if value else "no"
    if field.name in ("status", "state", "reconciliation_status"):
        return format_html('<span class="pill pill-{}">{}</span>', TONES.get(value, "calm"), value)
    return value


def _number(field: models.Field[Any, Any], value: Decimal, brief: bool) -> SafeString:
    text = exact(value)
    short = text
    if brief and unit_of(field) in (USD, BPS, QUOTE):
        short = str(value.quantize(CENT, rounding=ROUND_HALF_EVEN))
    tone = "flat"
    if field.name in SIGNED and value:
        tone = "gain" if value > 0 else "loss"
    return format_html('<span class="number {}" title="{}">{}</span>', tone, text, short)
