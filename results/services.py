"""What one may ask of the durable side. Each is one call for a task or a command, and may run twice at once."""

from __future__ import annotations

import time

from results import wiring
from results.pipeline.log_writer import Progress
from results.pipeline.report import SyncReport
from results.pipeline.sync import no_progress
from trading.stores.connection import answering

TURN_SECONDS_MAX = 2.0  # the next turn of the beat is due after 3 s
DRAIN_SECONDS_MAX = 600.0


def results_sync(progress: Progress = no_progress) -> SyncReport:
    """One turn of the sync. Raises RedisAway."""
    with answering("a sync"):
        return wiring.sync().once(progress, TURN_SECONDS_MAX)


def results_sync_all(progress: Progress = no_progress, seconds_max: float = DRAIN_SECONDS_MAX) -> SyncReport:
    """Turns of the sync until every follower that answers has everything; the last turn's report, with the sums of
    all turns. Raises RedisAway."""
    deadline = time.monotonic() + seconds_max
    report = results_sync(progress)
    while not report.is_settled and time.monotonic() < deadline:
        report = results_sync(progress).after(report)
    return report
