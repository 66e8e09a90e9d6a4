"""How Celery's programs behave while the broker, Redis, is away or refuses: they ask again soon, and say so seldom.

kombu waits 2, 4, 6 ... 30 s between two attempts, in a worker that does nothing else meanwhile, and tells of each.
Beat tells of a task that Redis did not take with two pages of stack.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.app.amqp import AMQP
from celery.beat import PersistentScheduler, ScheduleEntry, SchedulingError
from kombu import Connection

AGAIN_SECONDS_FIRST = 0.1  # an embedded Redis is back after some 0.3 s
AGAIN_SECONDS_MAX = 1.0  # a refused connection costs nothing
SAY_SECONDS = 5.0  # how often a person is reminded

Told = Callable[[Exception, float], None]  # of an error, and in how many seconds it is tried again

log = structlog.get_logger(__name__)


class PromptConnection(Connection):
    """A connection to the broker that is made again within a second of the broker's return."""

    def _ensure_connection(
        self,
        errback: Told | None = None,
        max_retries: int | None = None,
        interval_start: float = AGAIN_SECONDS_FIRST,
        interval_step: float = AGAIN_SECONDS_FIRST,
        interval_max: float = AGAIN_SECONDS_MAX,
        callback: Callable[[], None] | None = None,
        reraise_as_library_errors: bool = True,
        timeout: float | None = None,
    ) -> Any:
        return super()._ensure_connection(
            seldom(errback) if errback else None,
            max_retries,
            interval_start,
            interval_step,
            interval_max,
            callback,
            reraise_as_library_errors,
            timeout,
        )


class PromptAmqp(AMQP):
    """Celery's messages over prompt connections."""

    Connection = PromptConnection


class BriefScheduler(PersistentScheduler):
    """Beat, with one sentence for a task that could not be sent. The next one is sent when it is due."""

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send a due task."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            log.error("a task was not sent", error=str(error))


def seldom(told: Told) -> Told:
    """Tell of the first error, and then of one in SAY_SECONDS."""
    said_at = float("-inf")

    def tell(error: Exception, interval: float) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= SAY_SECONDS:
            said_at = time.monotonic()
            told(error, interval)

    return tell
