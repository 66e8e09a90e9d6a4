"""Changing the tolerances of reconciliation: checked, and kept with history, outbox row and audit entry, or not at all.

A change holds for what is reconciled from then on; `manage.py reconcile` goes over trades of before.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction

from paperdesk.outbox import record
from results.audit.trail import Deed, audit_add
from results.domain.latency import LatencyLimits
from results.domain.tolerances import ANY, Tolerance, ToleranceRefused, Tolerances, refuse_wrong
from results.domain.units import plain, text_of
from results.review_models import ReconciliationTolerance

SHIPPED_BY = "shipped defaults"
FIGURES = (
    "slippage_bps", "quantity", "residual_usd", "execution_ms", "broker_ms", "network_ms", "missing_results",
    "duplicate_results", "enabled",
)  # fmt: skip


def tolerances_in_force() -> Tolerances:
    """What is switched on; where nothing is said of any venue and symbol, the domain's own. Raises DatabaseError."""
    found = {(row.venue, row.symbol): tolerance_of(row) for row in ReconciliationTolerance.objects.filter(enabled=True)}
    return Tolerances(found.pop((ANY, ANY), Tolerance()), found)


def tolerance_of(row: ReconciliationTolerance) -> Tolerance:
    """A row as the rules know it."""
    return Tolerance(
        slippage_bps=row.slippage_bps,
        quantity=row.quantity,
        residual_usd=row.residual_usd,
        latency=LatencyLimits(row.execution_ms, row.broker_ms, row.network_ms),
        missing_results=row.missing_results,
        duplicate_results=row.duplicate_results,
    )


def tolerance_save(row: ReconciliationTolerance, now_us: int, by: str) -> bool:
    """Save a new or changed tolerance; whether anything is new. Raises ToleranceRefused, with the field."""
    tolerance_refuse(row)
    key = key_now(row)
    with transaction.atomic():
        stored = ReconciliationTolerance.objects.select_for_update().filter(pk=key).first()
        before, after = figures_of(stored), figures_of(row)
        if before == after:
            return False
        row.pk = key
        row.version, row.day = (stored.version, stored.day) if stored else (0, row.day)
        record(row, now_us, by)
        audit_add([Deed("tolerance changed", f"reconciliation_tolerance {key}", before, after)], now_us, by)
    return True


def tolerance_refuse(row: ReconciliationTolerance) -> None:
    """Raises ToleranceRefused, with the field, for what cannot be saved."""
    key = key_now(row)
    refuse_wrong(row.venue, row.symbol, tolerance_of(row))
    if row.pk and row.pk != key:
        raise ToleranceRefused(f"tolerance {row.pk}: venue and symbol are fixed; add another one for {key}", "venue")
    if not row.enabled and key == f"{ANY}:{ANY}":
        raise ToleranceRefused(f"tolerance {key}: it is the one of last resort, so it stays switched on", "enabled")


def key_now(row: ReconciliationTolerance) -> str:
    """The key that the row has or, before it is saved, would have."""
    return f"{row.venue}:{row.symbol}"


def tolerances_seed(now_us: int) -> bool:
    """Store the shipped tolerance of any venue and symbol, if there is none; whether it was."""
    with transaction.atomic():
        if ReconciliationTolerance.objects.filter(pk=f"{ANY}:{ANY}").exists():
            return False
        return tolerance_save(shipped(), now_us, SHIPPED_BY)


def shipped() -> ReconciliationTolerance:
    """The domain's own tolerance, as a row."""
    usual = Tolerance()
    return ReconciliationTolerance(
        venue=ANY,
        symbol=ANY,
        slippage_bps=usual.slippage_bps,
        quantity=usual.quantity,
        residual_usd=usual.residual_usd,
        execution_ms=usual.latency.execution_ms,
        broker_ms=usual.latency.broker_ms,
        network_ms=usual.latency.network_ms,
        missing_results=usual.missing_results,
        duplicate_results=usual.duplicate_results,
    )


def figures_of(row: ReconciliationTolerance | None) -> dict[str, Any] | None:
    """The figures of a tolerance as plain texts and numbers."""
    if row is None:
        return None
    return {name: _plain(getattr(row, name)) for name in FIGURES}


def _plain(value: Any) -> Any:
    return text_of(plain(value)) if isinstance(value, Decimal) else value
