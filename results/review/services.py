"""What people do to a case of review: each is one transaction that locks the case, asks the rules, and writes the case,
the proposal, their outbox rows and the audit trail; or nothing of it.

The rules are `results.domain.review`; who may is `paperdesk.roles`. Nobody, administrators and superusers included,
decides on his own proposal. Source: ruling 26.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
from django.contrib.auth.models import User
from django.db import transaction

from paperdesk import roles
from paperdesk.outbox import record
from results.audit.trail import Deed, audit_add
from results.domain import review
from results.domain.review import (
    COMMENT_CHARACTERS_MAX,
    Basis,
    Case,
    CaseState,
    Person,
    Proposal,
    Reason,
    Resolution,
    ReviewRefused,
    StaleProposal,
)
from results.domain.units import datetime_of, us_of_datetime
from results.review.following import WHO
from results.review.selectors import corrections_of
from results.review_models import Outcome, Review, ReviewCase, ReviewComment, TradeAdjustment

DESK = Person(0, WHO)  # nobody: what happens by itself
EXPIRED_AT_ONCE_MAX = 500


class ReviewForbidden(ReviewRefused):
    """Whoever asks may not."""


class CaseUnknown(ReviewRefused):
    """There is no case of this trade."""


class Adjusted(msgspec.Struct, frozen=True):
    """A figure that a resolution `adjust` corrects: a column of a row, as it was and as it should be."""

    table: str
    key: str
    version: int
    column: str
    before: Decimal | None
    after: Decimal


class Wanted(msgspec.Struct, frozen=True):
    """What a maker fills in. `basis` are the figures that were on the page."""

    resolution: Resolution
    reason: Reason
    basis: Basis
    comment: str = ""
    adjusted: tuple[Adjusted, ...] = ()


def case_propose(trade_id: uuid.UUID, wanted: Wanted, user: Any, now_us: int) -> Review:
    """Propose a resolution.

    Raises ReviewForbidden, CaseUnknown, ReviewRefused (with the form's field), StaleProposal.
    """
    _require(roles.may_propose(user), f"trade {trade_id}: only staff may propose a resolution")
    if bool(wanted.adjusted) is not (wanted.resolution is Resolution.ADJUST):
        needed = "adjusts no figure" if wanted.adjusted else "needs the figure to adjust"
        raise ReviewRefused(f"trade {trade_id}: a resolution {wanted.resolution} {needed}", "value_after")
    maker = _person(user)
    proposal = Proposal(maker, wanted.resolution, wanted.reason, wanted.comment.strip(), wanted.basis, now_us)
    with transaction.atomic():
        row = _locked(trade_id)
        after = review.propose(_case(row), proposal)
        made = Review(
            trade_id=trade_id,
            resolution=proposal.resolution.value,
            reason=proposal.reason.value,
            comment=proposal.comment,
            maker=maker.name,
            maker_id=maker.id,
            proposed_at=datetime_of(now_us),
            expires_at=datetime_of(proposal.expires_us),
            basis_version=proposal.basis.version,
            basis_hash=proposal.basis.row_hash,
        )
        record(made, now_us, maker.name)
        for adjusted in wanted.adjusted:
            record(_adjustment(made, adjusted), now_us, maker.name)
        row.review_id = made.pk
        _save(row, after, "proposed", made, now_us, maker.name)
    return made


def case_withdraw(trade_id: uuid.UUID, user: Any, now_us: int) -> ReviewCase:
    """Take one's own proposal back. Raises CaseUnknown, ReviewRefused."""
    return _end(trade_id, Outcome.WITHDRAWN, _person(user), now_us, "", review.withdraw)


def case_return(trade_id: uuid.UUID, comment: str, user: Any, now_us: int, seen: uuid.UUID | None = None) -> ReviewCase:
    """Not approve a proposal, with a word why; `seen` is the one that was looked at, if that is known.

    Raises ReviewForbidden, CaseUnknown, ReviewRefused, OwnProposal, StaleProposal for another one than `seen`.
    """
    _require(roles.may_decide(user), f"trade {trade_id}: only approvers decide on proposals")
    if not comment.strip():
        raise ReviewRefused("comment: say what is missing, so that the maker can mend it", "comment")
    return _end(trade_id, Outcome.RETURNED, _person(user), now_us, comment, review.give_back, seen)


def case_approve(
    trade_id: uuid.UUID, comment: str, user: Any, now_us: int, seen: uuid.UUID | None = None
) -> ReviewCase:
    """Approve another person's proposal: the case is resolved, and an adjustment is in force. `seen` is the proposal
    that was looked at, if that is known: another one is not approved in its place.

    Raises ReviewForbidden, CaseUnknown, ReviewRefused, OwnProposal, StaleProposal, ExpiredProposal.
    """
    _require(roles.may_decide(user), f"trade {trade_id}: only approvers decide on proposals")
    return _end(trade_id, Outcome.APPROVED, _person(user), now_us, comment, partial(review.approve, at_us=now_us), seen)


def proposals_expire(now_us: int) -> int:
    """End the proposals that nobody decided on in time, so that their cases are open again; how many it were. At most
    EXPIRED_AT_ONCE_MAX; the next call ends the rest. Raises the database's errors."""
    proposed = ReviewCase.objects.filter(state=CaseState.PROPOSED).order_by().values("review_id")
    late = Review.objects.filter(pk__in=proposed, expires_at__lte=datetime_of(now_us)).order_by("expires_at")
    ended = 0
    for trade_id in list(late.values_list("trade_id", flat=True)[:EXPIRED_AT_ONCE_MAX]):
        try:
            _end(trade_id, Outcome.EXPIRED, DESK, now_us, "", lambda case, by: review.expire(case, now_us))
        except ReviewRefused:
            continue  # somebody was faster
        ended += 1
    return ended


def case_assign(trade_id: uuid.UUID, assignee: str, user: Any, now_us: int) -> ReviewCase:
    """Give a case to somebody who may work on it, or to nobody ("").

    Raises ReviewForbidden, CaseUnknown, ReviewRefused.
    """
    _require(roles.may_propose(user) or roles.may_decide(user), f"trade {trade_id}: only staff assign cases")
    if assignee:
        somebody = User.objects.filter(username=assignee, is_active=True).first()
        if somebody is None or not (roles.may_propose(somebody) or roles.may_decide(somebody)):
            raise ReviewRefused(f"assignee: {assignee} is nobody who may work on a case", "assignee")
    with transaction.atomic():
        row = _locked(trade_id)
        before, row.assignee = row.assignee, assignee
        if before != assignee:
            record(row, now_us, user.get_username())
            deed = Deed("assigned", _subject(row), {"assignee": before}, {"assignee": assignee})
            audit_add([deed], now_us, user.get_username())
    return row


def case_comment(trade_id: uuid.UUID, text: str, user: Any, now_us: int) -> ReviewComment:
    """Say something of a case. Raises ReviewForbidden, CaseUnknown, ReviewRefused."""
    _require(roles.may_propose(user) or roles.may_decide(user), f"trade {trade_id}: only staff comment on cases")
    said = text.strip()
    if not said or len(said) > COMMENT_CHARACTERS_MAX:
        raise ReviewRefused(f"comment: 1 to {COMMENT_CHARACTERS_MAX} characters, these are {len(said)}", "comment")
    by = user.get_username()
    with transaction.atomic():
        row = _locked(trade_id)
        comment = ReviewComment(trade_id=trade_id, author=by, text=said, said_at=datetime_of(now_us))
        record(comment, now_us, by)
        audit_add([Deed("commented", _subject(row), None, {"text": said})], now_us, by)
    return comment


def _end(
    trade_id: uuid.UUID,
    outcome: Any,
    by: Person,
    now_us: int,
    comment: str,
    rule: Callable[[Case, Person], Case],
    seen: uuid.UUID | None = None,
) -> ReviewCase:
    if len(comment) > COMMENT_CHARACTERS_MAX:
        raise ReviewRefused(f"comment: {len(comment)} characters, at most {COMMENT_CHARACTERS_MAX} are kept", "comment")
    with transaction.atomic():
        row = _locked(trade_id)
        after = rule(_case(row), by)
        if seen is not None and row.review_id != seen:
            raise StaleProposal(f"trade {trade_id}: there is another proposal than the one you saw; look at it")
        made = Review.objects.select_for_update().get(pk=row.review_id)
        made.outcome, made.checker, made.checker_id = outcome, by.name, by.id or None
        made.decided_at, made.decision_comment = datetime_of(now_us), comment.strip()
        record(made, now_us, by.name)
        if outcome is Outcome.APPROVED:
            for adjustment in adjustments_as_seen(made):
                adjustment.in_force = True
                record(adjustment, now_us, by.name)
            row.resolution, row.resolved_at = made.resolution, made.decided_at
        else:
            row.review_id = None
        _save(row, after, outcome.value, made, now_us, by.name)
    return row


def _save(row: ReviewCase, after: Case, action: str, made: Review, now_us: int, by: str) -> None:
    before, row.state = row.state, after.state.value
    record(row, now_us, by)
    told: dict[str, Any] = {
        "state": row.state, "resolution": made.resolution, "reason": made.reason, "comment": made.comment,
        "decision_comment": made.decision_comment, "figures": made.basis_version, "review": str(made.pk),
    }  # fmt: skip
    adjusted = TradeAdjustment.objects.filter(review_id=made.pk).order_by("adjusted_key", "adjusted_column")
    corrections = [
        {"table": each.adjusted_table, "key": each.adjusted_key, "column": each.adjusted_column,
         "before": each.value_before, "after": each.value_after}
        for each in adjusted
    ]  # fmt: skip
    told |= {"corrections": corrections} if corrections else {}
    audit_add([Deed(action, _subject(row), {"state": before}, told)], now_us, by)


def _adjustment(made: Review, adjusted: Adjusted) -> TradeAdjustment:
    return TradeAdjustment(
        trade_id=made.trade_id,
        review_id=made.pk,
        adjusted_table=adjusted.table,
        adjusted_key=adjusted.key,
        adjusted_version=adjusted.version,
        adjusted_column=adjusted.column,
        value_before=adjusted.before,
        value_after=adjusted.after,
    )


def _locked(trade_id: uuid.UUID) -> ReviewCase:
    row = ReviewCase.objects.select_for_update().filter(pk=trade_id).first()
    if row is None:
        raise CaseUnknown(f"trade {trade_id} has no case: its reconciliation has not failed")
    return row


def _case(row: ReviewCase) -> Case:
    return case_of(row, Review.objects.filter(pk=row.review_id).first() if row.review_id else None)


def adjustments_as_seen(made: Review) -> list[TradeAdjustment]:
    """The figures that a proposal corrects. Raises StaleProposal if one of their rows moved since."""
    corrections = corrections_of(made.pk)
    for each in corrections:
        if each.has_moved:
            figure = f"{each.row.adjusted_column} of {each.row.adjusted_table} {each.row.adjusted_key}"
            raise StaleProposal(
                f"trade {made.trade_id}: {figure}, which {made.maker} would correct, moved after the proposal; it can "
                "be returned or withdrawn, and made anew"
            )
    return [each.row for each in corrections]


def case_of(row: ReviewCase, made: Review | None) -> Case:
    """The case as the rules know it; `made` is the proposal that it names."""
    basis = Basis(row.reconciliation_version, row.reconciliation_hash)
    return Case(str(row.trade_id), CaseState(row.state), basis, proposal_of(made) if made else None)


def proposal_of(made: Review) -> Proposal:
    """A row of `review` as the rules know it."""
    return Proposal(
        Person(made.maker_id, made.maker),
        Resolution(made.resolution),
        Reason(made.reason),
        made.comment,
        Basis(made.basis_version, made.basis_hash),
        us_of_datetime(made.proposed_at),
    )


def _person(user: Any) -> Person:
    return Person(user.pk, user.get_username())


def _subject(row: ReviewCase) -> str:
    return f"review_case {row.trade_id}"


def _require(may: bool, sentence: str) -> None:
    if not may:
        raise ReviewForbidden(sentence)
