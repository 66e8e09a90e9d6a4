"""The tolerances in force, as the database has them."""

from __future__ import annotations

from results.domain.latency import LatencyLimits
from results.domain.tolerances import ANY, Tolerance, Tolerances
from results.review_models import ReconciliationTolerance


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
