"""The forms on a case's page. They check what can be checked alone; the rest `results.review.services` refuses, whose
sentence then stands beside the field that it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.forms import BoundField

from results.domain.review import (
    COMMENT_CHARACTERS_MAX,
    REASONS_OF,
    Basis,
    Reason,
    Resolution,
    ReviewRefused,
)
from results.domain.units import PLACES, plain, text_of
from results.models import TradeResult
from results.review.services import Adjusted, Wanted
from results.review_models import ReviewCase

DIGITS_MAX = 38
RESOLUTIONS = {
    Resolution.ACCEPT: "Accept: the figures stand as they are",
    Resolution.ADJUST: "Adjust: a figure is wrong, and I give the right one",
    Resolution.REJECT: "Reject: the figures are not accepted; to be taken up with the venue",
}
GROUPS = {Resolution.ACCEPT: "To accept", Resolution.ADJUST: "To adjust", Resolution.REJECT: "To reject"}
ADJUSTABLE = {
    "execution_price": "Execution price",
    "filled_quantity": "Filled quantity",
    "commission": "Fee (a cost is positive)",
}
UNSEEN = "It is not known which proposal you saw. The one that stands is shown: look at it, then send anew."
MOVED = "The figures moved since you opened this page. They are shown as they are now: look again, then send anew."


def reasons() -> list[Any]:
    """The reasons by the resolution that they fit, and at last the one that fits all."""
    groups = [
        (GROUPS[resolution], [(reason.value, words(reason)) for reason in fitting if reason is not Reason.OTHER])
        for resolution, fitting in REASONS_OF.items()
    ]
    other = (Reason.OTHER.value, "other: say which in the comment")
    return [("", "Choose a reason"), *groups, ("To any of them", [other])]


def words(value: object) -> str:
    """A code in plain letters."""
    return str(value).replace("_", " ")


@dataclass(frozen=True)
class Figure:
    """A figure of a result that may be corrected, and where the form has it."""

    result: TradeResult
    column: str

    @property
    def name(self) -> str:
        """The form's field of the corrected value."""
        return f"{self.column}-{self.result.pk}"

    @property
    def label(self) -> str:
        """What it is."""
        return ADJUSTABLE[self.column]

    @property
    def value(self) -> Decimal | None:
        """As it stands now."""
        found: Decimal | None = getattr(self.result, self.column)
        return found


class StepForm(forms.Form):
    """A form of the page; `take` puts what the service refused beside its field."""

    use_required_attribute = False  # the sentence beside the field is ours, and the same in every browser

    def take(self, refused: ReviewRefused) -> None:
        """Show why it was refused."""
        self.add_error(refused.field if refused.field in self.fields else None, str(refused))


def comment_field(label: str, missing: str = "") -> forms.CharField:
    """A text of several lines; `missing` is what is said when it has to be there and is not."""
    return forms.CharField(
        label=label,
        required=bool(missing),
        max_length=COMMENT_CHARACTERS_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": missing} if missing else {},
    )


class ProposeForm(StepForm):
    """What becomes of the case. `basis` and each result's `seen` field say which figures were on the page."""

    resolution = forms.ChoiceField(
        label="What becomes of it",
        choices=[(each.value, text) for each, text in RESOLUTIONS.items()],
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what becomes of the case: accept, adjust or reject."},
    )
    reason = forms.ChoiceField(
        label="Reason",
        choices=reasons,
        error_messages={"required": "Choose a reason that fits what you propose."},
    )
    value_after = forms.CharField(required=False)  # not an input: where errors of the corrected figures together stand
    comment = comment_field("Comment")
    basis = forms.CharField(required=False)

    def __init__(self, case: ReviewCase, results: Sequence[TradeResult], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.case, self.results = case, results
        for figure in self._figures():
            self.fields[figure.name] = forms.DecimalField(
                label=figure.label,
                required=False,
                max_digits=DIGITS_MAX,
                decimal_places=PLACES,
                widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
            )
        for result in results:
            self.fields[f"seen-{result.pk}"] = forms.IntegerField(required=False)

    @property
    def basis_now(self) -> str:
        """The figures on this page, for the hidden field."""
        return f"{self.case.reconciliation_version}:{self.case.reconciliation_hash}"

    @property
    def adjustable(self) -> list[tuple[TradeResult, list[tuple[Figure, BoundField]]]]:
        """By result: what may be corrected, and its field."""
        return [
            (result, [(figure, self[figure.name]) for figure in self._figures() if figure.result is result])
            for result in self.results
        ]

    def clean(self) -> dict[str, Any]:
        """Collects the corrected figures; they belong to `adjust`, and must differ from what stands."""
        cleaned = super().clean() or self.cleaned_data
        typed = [figure for figure in self._figures() if cleaned.get(figure.name) is not None]
        for figure in typed:
            self._check(figure, plain(cleaned[figure.name]), cleaned.get(f"seen-{figure.result.pk}"))
        resolution = cleaned.get("resolution")
        if typed and resolution and resolution != Resolution.ADJUST:
            self.add_error("value_after", f"You corrected figures, and to {resolution} changes none: choose adjust.")
        if resolution == Resolution.ADJUST and not typed and not any(f.name in self.errors for f in self._figures()):
            self.add_error("value_after", "Give the right value of at least one figure.")
        return cleaned

    def wanted(self) -> Wanted:
        """What the maker wants, of a form that is valid."""
        cleaned = self.cleaned_data
        adjusted = tuple(
            Adjusted(
                "trade_result",
                str(figure.result.pk),
                figure.result.version,
                figure.column,
                figure.value,
                plain(cleaned[figure.name]),
            )
            for figure in self._figures()
            if cleaned[figure.name] is not None
        )
        version, _, row_hash = cleaned["basis"].partition(":")
        return Wanted(
            Resolution(cleaned["resolution"]),
            Reason(cleaned["reason"]),
            Basis(int(version), int(row_hash)),
            cleaned["comment"],
            adjusted,
        )

    def clean_basis(self) -> str:
        """The figures that were on the page; other ones than now are refused before anything else."""
        basis: str = self.cleaned_data["basis"]
        if basis != self.basis_now:
            raise forms.ValidationError(MOVED)
        return basis

    def _check(self, figure: Figure, after: Decimal, seen: int | None) -> None:
        if seen != figure.result.version:
            self.add_error(figure.name, MOVED)
        elif after == figure.value:
            self.add_error(figure.name, f"It is {text_of(after)} already.")
        elif after < 0 and figure.column != "commission":
            self.add_error(figure.name, f"{text_of(after)} is below zero.")

    def _figures(self) -> Iterator[Figure]:
        for result in self.results:
            for column in ADJUSTABLE:
                yield Figure(result, column)


class WithdrawForm(StepForm):
    """Nothing to fill in."""


class CommentForm(StepForm):
    """Something to say."""

    comment = comment_field("Comment", "Write something first.")

    @property
    def said(self) -> str:
        """What was written, in a form that is valid."""
        return str(self.cleaned_data["comment"])


class ApproveForm(CommentForm):
    """A decision on the proposal that was on the page (`seen`), with a word if one likes."""

    comment = comment_field("Comment")
    seen = forms.UUIDField(error_messages={"required": UNSEEN, "invalid": UNSEEN})


class ReturnForm(ApproveForm):
    """A proposal goes back to its maker, with a word why."""

    comment = comment_field("Comment", "Say what is missing, so that the maker can mend it.")


class AssignForm(StepForm):
    """To whom the case is given; the service knows who may work on it."""

    assignee = forms.CharField(label="Assign to", required=False, max_length=150)

    def __init__(self, people: Sequence[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.people = people
