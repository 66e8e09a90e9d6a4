"""The admin's page on which a period is reconciled once more: the form, and how far that is."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from paperdesk.roles import may_command
from results.domain.units import datetime_of
from results.pipeline.reconcile.asked import Asked
from results.reconcile.services import ReconcileRefused, portfolios_known, reconcile_ask, reconcile_asked
from trading.engine.clock import SystemClock
from trading.stores.errors import RedisAway

WEEK = datetime.timedelta(days=7)


class PeriodForm(forms.Form):
    """The period and the portfolios."""

    first = forms.DateField(label="From", help_text="First UTC day of exits, YYYY-MM-DD.")
    last = forms.DateField(label="To", help_text="Last UTC day of exits, included.")
    portfolios = forms.MultipleChoiceField(
        label="Portfolios", required=False, widget=forms.CheckboxSelectMultiple, help_text="None chosen: all of them."
    )

    def __init__(self, known: list[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["portfolios"].choices = [(name, name) for name in known]
        for name in ("first", "last"):
            self.fields[name].widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


def reconcile_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The page. Raises PermissionDenied."""
    if not may_command(request.user):
        raise PermissionDenied
    trouble, known, asked = "", list[str](), None
    try:
        known, asked = portfolios_known(), reconcile_asked()
    except RedisAway as error:
        trouble = str(error)
    today = datetime.datetime.now(datetime.UTC).date()
    form = PeriodForm(known, request.POST or None, initial={"first": today - WEEK, "last": today})
    if request.method == "POST" and not trouble and form.is_valid():
        try:
            reconcile_ask(**form.cleaned_data, user=request.user, now_us=SystemClock().now_us())
            return HttpResponseRedirect(request.path)
        except ReconcileRefused as error:
            form.add_error(error.field, str(error))
        except RedisAway as error:
            trouble = str(error)
    more = {"title": "Reconcile again", "form": form, "trouble": trouble, **told(asked)}
    return render(request, "admin/reconcile_again.html", {**context, **more})


def told(asked: Asked | None) -> dict[str, Any]:
    """What the page says of what is under way, or was done last."""
    if asked is None:
        return {"asked": None}
    of = max(asked.of, asked.done)
    return {
        "asked": asked,
        "of": of,
        "is_under_way": asked.ended_us is None,
        "asked_at": datetime_of(asked.at_us),
        "ended_at": None if asked.ended_us is None else datetime_of(asked.ended_us),
        "unnamed": asked.unreadable_count - len(asked.unreadable),
    }
