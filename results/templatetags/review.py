"""The panel of the admin's front page: what is to be reviewed, and where to begin."""

from __future__ import annotations

from typing import Any

from django import template

from paperdesk.admin_format import age
from paperdesk.bounded_list import bounded
from paperdesk.roles import may_decide, may_propose
from results.domain.review import CaseState
from results.review.queue import GRAVEST_FIRST, Streams, waiting_for
from results.review_models import ReviewCase

register = template.Library()


@register.inclusion_tag("admin/review_panel.html", takes_context=True)
def review_panel(context: Any) -> dict[str, Any]:
    """How many cases are undecided by severity, the oldest of the gravest, and what is the user's own to do; nothing
    for who may not see cases."""
    user = context["request"].user
    if not user.has_perm("results.view_reviewcase"):
        return {}
    cases = ReviewCase.objects.all()
    counts = [(each.name.lower(), bounded(Streams(cases, severities=[each]).counted)) for each in GRAVEST_FIRST]
    shown: dict[str, Any] = {"counts": counts, "first": None}
    for first in Streams(cases).between(0, 1):
        shown |= {"first": first, "why": _within_a_sentence(first.rejection_reason or "no reason given")}
        shown["open_for"] = age(first.opened_at)
    if may_decide(user):
        shown["waiting"] = bounded(Streams(waiting_for(user, cases), [CaseState.PROPOSED]).counted)
    if may_propose(user) or may_decide(user):
        shown["mine"] = bounded(Streams(cases.filter(assignee=user.get_username())).counted)
    return {**shown, "may_see": True}


def _within_a_sentence(reason: str) -> str:
    """ "Result missing" is "result missing" there; "P&L does not add up" stays."""
    return f"{reason[0].lower()}{reason[1:]}" if reason[1:2].islower() else reason
