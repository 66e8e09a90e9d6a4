"""Many cases at once: what the queue's actions do, each case in a transaction of its own, with an answer for each.

An approval has two steps: a page that shows the proposal of each chosen case, then the decision on exactly those. A
proposal that came after the page was made is not approved unseen.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from django import forms
from django.core.exceptions import BadRequest
from django.db import OperationalError

from paperdesk.admin_format import exact
from results.domain import review
from results.domain.review import COMMENT_CHARACTERS_MAX, Person, ReviewRefused
from results.review.queue import proposals_of
from results.review.services import adjustments_as_seen, case_approve, case_assign, case_of
from results.review_models import Review, ReviewCase, TradeAdjustment


class Figure(msgspec.Struct, frozen=True):
    """A figure that a proposal would correct: its column, what it was and what it becomes."""

    column: str
    was: str
    becomes: str


class Chosen(msgspec.Struct, frozen=True):
    """A case that was chosen, its proposal, and why that cannot be approved ("" if it can)."""

    case: ReviewCase
    made: Review | None
    figures: Sequence[Figure]
    refusal: str


class Answer(msgspec.Struct, frozen=True):
    """What became of one case: `refusal` is the sentence of the rule that was against it, "" if it was done."""

    trade_id: uuid.UUID
    refusal: str

    @property
    def why(self) -> str:
        """The sentence where the trade stands beside it."""
        return _without(self.trade_id, self.refusal)


class ApprovalForm(forms.Form):
    """What an approver may say of all that he approves."""

    comment = forms.CharField(
        label="Comment",
        required=False,
        max_length=COMMENT_CHARACTERS_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Optional; kept with each decision.",
    )


def chosen_cases(trade_ids: Sequence[uuid.UUID], user: Any, now_us: int) -> list[Chosen]:
    """The cases in the queue's order, with what speaks against approving each of them now."""
    cases = list(ReviewCase.objects.filter(pk__in=trade_ids))  # in the table's own order, which is the queue's
    proposals = proposals_of(cases)
    figures = _figures(list(proposals))
    found = [(case, proposals.get(case.review_id)) for case in cases]
    return [
        Chosen(case, made, figures.get(case.review_id, ()), _refusal(case, made, user, now_us)) for case, made in found
    ]


def seen_in(texts: Sequence[str]) -> dict[uuid.UUID, uuid.UUID | None]:
    """Proposals by their cases' trades, from "trade:proposal" as the page's form has them. Raises BadRequest."""
    try:
        pairs = [text.split(":") for text in texts if text]
        return {uuid.UUID(trade): uuid.UUID(proposal) for trade, proposal in pairs}
    except ValueError as error:
        raise BadRequest("a proposal that was seen is not named by its ids") from error


def cases_approve(seen: Mapping[uuid.UUID, uuid.UUID | None], comment: str, user: Any, now_us: int) -> list[Answer]:
    """Approve the proposals that were seen, by their cases' trades; None is a case that had none."""

    def approve(trade_id: uuid.UUID) -> None:
        proposal = seen[trade_id]
        if proposal is None:
            raise ReviewRefused(f"trade {trade_id}: it had no proposal when you looked, so there is nothing to approve")
        case_approve(trade_id, comment, user, now_us, proposal)

    return _each(list(seen), approve)


def cases_assign(trade_ids: Sequence[uuid.UUID], user: Any, now_us: int) -> list[Answer]:
    """Give the cases to the user himself."""
    return _each(trade_ids, lambda trade_id: case_assign(trade_id, user.get_username(), user, now_us))


def _each(trade_ids: Sequence[uuid.UUID], deed: Callable[[uuid.UUID], Any]) -> list[Answer]:
    answers = []
    for trade_id in trade_ids:
        try:
            deed(trade_id)
        except ReviewRefused as error:
            answers.append(Answer(trade_id, str(error)))
        except OperationalError as error:
            answers.append(Answer(trade_id, f"trade {trade_id}: the database is too busy ({error}); try it again"))
        else:
            answers.append(Answer(trade_id, ""))
    return answers


def _figures(proposals: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Figure]]:
    found: dict[uuid.UUID, list[Figure]] = {}
    for each in TradeAdjustment.objects.filter(review_id__in=proposals).order_by("adjusted_column", "id"):
        was = "nothing" if each.value_before is None else exact(each.value_before)
        found.setdefault(each.review_id, []).append(
            Figure(each.adjusted_column.replace("_", " "), was, exact(each.value_after))
        )
    return found


def _refusal(case: ReviewCase, made: Review | None, user: Any, now_us: int) -> str:
    try:
        review.approve(case_of(case, made), Person(user.pk, user.get_username()), now_us)
        if made is not None:
            adjustments_as_seen(made)
    except ReviewRefused as error:
        return _without(case.trade_id, str(error))
    return ""


def _without(trade_id: uuid.UUID, sentence: str) -> str:
    return sentence.removeprefix(f"trade {trade_id}").lstrip(": ")
