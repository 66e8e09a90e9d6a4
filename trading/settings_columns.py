"""A Django column for each field of a settings struct, so that the struct stays the only definition.

    decimal -> ExactDecimalField   integer -> BigIntegerField   yes_no -> BooleanField   text, choice -> CharField
    list (the pairs of a strategy) -> text, a line "venue:symbol > venue:symbol" for each: buy the first, sell the other

What a field means, its unit, range and choices are not in the column but in the form (`trading.settings_forms`), so
that other words for the same setting need no migration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from django.db import models

from paperdesk.mirror import ExactDecimalField
from trading.domain.errors import ConfigurationError
from trading.domain.settings import Setting, settings_of

TEXT_LENGTH_MAX = 64
BETWEEN_LEGS = ">"

Struct = type[msgspec.Struct]


def settings_columns(struct: Struct, **own: models.Field[Any, Any]) -> type[models.Model]:
    """An abstract model with a column for each field of the struct; `own` are columns that are better than the
    derived ones, such as the key."""
    fields = {setting.name: own.get(setting.name) or _column(setting) for setting in settings_of(struct)}
    meta = type("Meta", (), {"abstract": True})
    body = {"__module__": __name__, "__doc__": struct.__doc__, "Meta": meta, **fields}
    return type(f"{struct.__name__}Columns", (models.Model,), body)


def values_of_row(struct: Struct, row: models.Model) -> dict[str, Any]:
    """The struct's fields as a row has them, as plain values for `trading.domain.settings.read_as`.

    Raises ConfigurationError for a line that is no pair.
    """
    return {setting.name: _value(setting, getattr(row, setting.name)) for setting in settings_of(struct)}


def columns_of_settings(settings: msgspec.Struct) -> dict[str, Any]:
    """The columns of a settings struct: the inverse of `values_of_row`."""
    return {each.name: _stored(each, getattr(settings, each.name)) for each in settings_of(type(settings))}


def pairs_of_text(text: str) -> list[dict[str, str]]:
    """The pairs of a text with a line "LONG > SHORT" for each. Raises ConfigurationError that names the line."""
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        legs = [leg.strip() for leg in line.split(BETWEEN_LEGS)]
        if legs == [""]:
            continue
        if len(legs) != 2 or not all(legs):
            sentence = f'pairs: line {number} is {line.strip()!r}, it must be "LONG {BETWEEN_LEGS} SHORT"'
            raise ConfigurationError(sentence, field="pairs")
        pairs.append({"long": legs[0], "short": legs[1]})
    return pairs


def text_of_pairs(pairs: Iterable[Mapping[str, str]]) -> str:
    """The inverse of `pairs_of_text`."""
    return "\n".join(f"{pair['long']} {BETWEEN_LEGS} {pair['short']}" for pair in pairs)


def _column(setting: Setting) -> models.Field[Any, Any]:
    options: dict[str, Any] = {"null": True, "blank": True} if setting.optional else {}
    if not setting.required and not setting.optional:
        options["default"] = setting.default
    match setting.kind:
        case "decimal":
            return ExactDecimalField(**options)
        case "yes_no":
            return models.BooleanField(**options)
        case "integer":
            return models.BigIntegerField(**options)
        case "text" | "choice":
            return models.CharField(max_length=TEXT_LENGTH_MAX, **options)
    return models.TextField(**options)


def _value(setting: Setting, stored: Any) -> Any:
    return pairs_of_text(stored) if setting.kind == "list" else stored


def _stored(setting: Setting, value: Any) -> Any:
    return text_of_pairs(msgspec.to_builtins(value)) if setting.kind == "list" else value
