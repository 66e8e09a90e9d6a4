"""How long an order took, against what is allowed, in milliseconds; the wait in the queue is under no limit.

Source: rulings 23 and 25.
"""

from __future__ import annotations

import msgspec

from results.domain.outcomes import ResultMetrics


class LatencyLimits(msgspec.Struct, frozen=True):
    """The longest time allowed for each part, in milliseconds."""

    execution_ms: int = 1_000
    broker_ms: int = 500
    network_ms: int = 500


class LatencyExcess(msgspec.Struct, frozen=True):
    """The part of an order's time that is furthest over its limit, both in milliseconds."""

    part: str
    actual_ms: int
    limit_ms: int


def worst_excess(metrics: ResultMetrics, limits: LatencyLimits) -> LatencyExcess | None:
    """The part that is furthest over its limit in milliseconds, or None when all are within.

    The time in the queue is taken out of the execution latency first: a resting order waits on purpose.
    """
    execution_ms = metrics.execution_latency_ms
    if execution_ms is not None:
        execution_ms = max(0, execution_ms - (metrics.queue_wait_ms or 0))
    measured = (
        ("execution", execution_ms, limits.execution_ms),
        ("broker", metrics.broker_latency_ms, limits.broker_ms),
        ("network", metrics.network_latency_ms, limits.network_ms),
    )
    over = [LatencyExcess(part, ms, limit) for part, ms, limit in measured if ms is not None and ms > limit]
    return max(over, key=lambda excess: excess.actual_ms - excess.limit_ms, default=None)
