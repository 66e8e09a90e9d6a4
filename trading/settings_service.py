"""Changing the settings: everything that is saved together is checked as one desk, or nothing of it is saved.

Invariant: whoever reads a version of the settings reads a desk that is valid as a whole; rows, their history, their
outbox rows and the version are committed in one transaction. Source: issue "settings", ruling 26.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from django.db import transaction

from paperdesk.outbox import canonical_row, record
from results.domain.units import datetime_of, plain
from trading.config import Defaults, load_desk
from trading.domain.errors import ConfigurationError
from trading.domain.strategy import Desk
from trading.settings_columns import values_of_row
from trading.settings_desk import desk_with, is_empty
from trading.settings_models import KINDS, DeskSettings, SettingsModel, Strategy

SHIPPED_BY = "shipped defaults"
UPGRADED_BY = "upgrade"


class Saved(msgspec.Struct, frozen=True):
    """What a save did: the version of the settings afterwards, and what was added and changed, by key."""

    version: int
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def settings_save(rows: Iterable[SettingsModel], by: str, now_us: int, seed: int | None = None) -> Saved:
    """Save new and changed rows as one change of the desk; rows that are as they were are left alone.

    `by` names who did it. Raises ConfigurationError, and nothing has changed; the database's errors.
    """
    with transaction.atomic():
        desk_row = _locked()
        added, changed = _sorted(rows)
        reseeded = seed is not None and seed != desk_row.seed
        if not (added or changed or reseeded):
            return Saved(desk_row.version)
        desk_row.version += 1
        desk_row.seed = desk_row.seed if seed is None else seed
        desk_row.changed_at = datetime_of(now_us)
        desk_with((*added, *changed), desk_row.seed)
        for row in _placed(added, changed):
            row.settings_version = desk_row.version
            record(row, now_us, by)
        desk_row.save()
    return Saved(desk_row.version, tuple(map(_label, added)), tuple(map(_label, changed)))


def settings_import(desk: Desk, by: str, now_us: int, only_these: bool = False) -> Saved:
    """Bring the database to the settings of a desk: what it names is added or changed, the rest stays.

    With `only_these`, strategies that it does not name are switched off. Raises ConfigurationError, and nothing
    has changed.
    """
    rows = list(_rows_of(desk))
    if only_these:
        named = {row.pk for row in rows if isinstance(row, Strategy)}
        for strategy in Strategy.objects.exclude(pk__in=named):
            strategy.enabled = False
            rows.append(strategy)
    return settings_save(rows, by, now_us, desk.seed)


def settings_seed(defaults: Defaults, now_us: int) -> Saved | None:
    """Load the shipped settings into a database that has none; None, and nothing was loaded, if it has some.

    Rows that got a new column since they were recorded are recorded again, so that every store learns its value.
    """
    with transaction.atomic():
        _locked()
        if is_empty():
            return settings_import(load_desk(defaults=defaults), SHIPPED_BY, now_us)
        for row in (row for _, model in KINDS for row in model._default_manager.all()):
            if canonical_row(row)["row_hash"] != row.row_hash:
                record(row, now_us, UPGRADED_BY)
    return None


def _locked() -> DeskSettings:
    """The desk's row, locked: changes of the settings happen one after the other."""
    DeskSettings.objects.get_or_create(pk=1)
    return DeskSettings.objects.select_for_update().get(pk=1)


def _sorted(rows: Iterable[SettingsModel]) -> tuple[list[SettingsModel], list[SettingsModel]]:
    """The rows that are new, and those that differ from what is stored. Raises ConfigurationError."""
    added, changed = [], []
    for row in rows:
        row.take(row.settings())  # a text may spell the same settings in many ways; one of them is stored
        key = row.key_now()
        stored = type(row)._default_manager.filter(pk=key).first()
        row.pk = key
        if stored is None:
            added.append(row)
        elif values_of_row(row.struct, stored) != values_of_row(row.struct, row):
            refuse_fixed(stored, row)
            row.version, row.day, row.position = stored.version, stored.day, stored.position
            changed.append(row)
    return added, changed


def refuse_fixed(stored: SettingsModel, row: SettingsModel) -> None:
    """Raises ConfigurationError for a change of what never changes."""
    for name in row.fixed:
        before, after = getattr(stored, name), getattr(row, name)
        if before != after:
            raise ConfigurationError(
                f"{row._meta.verbose_name} {row.key_now()}: {name} is {after}, it is fixed at {_shown(before)} since "
                f"the {row._meta.verbose_name} exists; copy it as a new one instead",
                field=name,
            )


def _placed(added: Sequence[SettingsModel], changed: Sequence[SettingsModel]) -> Iterator[SettingsModel]:
    """All of them; new rows have a place behind all others of their kind."""
    for _, model in KINDS:
        last = model._default_manager.order_by("-position").values_list("position", flat=True).first() or 0
        for place, row in enumerate((row for row in added if type(row) is model), start=last + 1):
            row.position = place
            yield row
    yield from changed


def _rows_of(desk: Desk) -> Iterator[SettingsModel]:
    for name, model in KINDS:
        for settings in getattr(desk, name):
            row = model()
            row.take(settings)
            yield row


def _label(row: SettingsModel) -> str:
    return f"{row._meta.verbose_name} {row.pk}"


def _shown(value: Any) -> Any:
    return plain(value) if hasattr(value, "as_tuple") else value
