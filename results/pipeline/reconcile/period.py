"""Reconciling all trades once more that were closed in a period: after a change of tolerances, or when somebody doubts.

What comes out as it was is not written: a second pass over the same facts with the same tolerances changes nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import msgspec
from redis import Redis

from results.domain.units import DAY_US, day_start_us
from results.pipeline.batches import in_batches
from results.pipeline.reconcile.reconciler import Candidate, Reconciler
from trading.stores import keys
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

    def __init__(self, client: Redis, reconciler: Reconciler, first: datetime.date, last: datetime.date) -> None:
        self._client = client
        self._reconciler = reconciler
        self._first_us, self._end_us = day_start_us(first), day_start_us(last) + DAY_US

    def run(self, portfolios: Sequence[str], at_us: int, say: Say) -> PeriodReport:
        """Reconcile them; `say` is told how many are done, of how many.

        Raises redis.RedisError, StepConflict when others keep changing what it reads, django.db.DatabaseError,
        WarehouseMissing, WarehouseBusy.
        """
        found = [each for portfolio in portfolios for each in self._closed(portfolio)]
        changed, done, unreadable = 0, 0, list[Unreadable]()
        for batch in in_batches(found, TRADES_PER_BATCH):
            changed += self._batch(batch, at_us, unreadable)
            done += len(batch)
            say(done, len(found))
        return PeriodReport(len(found), changed, tuple(unreadable))

    def _closed(self, portfolio: str) -> Iterator[Candidate]:
        place = keys.PortfolioKeys(portfolio)
        for index in (place.closed_index, place.archived_index):
            ids = cast("list[bytes]", self._client.zrange(index, self._first_us, self._end_us - 1, byscore=True))
            yield from (Candidate(each.decode(), portfolio) for each in ids)

    def _batch(self, batch: Sequence[Candidate], at_us: int, unreadable: list[Unreadable]) -> int:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return self._reconciler.compare(batch, at_us)
            except WireError as error:
                if len(batch) > 1:
                    return sum(self._batch([each], at_us, unreadable) for each in batch)
                unreadable.append(Unreadable(batch[0].trade_id, str(error)))
                return 0
            except StepConflict:
                if attempt == ATTEMPTS_MAX:
                    raise
        return 0
