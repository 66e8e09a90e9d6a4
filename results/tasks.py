"""Periodic work of the durable side, on the queue `warehouse`, whose one worker owns the DuckDB file.

A turn that Redis or the file did not allow is no error of the task: the next one does its work. Every Celery process
imports this module, so what a task needs (pyarrow, DuckDB: 90 MB) is imported by the task.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_ready
from django.db import DatabaseError

from results.domain.errors import PaperDeskError

QUEUE = "warehouse"
COMPACT_SECONDS_MAX = 1.0  # one worker does the sync too
RECONCILE_SECONDS_MAX = 1.0
TRAIL_SECONDS_MAX = 0.2

log = structlog.get_logger(__name__)


@shared_task(name="results.tasks.sync")
def sync() -> None:
    """One turn of the sync."""
    from results import services

    try:
        report = services.results_sync()
    except PaperDeskError as error:
        log.warning("sync failed", error=str(error))
        return
    for name, state in report.followers.items():
        if state.error and state.since_us == report.at_us:
            log.warning("follower is away", follower=name, error=state.error, lag=state.lag)
    if report.dead_letters or report.epoch_began:
        log.warning("sync", dead_letters=report.dead_letters, epoch_began=report.epoch_began)


@worker_ready.connect
def sync_at_once(sender: Any, **_: Any) -> None:
    """A worker of the warehouse begins with a sync: it is what waited while there was none."""
    if QUEUE in sender.app.amqp.queues.consume_from:
        sync()


@shared_task(name="results.tasks.catch_up")
def catch_up() -> None:
    """Another turn of the sync, unless the last one of this process left nothing to do and nobody in trouble."""
    from results import services

    try:
        is_level = services.results_are_level()
    except PaperDeskError:
        return  # the sync says so
    if not is_level:
        sync()


@shared_task(name="results.tasks.verify")
def verify() -> None:
    """Compare the rows of the days that changed in the durable stores."""
    from results import services

    try:
        report = services.stores_verify_changed()
    except (PaperDeskError, DatabaseError) as error:
        log.warning("verification failed", error=str(error))
        return
    for difference in report.differences:
        log.error("stores differ", table=difference.table, store=difference.store, key=difference.key)


@shared_task(name="results.tasks.audit")
def audit() -> None:
    """One slice of the daily audit."""
    from results import services

    try:
        done = services.stores_audit()
    except (PaperDeskError, DatabaseError) as error:
        log.warning("audit failed", error=str(error))
        return
    if done is not None and done.ended_us:
        rows = {"rows": done.rows, "recomputed": done.recomputed_rows, "log_held_ms": done.held_ms}
        log.info("stores audited", **rows, differ=done.difference_count)
        for sentence in done.sentences:
            log.error("stores differ", sentence=sentence)


@shared_task(name="results.tasks.retain")
def retain() -> None:
    """Remove result hashes that every durable store has from Redis."""
    from results import services

    try:
        services.results_retain()
    except (PaperDeskError, DatabaseError) as error:
        log.warning("retention waits", error=str(error))


@shared_task(name="results.tasks.prune")
def prune() -> None:
    """Remove rows of before the window from the Django tables."""
    from results import services

    try:
        removed = services.tables_prune()
    except (PaperDeskError, DatabaseError) as error:
        log.warning("the window of the tables waits", error=str(error))
        return
    if removed:
        log.info("rows of before the window removed", **removed)


@shared_task(name="results.tasks.compact")
def compact() -> None:
    """Remove some superseded versions from the durable log; the sync waits for no longer than this takes."""
    from results import services

    try:
        done = services.log_compact(COMPACT_SECONDS_MAX)
    except (PaperDeskError, DatabaseError) as error:
        log.warning("compaction waits", error=str(error))
        return
    if done.removed:
        log.info("log compacted", removed=done.removed, bytes_after=done.bytes_after)


@shared_task(name="results.tasks.expire")
def expire() -> None:
    """End the proposals that nobody decided on in time: their cases fall back into the queue."""
    from results.review.services import proposals_expire
    from trading.engine.clock import SystemClock

    try:
        ended = proposals_expire(SystemClock().now_us())
    except DatabaseError as error:
        log.warning("proposals wait for their end", error=str(error))
        return
    if ended:
        log.info("proposals expired", proposals=ended)


@shared_task(name="results.tasks.reconcile")
def reconcile() -> None:
    """Go on with what a person wants reconciled once more."""
    from results import services

    try:
        asked = services.trades_reconcile_turn(RECONCILE_SECONDS_MAX)
    except (PaperDeskError, DatabaseError) as error:
        log.warning("reconciling again waits", error=str(error))
        return
    if asked is not None and asked.ended_us is not None:
        log.info("reconciled again", trades=asked.done, new=asked.changed, unreadable=asked.unreadable_count)


@shared_task(name="results.tasks.verify_trail")
def verify_trail() -> None:
    """Some entries of the daily verification of the audit trail."""
    from results import services

    try:
        report = services.audit_trail_turn(TRAIL_SECONDS_MAX)
    except (PaperDeskError, DatabaseError) as error:
        log.warning("the audit trail's verification waits", error=str(error))
        return
    if report is not None and report.broken:
        log.error("audit trail broken", entry=report.broken.number, sentence=report.sentence)
    elif report is not None:
        log.info("audit trail verified", entries=report.entries, chain=report.chain)
