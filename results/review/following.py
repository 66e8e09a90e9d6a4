"""Cases of review follow the reconciliations: one that failed opens a case, other figures reopen or stale it, one that
succeeds clears it.

It runs in the SQL transaction in which the Django tables take the reconciliations in, so that a case is opened exactly
once. The same figures a second time change nothing. Source: ruling 26.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from paperdesk.outbox import record_all
from results.audit.trail import Deed, audit_add
from results.domain.breaks import GRAVITY, Break, BreakKind
from results.domain.reconciliation import Status
from results.domain.review import Basis, Case, CaseState, moved, opened, severity_of
from results.domain.units import datetime_of
from results.models import TradeReconciliationBreak
from results.review_models import Outcome, Review, ReviewCase

WHO = "desk"
FAILED_IN = (CaseState.OPEN, CaseState.PROPOSED)

Row = Mapping[str, Any]


def cases_follow(rows: Sequence[Row], at_us: int) -> int:
    """Bring the cases up to these newest rows of `trade_reconciliation`; how many changed. Within a transaction.

    Raises django.db.DatabaseError.
    """
    keys = [uuid.UUID(str(row["trade_id"])) for row in rows]
    known = {case.pk: case for case in ReviewCase.objects.select_for_update().filter(pk__in=keys)}
    changed = [
        (row, case, before)
        for key, row in zip(keys, rows, strict=True)
        if (case := known.get(key) or _new(key, row)) and (before := _move(case, row)) is not None
    ]
    breaks = _breaks([case.pk for _, case, _ in changed])
    for row, case, _ in changed:
        if case.state in FAILED_IN:
            _describe(case, row, breaks.get(case.pk, []))
    record_all([case for _, case, _ in changed], at_us, WHO)
    _end_proposals([case.pk for _, case, _ in changed if case.state not in FAILED_IN], at_us)
    audit_add([_deed(case, before) for _, case, before in changed], at_us, WHO)
    return len(changed)


def _new(key: uuid.UUID, row: Row) -> ReviewCase | None:
    """A case that is not saved yet, for a reconciliation that failed."""
    if row["reconciliation_status"] != Status.FAILED:
        return None
    return ReviewCase(trade_id=key, state="", opened_at=datetime_of(row["reconciled_at"]))


def _move(case: ReviewCase, row: Row) -> str | None:
    """Move a case to the figures of a row; the state that it had, or None if nothing is new."""
    basis, before = Basis(row["version"], row["row_hash"]), case.state
    failed = row["reconciliation_status"] == Status.FAILED
    if not before:
        after = opened(str(case.pk), basis)
    else:
        known = Case(str(case.pk), CaseState(before), Basis(case.reconciliation_version, case.reconciliation_hash))
        if basis == known.basis or basis.version < known.basis.version:  # older: the log is read once more
            return None
        after = moved(known, failed, basis)
    case.state = after.state.value
    case.reconciliation_version, case.reconciliation_hash = basis.version, basis.row_hash
    if after.state is CaseState.OPEN and before != CaseState.OPEN:
        case.opened_at, case.resolution, case.resolved_at = datetime_of(row["reconciled_at"]), None, None
    if after.state in (CaseState.OPEN, CaseState.CLEARED):
        case.review_id = None
    return before


def _end_proposals(cleared: Sequence[uuid.UUID], at_us: int) -> None:
    """Of cases that are cleared there is nothing to decide; a case that opens again takes another proposal."""
    undecided = list(Review.objects.select_for_update().filter(trade_id__in=cleared, outcome=Outcome.NONE))
    for made in undecided:
        made.outcome, made.checker, made.decided_at = Outcome.CLEARED, WHO, datetime_of(at_us)
    record_all(undecided, at_us, WHO)


def _describe(case: ReviewCase, row: Row, breaks: Sequence[Break]) -> None:
    failures = sorted((each for each in breaks if each.is_failure), key=lambda each: (GRAVITY[each.kind], each.id))
    worst = failures[0] if failures else None
    case.portfolio, case.symbol = row["portfolio"] or "", row["symbol"] or ""
    case.exchange = worst.exchange if worst else None
    case.kind = worst.kind.value if worst else None
    case.severity = severity_of(breaks)
    case.rejection_reason = row["rejection_reason"]
    case.break_count = len(failures)


def _breaks(trades: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Break]]:
    """The breaks that stand, by trade: those of its reconciliation's version."""
    found: dict[uuid.UUID, list[Break]] = {}
    newest: dict[uuid.UUID, int] = {}
    for each in TradeReconciliationBreak.objects.filter(trade_id__in=trades).order_by("-version", "id"):
        if newest.setdefault(each.trade_id, each.version) == each.version:
            found.setdefault(each.trade_id, []).append(break_of(each))
    return found


def break_of(row: TradeReconciliationBreak) -> Break:
    """A row of `trade_reconciliation_break` as the rules know it."""
    return Break(
        str(row.pk),
        str(row.trade_id),
        str(row.result_id) if row.result_id else None,
        row.portfolio,
        row.exchange,
        row.symbol,
        row.leg,
        BreakKind(row.kind),
        row.is_failure,
        row.expected,
        row.actual,
        row.discrepancy,
        row.tolerance,
        row.reason,
        0,
    )


def _deed(case: ReviewCase, before: str) -> Deed:
    action = {CaseState.OPEN: "opened", CaseState.CLEARED: "cleared"}.get(CaseState(case.state), "figures moved")
    told = {"state": case.state, "figures": case.reconciliation_version, "severity": case.severity}
    return Deed(action, f"review_case {case.pk}", {"state": before} if before else None, told)
