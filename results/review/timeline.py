"""What happened to a case, as one line of deeds: from the audit trail, and from the history of its row what the trail
does not tell of.

Every deed saves the case once and has its entry, but for a comment, which saves no case. So the versions that the row
had follow from the trail; a version of the history that is none of them was made by no deed, and is shown as such.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from results.domain.units import us_of_datetime
from results.review_models import AuditEntry, ReviewCase

DEEDS_SHOWN_MAX = 200
COMMENTED = "commented"
WATCHED = ("state", "assignee", "severity", "resolution")
LABELS = {"state": ("state", ""), "assignee": ("assigned to", "nobody")}  # the label, and what stands for none


@dataclass(frozen=True)
class Change:
    """A figure or word before and after; `before` is "" where there was none."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Event:
    """One deed. `number` is that of its audit entry, None where it has none."""

    at: datetime.datetime
    who: str
    deed: str
    number: int | None = None
    changes: list[Change] = field(default_factory=list)
    text: str = ""


def timeline_of(case: ReviewCase) -> list[Event]:
    """The deeds of a case, the newest first, at most DEEDS_SHOWN_MAX."""
    entries = list(AuditEntry.objects.filter(subject=f"review_case {case.pk}").order_by("-number")[:DEEDS_SHOWN_MAX])
    told = [_event(entry) for entry in entries]
    if len(entries) < DEEDS_SHOWN_MAX:
        told += _untold(case, set(_versions(reversed(entries))))
    return sorted(told, key=lambda event: (event.at, event.number or 0), reverse=True)


def _versions(entries: Iterable[AuditEntry]) -> Iterator[int]:
    """The versions of the case that its deeds made, as `paperdesk.outbox.record` counts them."""
    version = 0
    for entry in entries:
        if entry.action != COMMENTED:
            version = max(version + 1, us_of_datetime(entry.at))
            yield version


def _event(entry: AuditEntry) -> Event:
    before, after = _decoded(entry.before), _decoded(entry.after)
    text = after.get("decision_comment") or after.get("text") or ""
    if entry.action == "proposed":
        text = after.get("comment") or ""
    return Event(entry.at, entry.who, _deed(entry.action, after), entry.number, _changes(before, after), text)


def _deed(action: str, after: dict[str, Any]) -> str:
    match action:
        case "opened":
            return "opened the case: the reconciliation failed"
        case "cleared":
            return "cleared the case: the reconciliation succeeds now"
        case "figures moved":
            return f"took in other figures, version {after.get('figures')}"
        case "proposed":
            reason = str(after.get("reason")).replace("_", " ")
            return f"proposed to {after.get('resolution')}, because: {reason}; on version {after.get('figures')}"
        case "approved" | "returned":
            return f"{action} the proposal to {after.get('resolution')}"
        case "withdrawn":
            return "withdrew the proposal"
        case "expired":
            return "ended the proposal, on which nobody had decided in time"
        case "assigned":
            return "assigned the case"
        case _:
            return action


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    plain = [
        Change(label, str(before.get(name) or none), str(after[name] or none))
        for name, (label, none) in LABELS.items()
        if name in after and before.get(name) != after[name]
    ]
    corrected = [
        Change(
            f"{each['column'].replace('_', ' ')} of {each['table'].replace('_', ' ')} {each['key'][:8]}",
            each["before"] or "nothing",
            each["after"],
        )
        for each in after.get("corrections", ())
    ]
    return plain + corrected


def _decoded(text: str | None) -> dict[str, Any]:
    return {} if text is None else msgspec.json.decode(text, type=dict[str, Any])


def _untold(case: ReviewCase, told: set[int]) -> list[Event]:
    """Versions of the case that no deed made: somebody changed the row itself."""
    events, before = [], None
    for row in case.history.order_by("history_date", "history_id")[:DEEDS_SHOWN_MAX]:
        if row.version not in told:
            changes = [
                Change(name, str(getattr(before, name) or ""), str(getattr(row, name) or "nothing"))
                for name in WATCHED
                if before is not None and getattr(before, name) != getattr(row, name)
            ]
            who = str(row.history_user or "somebody")
            events.append(Event(row.history_date, who, "changed the row past the review", None, changes))
        before = row
    return events
