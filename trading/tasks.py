"""What Celery runs for trading."""

from __future__ import annotations

from celery import shared_task

from trading import wiring


@shared_task(name="trading.tasks.monitor_tick")
def monitor_tick() -> None:
    """One turn of the monitor."""
    wiring.watch().turn()
