"""A whole repair: verify, mend the log, sync, mend the others, and verify again, until nothing is left to mend."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

import msgspec

from results.pipeline.verify.repair import Mended, Repairer
from results.pipeline.verify.verifier import Verifier, VerifyReport

DIFFERENCES_MAX = 100_000  # that are mended in one round; with their keys and sentences some 70 MB
ROUNDS_MAX = 100
TOLD_MAX = 100


class RepairReport(msgspec.Struct, frozen=True, kw_only=True):
    """`repaired` and `unrepaired` name the first rows, `repaired_count` counts by store; `verified` is how it ended."""

    repaired: list[Mended]
    repaired_count: dict[str, int]
    unrepaired: list[Mended]
    unrepaired_count: int
    verified: VerifyReport


class Mending:
    """One repair. `sync` lets every follower that answers take what the log has."""

    def __init__(self, verifier: Verifier, repairer: Callable[[], Repairer], sync: Callable[[], object]) -> None:
        self._verifier = verifier
        self._repairer = repairer
        self._sync = sync

    def run(self, tables: Sequence[str], day: datetime.date | None, recheck_seconds: float) -> RepairReport:
        """Repair these tables, all if none is named, on a UTC day or on all. Raises like `Verifier.run`, `Repairer`."""
        repaired: list[Mended] = []
        counts: dict[str, int] = {}

        def verified() -> VerifyReport:
            return self._verifier.run(tables, day, recheck_seconds=recheck_seconds, named_max=DIFFERENCES_MAX)

        report, unrepaired = verified(), list[Mended]()
        for _ in range(ROUNDS_MAX):
            if not report.difference_count:
                unrepaired = []
                break
            repairer = self._repairer()
            if repairer.mend_log(report.differences):
                self._sync()
                report = verified()
            repairer.mend_others(report.differences)
            unrepaired = repairer.unrepaired
            for each in repairer.repaired:
                counts[each.store] = counts.get(each.store, 0) + 1
            repaired += repairer.repaired[: TOLD_MAX - len(repaired)]
            if not repairer.repaired:
                break
            before, report = report.difference_count, verified()
            if report.difference_count >= before:
                break  # what was sent again still differs
        return RepairReport(
            repaired=repaired,
            repaired_count=counts,
            unrepaired=unrepaired[:TOLD_MAX],
            unrepaired_count=len(unrepaired),
            verified=msgspec.structs.replace(report, differences=report.differences[:TOLD_MAX]),
        )
