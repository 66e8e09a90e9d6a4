"""What the page of one case of review reads: why it failed, its breaks, the proposal, the evidence, and who is next.

Everything is of the Django tables, and the trade's record of Redis; what those no longer have is said in words.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from paperdesk.mirror import window_note
from paperdesk.roles import APPROVE, PROPOSE
from results.domain.break_words import Size, sentence_of, size_of
from results.domain.breaks import GRAVITY
from results.domain.review import CaseState
from results.models import TradeReconciliation, TradeReconciliationBreak, TradeResult
from results.review.following import break_of
from results.review_models import Outcome, Review, ReviewCase, TradeAdjustment
from results.selectors import trade_breaks
from trading import wiring
from trading.selectors import TradePage, TradeUnreadable, trade_page

PEOPLE_SHOWN_MAX = 200
QUEUE = ("-severity", "opened_at", "trade_id")  # the gravest, then the oldest
ENGINE = "engine"
BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True)
class BreakLine:
    """A break as a person reads it; `result` is that of its order, where the tables have it."""

    row: TradeReconciliationBreak
    sentence: str
    size: Size
    result: TradeResult | None


@dataclass(frozen=True)
class Findings:
    """Why a case is there: one sentence, every break, and what to say where the breaks are not to be seen."""

    why: str
    breaks: list[BreakLine]
    missing: str = ""


@dataclass(frozen=True)
class Correction:
    """A figure that a proposal corrects; `result` is the row that has it, where the tables have that."""

    row: TradeAdjustment
    result: TradeResult | None

    @property
    def has_moved(self) -> bool:
        """Whether the row is another version by now than the maker saw; its reconciliation may be as it was."""
        return self.result is not None and self.result.version != self.row.adjusted_version


@dataclass(frozen=True)
class Standing:
    """The proposal that waits for a decision, and what is in the way of it."""

    made: Review
    corrections: list[Correction]
    is_stale: bool
    is_expired: bool

    @property
    def can_be_approved(self) -> bool:
        """Whether it is about the figures as they are, and not too old."""
        return not (self.is_stale or self.is_expired)


@dataclass(frozen=True)
class Evidence:
    """All that is known of the trade; `words` instead, or besides, where it is not there. `is_elsewhere`: the other
    stores have it."""

    page: TradePage | None
    words: str = ""
    is_elsewhere: bool = False


def findings_of(case: ReviewCase) -> Findings:
    """What the reconciliation found, the gravest first; of a cleared case, what it had found before."""
    known = trade_breaks(case.pk)
    version = case.reconciliation_version
    if case.state == CaseState.CLEARED:
        version = max((each.version for each in known if each.is_failure), default=version)
    rows = [each for each in known if each.version == version]
    results = TradeResult.objects.in_bulk([row.result_id for row in rows if row.result_id])
    breaks = [(row, break_of(row)) for row in rows]
    breaks.sort(key=lambda pair: (not pair[1].is_failure, GRAVITY[pair[1].kind], pair[1].id))
    lines = [BreakLine(row, sentence_of(found), size_of(found), results.get(row.result_id)) for row, found in breaks]
    if lines and lines[0].row.is_failure:
        return Findings(f"{lines[0].sentence}.", lines)
    return Findings(f"{case.rejection_reason or 'The reconciliation failed'}.", lines, _missing(case))


def _missing(case: ReviewCase) -> str:
    found = TradeReconciliation.objects.filter(pk=case.pk).first()
    if found is not None and found.origin != ENGINE:
        return "Another program reconciled this trade: it says that it failed, and not on which figures."
    return window_note() or "The breaks are not in these tables yet; they arrive a few seconds after the close."


def standing_of(case: ReviewCase, now: datetime.datetime) -> Standing | None:
    """The proposal on which nobody has decided yet."""
    made = Review.objects.filter(pk=case.review_id, outcome=Outcome.NONE).first() if case.review_id else None
    if made is None or case.state != CaseState.PROPOSED:
        return None
    figures = (case.reconciliation_version, case.reconciliation_hash)
    corrections = corrections_of(made.pk)
    is_stale = (made.basis_version, made.basis_hash) != figures or any(each.has_moved for each in corrections)
    return Standing(made, corrections, is_stale, made.expires_at <= now)


def corrections_of(review_id: uuid.UUID) -> list[Correction]:
    """The figures that a proposal corrects."""
    rows = list(TradeAdjustment.objects.filter(review_id=review_id).order_by("adjusted_key", "adjusted_column"))
    results = {str(each.pk): each for each in TradeResult.objects.filter(pk__in=[row.adjusted_key for row in rows])}
    return [Correction(row, results.get(row.adjusted_key)) for row in rows]


def evidence_of(trade_id: uuid.UUID) -> Evidence:
    """The trade with its orders, fills, prints, books, results, funding and leg-out, as its own page has them."""
    try:
        page = trade_page(trade_id, wiring.page_redis_client)
    except TradeUnreadable as trouble:
        return Evidence(None, str(trouble))
    if page is None:
        note = window_note()
        unknown = "This desk knows no trade with this id: another program reconciled it."
        return Evidence(None, note or unknown, bool(note))
    return Evidence(page, page.trouble)


def people_of_review() -> list[str]:
    """The names of those who may work on cases, in order."""
    found: set[str] = set()
    for permission in (PROPOSE, APPROVE):
        may = User.objects.with_perm(f"results.{permission}", backend=BACKEND)
        found.update(may.order_by("username").values_list("username", flat=True)[:PEOPLE_SHOWN_MAX])
    return sorted(found)


def neighbours_of(
    case: ReviewCase, cases: QuerySet[ReviewCase], states: Sequence[CaseState]
) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    """The cases before and after this one in the queue's order, of these cases and states; None at the ends."""
    same = Q(severity=case.severity, opened_at=case.opened_at)
    before = (
        same & Q(trade_id__lt=case.pk),
        Q(severity=case.severity, opened_at__lt=case.opened_at),
        Q(severity__gt=case.severity),
    )
    after = (
        same & Q(trade_id__gt=case.pk),
        Q(severity=case.severity, opened_at__gt=case.opened_at),
        Q(severity__lt=case.severity),
    )
    backwards = ("severity", "-opened_at", "-trade_id")
    return _nearest(cases, states, before, backwards), _nearest(cases, states, after, QUEUE)


def _nearest(
    cases: QuerySet[ReviewCase], states: Sequence[CaseState], steps: Sequence[Q], order: tuple[str, str, str]
) -> uuid.UUID | None:
    """The first case beyond; each condition and state is a range of an index, so that without filters none reads more
    than a row."""
    for step in steps:
        found = [
            row for state in states if (row := cases.filter(step, state=state).order_by(*order).first()) is not None
        ]
        if found:
            wanted = ReviewCase.objects.filter(pk__in=[row.pk for row in found]).order_by(*order)
            return wanted.values_list("pk", flat=True)[0]
    return None
