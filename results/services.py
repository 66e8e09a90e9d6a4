"""What one may ask of the durable side. Each is one call for a task or a command, and may run twice at once."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import msgspec
from django.db import transaction

from results import wiring
from results.audit.trail import Deed, audit_add
from results.audit.watch import TrailReport, publish_trail, trail_report, trail_turn
from results.domain.errors import PaperDeskError
from results.domain.units import day_of
from results.pipeline.invariants.check import CheckReport, check_invariants
from results.pipeline.invariants.portfolios import Violation
from results.pipeline.keep.compaction import Compacted, Removed, no_slice
from results.pipeline.keep.export import Exported, Say, export_table
from results.pipeline.keep.retention import Retained, Retention
from results.pipeline.log_writer import Progress
from results.pipeline.rebuild import Rebuild
from results.pipeline.reconcile.asked import Asked
from results.pipeline.reconcile.period import Period, PeriodReport
from results.pipeline.reconcile.turns import reconcile_turn
from results.pipeline.report import SyncReport
from results.pipeline.sync import Sync, no_progress
from results.pipeline.verify.audit import AuditPass
from results.pipeline.verify.mending import Mending, RepairReport
from results.pipeline.verify.verified import (
    AUDITED,
    VERIFIED,
    publish_full,
    publish_verified,
    state_of,
    state_of_pass,
    verified,
)
from results.pipeline.verify.verifier import VerifyReport
from results.reconcile.services import SUBJECT
from results.review.following import WHO
from results.stores.schema import TABLES
from trading.stores import keys
from trading.stores.connection import answering
from trading.stores.errors import RedisAway
from trading.stores.holds import Holds

TURN_SECONDS_MAX = 2.0  # the next turn of the beat is due after 3 s
DRAIN_SECONDS_MAX = 600.0
RECHECK_SECONDS = 4.0  # a running desk's sync has its turn meanwhile
RETENTION = "retention"  # beside the followers in `paperdesk:sync`


class PortfolioUnknown(PaperDeskError):
    """There is no such portfolio on this desk."""


def results_sync(progress: Progress = no_progress, sync: Sync | None = None) -> SyncReport:
    """One turn of the sync, of this process's by default. Raises RedisAway."""
    with answering("a sync"):
        return (sync or wiring.sync()).once(progress, TURN_SECONDS_MAX)


def results_are_level() -> bool:
    """Whether the last turn of this process's sync left everybody with everything. Raises RedisAway."""
    return wiring.sync().is_level


def results_sync_all(
    progress: Progress = no_progress, sync: Sync | None = None, seconds_max: float = DRAIN_SECONDS_MAX
) -> SyncReport:
    """Turns of the sync until every follower that answers has everything, also what other programs wrote before: a
    whole pass of the sweep began and ended meanwhile. The last turn's report, with the work of all. Raises RedisAway.
    """
    deadline = time.monotonic() + seconds_max
    sync = sync or wiring.sync()
    sweep, begun = sync.intake.sweep, sync.intake.sweep.begun
    report = results_sync(progress, sync)
    while time.monotonic() < deadline:
        is_swept = sweep.is_whole_since(begun) or report.followers["sweep"].error is not None
        if is_swept and report.is_settled:
            break
        report = results_sync(progress, sync).after(report)
    return report


def loss_holds() -> dict[str, str]:
    """By portfolio, why it opens no trades after a loss of Redis's history (ruling 29). Raises RedisAway."""
    return Holds(wiring.redis_client()).of_loss()


def loss_accept(prefix: str) -> int:
    """Go on from what Redis has of a portfolio that is held after a loss; how many trades got a new version.

    Raises NotHeld, RedisAway, WarehouseMissing, WarehouseBusy, StepConflict.
    """
    with answering("accepting what Redis has"):
        return Rebuild(wiring.redis_client(), wiring.gate()).accept(prefix)


def tables_prune() -> dict[str, int]:
    """Remove rows of before the window from the Django tables; how many, by table. Raises like `Window.run`."""
    return wiring.window().run()


def log_compact(seconds_max: float = float("inf"), on_slice: Removed = no_slice) -> Compacted:
    """Remove superseded versions from the durable log that every store has; see `results.pipeline.keep.compaction`.

    Raises ClickHouseAway, django.db.DatabaseError, WarehouseMissing, WarehouseBusy.
    """
    return wiring.compaction().run(seconds_max, on_slice)


def stores_verify(
    tables: Sequence[str] = (),
    day: datetime.date | None = None,
    recheck_seconds: float = 0.0,
    *,
    recompute: bool = True,
) -> VerifyReport:
    """Compare all stores, by hashes recomputed from their values or as they are stored; see `results.pipeline.verify`.

    Raises RedisAway, WarehouseMissing, WarehouseBusy, KeyError for an unknown table.
    """
    with answering("a verification"):
        report = wiring.verifier().run(tables, day, recheck_seconds=recheck_seconds, recompute=recompute)
        if recompute and not tables and day is None:
            publish_full(wiring.redis_client(), report)
    return report


def stores_repair(
    tables: Sequence[str] = (), day: datetime.date | None = None, recheck_seconds: float = 0.0
) -> RepairReport:
    """Send again what differs, until nothing does that can be mended; see `results.pipeline.verify.repair`.

    Raises like `stores_verify`, and the error of a store that would not take its rows.
    """
    with answering("a repair"):
        results_sync_all()
        mending = Mending(wiring.verifier(), wiring.repairer, results_sync_all)
        repair = mending.run(tables, day, recheck_seconds)
        if not tables and day is None:
            publish_full(wiring.redis_client(), repair.verified)
    return repair


def stores_verify_changed() -> VerifyReport:
    """Compare the hashes that the durable stores keep of today's rows, and of each day that changed since the last
    time, and publish the outcome in `paperdesk:sync`.

    Cheap enough for every minute: neither values nor Redis's records are read. Raises like `stores_verify`.
    """
    with answering("a verification"):
        client = wiring.redis_client()
        before = verified(client, VERIFIED)
        report = wiring.verifier().run_changed(before.seq if before else 0, day_of(wiring.now_us()))
        publish_verified(client, VERIFIED, state_of(report, before))
    return report


def stores_audit() -> AuditPass | None:
    """One slice of the daily audit, and its outcome in `paperdesk:sync`; None when today's has ended.

    Raises like `stores_verify`.
    """
    with answering("an audit of the stores"):
        done = wiring.audit().turn()
        if done is not None:
            client = wiring.redis_client()
            publish_verified(client, AUDITED, state_of_pass(done, verified(client, AUDITED)))
    return done


def audit_trail_verify(say: Say) -> TrailReport:
    """Verify the whole audit trail, and publish what was found if Redis answers. Raises django.db.DatabaseError."""
    began_us = wiring.now_us()
    report = trail_report(wiring.gate(), say)
    with contextlib.suppress(RedisAway), answering("what was found in the audit trail"):
        publish_trail(wiring.redis_client(), report, wiring.now_us(), wiring.now_us() - began_us)
    return report


def audit_trail_turn(seconds_max: float) -> TrailReport | None:
    """Go on with today's verification of the audit trail, for about so long; what it found, once it is over. Raises
    RedisAway, django.db.DatabaseError."""
    with answering("the audit trail's verification"):
        return trail_turn(wiring.redis_client(), wiring.gate(), wiring.now_us(), seconds_max)


def results_retain(retention: Retention | None = None) -> Retained:
    """Remove result hashes, and closed trades if the settings ask for it, from Redis that every durable store has, and
    publish what was done in `paperdesk:sync`.

    Raises RedisAway; StoreError, naming the store, while one is away: nothing is removed then.
    """
    with answering("retention"):
        at_us = wiring.now_us()
        retained = (retention or wiring.retention()).once(at_us)
        if archive := wiring.trade_archive():
            archived, stay = archive.once(at_us)
            retained = msgspec.structs.replace(retained, archived_trades=archived, staying_trades=stay)
        wiring.redis_client().hset(keys.SYNC, RETENTION, msgspec.json.encode(retained))
    return retained


def results_retained() -> Retained | None:
    """What the last run of the retention did; None before the first. Raises RedisAway."""
    with answering("a look at the retention"):
        raw = cast("bytes | None", wiring.redis_client().hget(keys.SYNC, RETENTION))
    return None if raw is None else msgspec.json.decode(raw, type=Retained)


def trades_reconcile(
    first: datetime.date, last: datetime.date, portfolios: Sequence[str], say: Callable[[int, int], None]
) -> PeriodReport:
    """Reconcile the trades once more that were closed on these UTC days, both included; of all portfolios if none is
    named. What comes out as it was is not written.

    Raises PortfolioUnknown, RedisAway, StepConflict, django.db.DatabaseError, WarehouseMissing, WarehouseBusy.
    """
    with answering("a reconciliation"):
        client = wiring.redis_client()
        known = sorted(prefix.decode() for prefix in cast("list[bytes]", client.hkeys(keys.PORTFOLIOS)))
        for name in portfolios:
            if name not in known:
                raise PortfolioUnknown(f"portfolio {name} is not known; there is {', '.join(known) or 'none'}")
        return Period(client, wiring.reconciler(), (first, last), portfolios or known).run(wiring.now_us(), say)


def trades_reconcile_turn(seconds_max: float) -> Asked | None:
    """Go on with what a person wants reconciled once more, for about so long; None when nothing is under way. Its end
    is in the audit trail. Raises like `trades_reconcile`.
    """
    with answering("a reconciliation"):
        asked = reconcile_turn(wiring.redis_client(), wiring.reconciler, wiring.now_us, seconds_max)
    if asked is not None and asked.ended_us is not None:
        told = {"asked_by": asked.by, "trades": asked.done, "new": asked.changed, "unreadable": asked.unreadable_count}
        with transaction.atomic():
            audit_add([Deed("reconciled again", SUBJECT, None, told)], asked.ended_us, WHO)
    return asked


def table_export(
    table: str, days: tuple[datetime.date, datetime.date], file_format: str, target: Path, say: Say
) -> Exported:
    """Write the newest version of each row of a durable table, first seen on these UTC days, both included, as a file.

    Raises ExportRefused, WarehouseMissing, WarehouseBusy, KeyError for an unknown table.
    """
    return export_table(wiring.gate(), TABLES[table], days, file_format, target, say)


def invariants_report() -> CheckReport:
    """Check everything that must always be so in Redis. Raises RedisAway, WarehouseBusy, django.db.DatabaseError."""
    with answering("a check of the invariants"):
        return check_invariants(wiring.redis_client(), wiring.gate())


def invariants_check() -> list[Violation]:
    """The invariants that do not hold. Raises RedisAway."""
    return invariants_report().violations
