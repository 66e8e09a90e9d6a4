"""What Celery runs for trading. Every Celery process imports this module; only the monitor's worker needs NumPy."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="trading.tasks.monitor_tick")
def monitor_tick() -> None:
    """One turn of the monitor."""
    from trading import wiring

    wiring.watch().turn()
