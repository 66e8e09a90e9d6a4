"""Reconciling all trades once more that were closed in a period: after a change of tolerances, or when somebody doubts.

What comes out as it was is not written: a second pass over the same facts with the same tolerances changes nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import cast

import msgspec
from redis import Redis

from results.domain.units import DAY_US, day_start_us
from results.pipeline.reconcile.asked import Place, count_closed, indexes_of
from results.pipeline.reconcile.reconciler import Candidate, Reconciler
from trading.stores.errors import StepConflict, WireError

TRADES_PER_BATCH = 100
ATTEMPTS_MAX = 3

Say = Callable[[int, int], None]


class Unreadable(msgspec.Struct, frozen=True):
    """A trade that cannot be reconciled, and why."""

    trade_id: str
    sentence: str


class PeriodReport(msgspec.Struct, frozen=True):
    """How many trades were closed in the period, how many outcomes are new, and which trades cannot be read."""

    trades: int
    changed: int
    unreadable: tuple[Unreadable, ...]


class Period:
    """The closed trades of some portfolios, by the UTC day of their exit, both days included."""

    def __init__(
        self,
        client: Redis,
        reconciler: Reconciler,
        days: tuple[datetime.date, datetime.date],
        portfolios: Sequence[str],
    ) -> None:
        self._client = client
        self._reconciler = reconciler
        self._first_us, self._end_us = day_start_us(days[0]), day_start_us(days[1]) + DAY_US
        self._portfolios, self._indexes = portfolios, indexes_of(portfolios)

    def run(self, at_us: int, say: Say) -> PeriodReport:
        """Reconcile them; `say` is told how many are done, of how many.

        Raises redis.RedisError, StepConflict when others keep changing what it reads, django.db.DatabaseError,
        WarehouseMissing, WarehouseBusy.
        """
        place: Place | None = Place()
        report, of = PeriodReport(0, 0, ()), self.count()
        while place:
            part, place = self.batch(place, at_us)
            report = PeriodReport(
                report.trades + part.trades, report.changed + part.changed, report.unreadable + part.unreadable
            )
            say(report.trades, max(of, report.trades))
        return report

    def count(self) -> int:
        """How many trades there are. Raises redis.RedisError."""
        return count_closed(self._client, self._portfolios, self._first_us, self._end_us)

    def batch(self, place: Place, at_us: int) -> tuple[PeriodReport, Place | None]:
        """Reconcile some trades from `place` on; the place after them, None at the end. Raises like `run`."""
        if place.index >= len(self._indexes):
            return PeriodReport(0, 0, ()), None
        portfolio, index = self._indexes[place.index]
        start = max(place.score, self._first_us)
        found = cast(
            "list[tuple[bytes, float]]",
            self._client.zrange(
                index, start, self._end_us - 1, byscore=True, offset=place.skip, num=TRADES_PER_BATCH, withscores=True
            ),
        )
        report = compare_again(self._reconciler, [Candidate(each.decode(), portfolio) for each, _ in found], at_us)
        if len(found) < TRADES_PER_BATCH:
            return report, Place(place.index + 1)
        last = int(found[-1][1])
        skip = sum(score == last for _, score in found) + (place.skip if last == start else 0)
        return report, Place(place.index, last, skip)


def compare_again(reconciler: Reconciler, batch: Sequence[Candidate], at_us: int) -> PeriodReport:
    """Reconcile these trades once more, one by one where one of them cannot be read. Raises like `Period.run`."""
    if not batch:
        return PeriodReport(0, 0, ())
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return PeriodReport(len(batch), reconciler.compare(batch, at_us), ())
        except WireError as error:
            if len(batch) == 1:
                return PeriodReport(1, 0, (Unreadable(batch[0].trade_id, str(error)),))
            parts = [compare_again(reconciler, [each], at_us) for each in batch]
            unreadable = tuple(each for part in parts for each in part.unreadable)
            return PeriodReport(len(batch), sum(part.changed for part in parts), unreadable)
        except StepConflict:
            if attempt == ATTEMPTS_MAX:
                raise
    raise AssertionError("every attempt returns or raises")
