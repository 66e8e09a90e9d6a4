"""The only list of beat entries. A task that could not start within its period is dropped: the next does its work."""

from typing import Any

MONITOR_SECONDS = 1.0
SYNC_SECONDS = 3.0
CATCH_UP_SECONDS = 1.0  # nothing, if the last sync left everybody with everything; else a sync
VERIFY_SECONDS = 60.0
AUDIT_SECONDS = 5.0  # a slice of 0.2 s each, until today's audit is done; then one GET
TRAIL_SECONDS = 5.0  # likewise, of the audit trail
RECONCILE_SECONDS = 2.0  # a turn of 1 s while somebody waits for it; else one GET
RETAIN_SECONDS = 10.0  # some round trips when nothing is due; else 2 s at most
PRUNE_SECONDS = 3_600.0
COMPACT_SECONDS = 600.0
EXPIRE_SECONDS = 60.0  # a proposal holds for a day: a minute more is nothing

PERIODS = {
    "trading.tasks.monitor_tick": MONITOR_SECONDS,
    "results.tasks.sync": SYNC_SECONDS,
    "results.tasks.catch_up": CATCH_UP_SECONDS,
    "results.tasks.verify": VERIFY_SECONDS,
    "results.tasks.audit": AUDIT_SECONDS,
    "results.tasks.verify_trail": TRAIL_SECONDS,
    "results.tasks.reconcile": RECONCILE_SECONDS,
    "results.tasks.retain": RETAIN_SECONDS,
    "results.tasks.prune": PRUNE_SECONDS,
    "results.tasks.compact": COMPACT_SECONDS,
    "results.tasks.expire": EXPIRE_SECONDS,
}

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    task: {"task": task, "schedule": seconds, "options": {"expires": seconds}} for task, seconds in PERIODS.items()
}

TASK_ROUTES: dict[str, dict[str, str]] = {
    "trading.tasks.*": {"queue": "monitor"},
    "results.tasks.*": {"queue": "warehouse"},
}
