"""Doing what a person asked to have reconciled once more, in turns between those of the sync."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from redis import Redis

from results.domain.units import day_of
from results.pipeline.reconcile.asked import UNREADABLE_NAMED_MAX, Asked, Place, asked_now, note
from results.pipeline.reconcile.period import Period, PeriodReport, compare_again
from results.pipeline.reconcile.reconciler import Candidate, Reconciler


def reconcile_turn(
    client: Redis, reconciler: Callable[[], Reconciler], now_us: Callable[[], int], seconds_max: float
) -> Asked | None:
    """Go on with what is under way, for about `seconds_max`; how far it is then, None when nothing is.

    Raises like `Period.run`; the next turn goes on then.
    """
    until = time.monotonic() + seconds_max
    asked = asked_now(client)
    if asked is None or asked.ended_us is not None:
        return None
    by = reconciler()
    while asked.ended_us is None:
        asked = _some(client, by, asked, now_us())
        note(client, asked)
        if time.monotonic() >= until:
            break
    return asked


def _some(client: Redis, reconciler: Reconciler, asked: Asked, at_us: int) -> Asked:
    place: Place | None
    if asked.trades:
        report, place = compare_again(reconciler, [Candidate(*each) for each in asked.trades], at_us), None
    else:
        today = day_of(at_us)
        days = (asked.first or today, asked.last or today)
        report, place = Period(client, reconciler, days, asked.portfolios).batch(asked.place, at_us)
    return _after(asked, report, place, at_us)


def _after(asked: Asked, report: PeriodReport, place: Place | None, at_us: int) -> Asked:
    named = tuple(f"trade {each.trade_id}: {each.sentence}" for each in report.unreadable)
    return msgspec.structs.replace(
        asked,
        done=asked.done + report.trades,
        changed=asked.changed + report.changed,
        unreadable=(*asked.unreadable, *named)[:UNREADABLE_NAMED_MAX],
        unreadable_count=asked.unreadable_count + len(named),
        place=place or asked.place,
        ended_us=None if place else at_us,
    )
