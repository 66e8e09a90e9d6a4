"""The desk as the database has it: the whole of the settings, as the domain's `Desk`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trading.config import desk_of
from trading.domain.errors import ConfigurationError
from trading.domain.strategy import Desk
from trading.settings_columns import values_of_row
from trading.settings_models import KINDS, DeskSettings, SettingsModel
from trading.stores.desk_store import VersionedDesk

READS_MAX = 5  # people do not change settings five times while they are read once


def settings_version() -> int:
    """The version of the settings; 0 before there are any. Raises django.db.DatabaseError."""
    return DeskSettings.objects.values_list("version", flat=True).first() or 0


def is_empty() -> bool:
    """Whether the database has no settings at all."""
    return not any(model._default_manager.exists() for _, model in KINDS)


def current_desk() -> VersionedDesk:
    """The desk in the database, all of it of one version: what changes while it is read is read again.

    Raises ConfigurationError for rows that were changed by other means than ours; django.db.DatabaseError.
    """
    for _ in range(READS_MAX):
        before = DeskSettings.objects.first() or DeskSettings()
        tables = _tables(())
        if settings_version() == before.version:
            return VersionedDesk(before.version, _desk(tables, before.seed))
    raise ConfigurationError(f"the settings changed {READS_MAX} times while they were read")


def desk_with(changed: Iterable[SettingsModel], seed: int | None = None) -> Desk:
    """The whole desk as it would be with these rows, saved or not.

    Raises ConfigurationError that names whose setting it is, the field and the value.
    """
    if seed is None:
        seed = DeskSettings.objects.values_list("seed", flat=True).first() or 1
    return _desk(_tables(changed), seed)


def _tables(changed: Iterable[SettingsModel]) -> dict[str, Any]:
    instead = {(type(row), row.key_now()): row for row in changed}
    tables: dict[str, Any] = {}
    for name, model in KINDS:
        stored = list(model._default_manager.all())
        rows = [instead.pop((model, row.key_now()), row) for row in stored]
        rows += [row for (kind, _), row in instead.items() if kind is model]
        tables[name] = [values_of_row(model.struct, row) for row in rows]
    return tables


def _desk(tables: Mapping[str, Any], seed: int) -> Desk:
    try:
        return desk_of({**tables, "seed": seed})
    except msgspec.ValidationError as error:
        raise ConfigurationError(str(error)) from None
