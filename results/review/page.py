"""The page of one case of review in the admin: why it failed, the evidence, what happened so far, and the buttons.

A request that changes something names its `step`; it calls one service, which decides. A refusal stands beside its
field with what was typed; where the case meanwhile moved on, and the form is gone, it stands above the page.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from paperdesk import roles
from paperdesk.admin_format import age
from paperdesk.mirror_admin import trade_links
from results.domain.review import CaseState, ReviewRefused
from results.domain.units import datetime_of
from results.models import TradeResult
from results.review import forms as case_forms
from results.review import services as review_services
from results.review.selectors import (
    Evidence,
    Standing,
    corrections_of,
    evidence_of,
    findings_of,
    neighbours_of,
    people_of_review,
    standing_of,
)
from results.review.timeline import timeline_of
from results.review_models import Review, ReviewCase
from trading import glossary
from trading.engine.clock import SystemClock

RESULTS_SHOWN_MAX = 50
Call = Callable[[uuid.UUID, Any, Any, int], object]  # trade, valid form, user, now in microseconds


def _works(user: Any) -> bool:
    return roles.may_propose(user) or roles.may_decide(user)


@dataclass(frozen=True)
class Step:
    """Something that may be done to a case: who may, the call of the service, and what is said when it is done."""

    may: Callable[[Any], bool]
    call: Call
    done: str


STEPS: Mapping[str, Step] = {
    "propose": Step(
        roles.may_propose,
        lambda trade, form, user, now_us: review_services.case_propose(trade, form.wanted(), user, now_us),
        "Proposed. Another person decides on it now; you can withdraw it until then.",
    ),
    "withdraw": Step(
        _works,
        lambda trade, form, user, now_us: review_services.case_withdraw(trade, user, now_us),
        "Withdrawn. The case is open again.",
    ),
    "approve": Step(
        roles.may_decide,
        lambda trade, form, user, now_us: review_services.case_approve(
            trade, form.said, user, now_us, form.cleaned_data["seen"]
        ),
        "Approved. The case is resolved, and the decision is in every store within seconds.",
    ),
    "return": Step(
        roles.may_decide,
        lambda trade, form, user, now_us: review_services.case_return(
            trade, form.said, user, now_us, form.cleaned_data["seen"]
        ),
        "Returned. The case is open again, and its maker reads why in the history.",
    ),
    "comment": Step(
        _works,
        lambda trade, form, user, now_us: review_services.case_comment(trade, form.said, user, now_us),
        "Comment added.",
    ),
    "assign": Step(
        _works,
        lambda trade, form, user, now_us: review_services.case_assign(
            trade, form.cleaned_data["assignee"], user, now_us
        ),
        "Assigned.",
    ),
}


def offered_to(user: Any, case: ReviewCase, standing: Standing | None) -> set[str]:
    """The steps that this person can take now; the services decide all the same."""
    is_own = standing is not None and standing.made.maker_id == user.pk
    steps: set[str] = set()
    if case.state == CaseState.OPEN:
        steps.add("propose")
    if standing is not None:
        steps |= {"withdraw"} if is_own else {"return"}
        if not is_own and standing.can_be_approved:
            steps.add("approve")
    return {step for step in (*steps, "comment", "assign") if STEPS[step].may(user)}


def why_not(user: Any, case: ReviewCase, standing: Standing | None) -> str:
    """Why there is nothing to propose or decide for this person, in words; "" where there is."""
    if case.state == CaseState.CLEARED:
        return "There is nothing to decide: a newer reconciliation of the trade succeeded."
    if case.state == CaseState.RESOLVED:
        return "This case is resolved. Should its figures move once more, it opens again by itself."
    if standing is None:
        return "" if roles.may_propose(user) else f"Nothing is proposed yet. Staff propose. {_your_part(user)}"
    if standing.made.maker_id == user.pk:
        until = "until then" if standing.can_be_approved else "and propose anew"
        return f"You proposed this, so another person decides (four eyes). You can withdraw it {until}."
    return "" if roles.may_decide(user) else f"An approver decides on this. {_your_part(user)}"


def _your_part(user: Any) -> str:
    if roles.may_decide(user):
        return "You decide once they did."
    return "You can comment, and assign the case." if roles.may_propose(user) else "You can read all of it."


class CasePage:
    """A mixin for the admin of ReviewCase: its change page is the page of the case."""

    history_at: ClassVar[str] = "#history-title"
    admin_site: Any
    opts: Any
    media: Any
    get_object: Any
    has_view_permission: Any
    message_user: Any
    queue_of: Any
    get_preserved_filters: Any
    _get_obj_does_not_exist_redirect: Any

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, or one step and back to the page."""
        case = self.get_object(request, object_id)
        if not self.has_view_permission(request, case):
            raise PermissionDenied
        if case is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
        if request.method == "POST":
            return self._take(request, case, extra_context or {})
        return self._page(request, case, extra_context or {})

    def _take(self, request: HttpRequest, case: ReviewCase, context: dict[str, Any]) -> HttpResponse:
        name = request.POST.get("step", "")
        if name not in STEPS:
            raise BadRequest(f"step {name!r}: there is none of this name")
        step, now_us = STEPS[name], SystemClock().now_us()
        if not step.may(request.user):
            raise PermissionDenied
        form = _form(name, case, request.POST)
        if form.is_valid():
            try:
                step.call(case.pk, form, request.user, now_us)
            except review_services.ReviewForbidden as forbidden:
                raise PermissionDenied(str(forbidden)) from None
            except ReviewRefused as refused:
                form.take(refused)
            else:
                self.message_user(request, step.done, messages.SUCCESS)
                return HttpResponseRedirect(request.get_full_path())
        case.refresh_from_db()
        if name in offered_to(request.user, case, standing_of(case, datetime_of(now_us))):
            return self._page(request, case, context, {name: form})
        self.message_user(request, _overtaken(form), messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())

    def _page(
        self,
        request: HttpRequest,
        case: ReviewCase,
        context: dict[str, Any],
        refused: dict[str, case_forms.StepForm] | None = None,
    ) -> HttpResponse:
        now = datetime_of(SystemClock().now_us())
        standing, evidence = standing_of(case, now), evidence_of(case.pk)
        offered = offered_to(request.user, case, standing)
        forms = {name: _form(name, case) for name in offered} | (refused or {})
        previous, following = neighbours_of(case, *self.queue_of(request))
        findings = findings_of(case)
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": findings.why.removesuffix("."),
            "case": case,
            "age": age(case.opened_at, depth=2),
            "may_reconcile": roles.may_command(request.user),
            "findings": findings,
            "standing": standing,
            "decided": _decided(case),
            "forms": forms,
            "deciding": forms.get("approve" if "approve" in (refused or {}) else "return"),
            "has_errors": bool(refused),
            "why_not": why_not(request.user, case, standing),
            "events": timeline_of(case),
            "neighbours": {"previous": previous, "next": following},
            "preserved_filters": self.get_preserved_filters(request),
            "links": trade_links(case.pk),
            **_shown(evidence),
            **context,
        }
        return TemplateResponse(request, "admin/review_case.html", shown)


def _shown(evidence: Evidence) -> dict[str, Any]:
    page = evidence.page
    terms = glossary.BY_NAME["trade"]
    return {"evidence": evidence, "page": page, "trade": page.facts if page else None, "terms": terms}


def _decided(case: ReviewCase) -> dict[str, Any] | None:
    """The proposal that was approved, and what it corrected."""
    if case.state != CaseState.RESOLVED or case.review_id is None:
        return None
    made = Review.objects.filter(pk=case.review_id).first()
    return None if made is None else {"made": made, "corrections": corrections_of(made.pk)}


def _form(name: str, case: ReviewCase, data: Any = None) -> Any:
    """A step's form; each has a prefix of its own, so that no two fields of the page share a name."""
    match name:
        case "propose":
            results = TradeResult.objects.filter(trade_id=case.pk).order_by("executed_at", "result_id")
            return case_forms.ProposeForm(case, list(results[:RESULTS_SHOWN_MAX]), data, prefix=name)
        case "assign":
            return case_forms.AssignForm(people_of_review(), data, prefix=name, initial={"assignee": case.assignee})
        case _:
            return FORMS[name](data, prefix="decision" if name in ("approve", "return") else name)


FORMS: Mapping[str, type[case_forms.StepForm]] = {
    "withdraw": case_forms.WithdrawForm,
    "approve": case_forms.ApproveForm,
    "return": case_forms.ReturnForm,
    "comment": case_forms.CommentForm,
}


def _overtaken(form: Any) -> str:
    """What to say where the form is no longer there: why, and what was typed, so that it is not lost."""
    sentences = [str(sentence) for found in form.errors.values() for sentence in found]
    typed = form.data.get(form.add_prefix("comment"), "").strip()
    return " ".join([*sentences, *([f"You had written: {typed}"] if typed else [])]) or "The case moved on meanwhile."
