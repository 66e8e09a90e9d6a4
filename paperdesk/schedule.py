"""The only list of beat entries. A task that could not start within its period is dropped: the next does its work."""

from typing import Any

MONITOR_SECONDS = 1.0
SYNC_SECONDS = 3.0
VERIFY_SECONDS = 60.0
AUDIT_SECONDS = 5.0  # a slice of 0.2 s each, until today's audit is done; then one GET
RETAIN_SECONDS = 10.0  # some round trips when nothing is due; else 2 s at most
PRUNE_SECONDS = 3_600.0
COMPACT_SECONDS = 600.0

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "monitor-tick": {
        "task": "trading.tasks.monitor_tick",
        "schedule": MONITOR_SECONDS,
        "options": {"expires": MONITOR_SECONDS},
    },
    "results-sync": {
        "task": "results.tasks.sync",
        "schedule": SYNC_SECONDS,
        "options": {"expires": SYNC_SECONDS},
    },
    "results-verify": {
        "task": "results.tasks.verify",
        "schedule": VERIFY_SECONDS,
        "options": {"expires": VERIFY_SECONDS},
    },
    "results-audit": {
        "task": "results.tasks.audit",
        "schedule": AUDIT_SECONDS,
        "options": {"expires": AUDIT_SECONDS},
    },
    "results-retain": {
        "task": "results.tasks.retain",
        "schedule": RETAIN_SECONDS,
        "options": {"expires": RETAIN_SECONDS},
    },
    "results-prune": {
        "task": "results.tasks.prune",
        "schedule": PRUNE_SECONDS,
        "options": {"expires": PRUNE_SECONDS},
    },
    "results-compact": {
        "task": "results.tasks.compact",
        "schedule": COMPACT_SECONDS,
        "options": {"expires": COMPACT_SECONDS},
    },
}

TASK_ROUTES: dict[str, dict[str, str]] = {
    "trading.tasks.*": {"queue": "monitor"},
    "results.tasks.*": {"queue": "warehouse"},
}
