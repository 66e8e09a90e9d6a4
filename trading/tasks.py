"""What Celery runs for trading. A turn that Redis did not allow is no error of the task: the next does its work.
Every Celery process imports this module; only the monitor's worker needs NumPy."""

from __future__ import annotations

import structlog
from celery import shared_task

from trading.stores.errors import RedisAway

log = structlog.get_logger(__name__)


@shared_task(name="trading.tasks.monitor_tick")
def monitor_tick() -> None:
    """One turn of the monitor."""
    from trading import wiring

    try:
        wiring.watch().turn()
    except RedisAway as error:
        log.warning("monitor waits", error=str(error))
