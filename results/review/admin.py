"""The admin's queue of review cases: the gravest and oldest first, what is undecided unless asked for more."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.utils import timezone

from paperdesk.admin_filters import period_filter
from paperdesk.bounded_list import BoundedChangeList
from paperdesk.mirror_admin import ROWS_A_PAGE, MirrorAdmin
from paperdesk.roles import may_decide, may_propose
from results.domain.review import CaseState
from results.domain.units import us_of_datetime
from results.review.bulk import ApprovalForm, cases_approve, cases_assign, chosen_cases, seen_in
from results.review.page import CasePage
from results.review.queue import UNDECIDED, QueuePaginator, Streams, proposals_of
from results.review.queue_list import (
    DISPLAYS,
    STATES_SHOWN,
    AgeFilter,
    KindFilter,
    SeverityFilter,
    ShowFilter,
    narrowed_in,
    severities_in,
    shown_in,
    value_filter,
)
from results.review_models import ReviewCase


class QueueChangeList(BoundedChangeList):
    """A page of the queue, with the proposal of each case."""

    def get_results(self, request: HttpRequest) -> None:
        """Take a page from the streams, also when it is the only one."""
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.paginator.page(1).object_list
        proposals, kept = proposals_of(self.result_list), self.model_admin.get_preserved_filters(request)
        for row in self.result_list:
            row.proposal = proposals.get(row.review_id)
            row.kept = kept


def now_us() -> int:
    """The wall clock in microseconds UTC."""
    return us_of_datetime(timezone.now())


def _chosen(request: HttpRequest) -> list[uuid.UUID]:
    """The trades whose cases were chosen, each once."""
    try:
        return [*dict.fromkeys(uuid.UUID(text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME))]
    except ValueError as error:
        raise BadRequest("a chosen case is not named by the id of its trade") from error


@admin.register(ReviewCase)
class ReviewCaseAdmin(CasePage, MirrorAdmin):
    """Cases of review, the gravest and oldest first."""

    columns = ("severity", "opened", "trade_id", "instrument", "why", "state", "assignee", "portfolio")
    further_columns = DISPLAYS
    id_columns = ("trade_id",)
    actions = ("approve", "assign_to_me")
    search_help_text = "A trade's exact id; cases in any state are found."
    list_filter = (
        ShowFilter,
        SeverityFilter,
        AgeFilter,
        KindFilter,
        value_filter("exchange", "venue"),
        value_filter("symbol"),
        value_filter("portfolio"),
        period_filter("opened_at"),
    )
    change_list_template = "admin/review_queue.html"

    class Media:
        css: ClassVar = {"all": ["css/review.css"]}
        js: ClassVar = ["js/case_keys.js"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The queue. Cases never leave their table, so it has no window. An action that the user may not do is refused
        by name, and nothing is done."""
        if request.method == "POST":
            _chosen(request)
            for action in filter(None, request.POST.getlist("action")):
                if action not in self.get_actions(request):
                    raise PermissionDenied(f"Your role may not do this with cases: {action}.")
        return super().changelist_view(request, {"subtitle": None, **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QueueChangeList]:
        """A list that reads its page from the queue's streams."""
        return QueueChangeList

    def get_paginator(
        self, request: HttpRequest, queryset: QuerySet[Model], per_page: int, *args: Any, **kwargs: Any
    ) -> QueuePaginator:
        """Pages of the states and severities that are shown."""
        states = STATES_SHOWN.get(shown_in(request), ())
        streams = Streams(queryset.filter(**narrowed_in(request)), states, severities_in(request))
        return QueuePaginator(queryset, per_page, streams)

    def queue_of(self, request: HttpRequest) -> tuple[QuerySet[ReviewCase], Sequence[CaseState]]:
        """The cases of the list from which a case's page was opened, and their states; the undecided ones otherwise."""
        if "_changelist_filters" not in request.GET:
            return ReviewCase.objects.all(), UNDECIDED
        asked = copy(request)
        asked.GET = QueryDict(request.GET.get("_changelist_filters", ""))
        try:
            cases = self.get_changelist_instance(asked).queryset
        except IncorrectLookupParameters:
            return ReviewCase.objects.all(), UNDECIDED
        return cases, STATES_SHOWN.get(shown_in(asked), ())

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whether the user may decide on proposals of others."""
        return may_decide(request.user)

    def has_work_permission(self, request: HttpRequest) -> bool:
        """Whether a case may be assigned to the user."""
        return may_propose(request.user) or may_decide(request.user)

    @admin.action(description="Approve the chosen proposals", permissions=["decide"])
    def approve(self, request: HttpRequest, queryset: QuerySet[ReviewCase]) -> HttpResponse | None:
        """First a page with the proposals, then, of those that were on it, each approved or refused with a reason."""
        trades = _chosen(request)
        if self._too_many(request, trades):
            return None
        form = ApprovalForm(request.POST if "seen" in request.POST else None)
        cases = chosen_cases(trades, request.user, now_us())
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts, "media": self.media, "form": form, "cases": cases, "title": "Approve proposals",
            "approvable": sum(1 for each in cases if not each.refusal), "queue": request.get_full_path(),
        }  # fmt: skip
        if form.is_valid():
            seen = seen_in(request.POST.getlist("seen"))
            wanted = {trade: seen.get(trade) for trade in trades}
            answers = cases_approve(wanted, form.cleaned_data["comment"], request.user, now_us())
            refused = sum(1 for each in answers if each.refusal)
            named = {each.case.pk: each.case for each in cases}
            told = [(each, named.get(each.trade_id)) for each in answers]
            context |= {"answers": told, "refused": refused, "approved": len(answers) - refused}
        return TemplateResponse(request, "admin/review_approve.html", context)

    @admin.action(description="Assign the chosen cases to me", permissions=["work"])
    def assign_to_me(self, request: HttpRequest, queryset: QuerySet[ReviewCase]) -> None:
        """Assigns each, and says which could not be."""
        trades = _chosen(request)
        if self._too_many(request, trades):
            return
        answers = cases_assign(trades, request.user, now_us())
        for each in (one for one in answers if one.refusal):
            self.message_user(request, each.refusal, messages.ERROR)
        if done := sum(1 for each in answers if not each.refusal):
            words = "1 case is" if done == 1 else f"{done} cases are"
            self.message_user(request, f"{words} now assigned to you.", messages.SUCCESS)

    def _too_many(self, request: HttpRequest, trades: Sequence[uuid.UUID]) -> bool:
        if len(trades) <= ROWS_A_PAGE and request.POST.get("select_across", "0") == "0":
            return False
        self.message_user(request, f"At most {ROWS_A_PAGE} cases, those of a page, at once.", messages.ERROR)
        return True
