"""The form of a settings row, made from what the domain declares of each setting: help, choices, range, errors.

A form that is valid builds a desk that is valid as a whole, so a refusal stands beside its field with the sentence
that a command would print.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import models
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from paperdesk.born_admin import ExactNumber, whole_number
from trading.domain.errors import ConfigurationError
from trading.domain.settings import Setting, settings_of
from trading.settings_desk import desk_with
from trading.settings_guide import default_text
from trading.settings_models import Instrument, SettingsModel, Venue, beside_field
from trading.settings_service import refuse_fixed

PAIR_ROWS_MAX = 16
ENDINGS = {"_bps": " (bps)", "_usd": " (USD)", "_us": " (µs)", "_us_max": " at most (µs)", "_ms": " (ms)"}
ENDINGS |= {"_seconds": " (s)", "_hours": " (h)", "_fraction": "", "_rate": ""}
UNSET = (("unknown", "as the contract type has it"), ("true", "yes"), ("false", "no"))


class SettingsForm(forms.ModelForm):
    """A row of settings. Errors of the whole desk stand beside the field that they name."""

    instance: SettingsModel

    def _post_clean(self) -> None:
        super()._post_clean()
        if self.errors:
            return
        row = self.instance
        stored = type(row)._default_manager.filter(pk=row.key_now()).first()
        try:
            if stored is not None and row._state.adding:
                raise ConfigurationError(f"{row._meta.verbose_name} {row.key_now()} exists already")
            if stored is not None:
                refuse_fixed(stored, row)
            desk_with([row])
        except ConfigurationError as error:
            field = error.field if error.field in self.fields else None
            self.add_error(field, beside_field(row, error) if field is None else str(error))


def setting_of(model: type[models.Model], name: str) -> Setting | None:
    """What the domain declares of a column; None for a column of our own."""
    struct = getattr(model, "struct", None)
    return next((each for each in settings_of(struct) if each.name == name), None) if struct else None


def form_field(model: type[models.Model], setting: Setting) -> forms.Field:
    """The form's field of a setting."""
    options: dict[str, Any] = {
        "label": label_of(setting.name),
        "help_text": help_of(setting),
        "required": setting.kind != "yes_no" and not setting.optional,
    }
    if not setting.required and not setting.optional:
        options["initial"] = setting.default
    if model is Instrument and setting.name == "venue":
        options["choices"] = lambda: [(name, name) for name in Venue.objects.values_list("name", flat=True)]
        return forms.ChoiceField(**options)
    match setting.kind:
        case "choice":
            return forms.ChoiceField(choices=[(each, each.replace("_", " ")) for each in setting.choices], **options)
        case "decimal":
            return ExactNumber(**options)
        case "integer":
            return whole_number(**options)
        case "yes_no" if setting.optional:
            return forms.NullBooleanField(widget=forms.NullBooleanSelect(), **options)
        case "yes_no":
            return forms.BooleanField(**options)
        case "list":
            return forms.CharField(widget=forms.Textarea(attrs={"rows": PAIR_ROWS_MAX, "cols": 60}), **options)
    return forms.CharField(max_length=64, **options)


def label_of(name: str) -> str:
    """`entry_threshold_bps` as "Entry threshold (bps)"."""
    for ending, unit in sorted(ENDINGS.items(), key=lambda item: -len(item[0])):
        if name.endswith(ending) and name not in ("max",):
            name = name.removesuffix(ending) + unit
            break
    words = name.replace("_", " ")
    return words[0].upper() + words[1:]


def help_of(setting: Setting) -> SafeString:
    """Meaning; then unit, range and default on a line of their own."""
    meaning = _code(setting.meaning)
    if setting.kind == "list":
        meaning = mark_safe(meaning + " One pair a line: <code>venue:symbol &gt; venue:symbol</code>.")
    facts = [setting.unit]
    if setting.range_text and not setting.choices:
        facts.append(f"{_grouped(setting.low)} to {_grouped(setting.high)}")
    if not setting.required and setting.kind != "yes_no":
        facts.append(f"default {default_text(setting.default)}")
    line = " · ".join(fact for fact in facts if fact)
    return format_html('{}<span class="facts">{}</span>', meaning, line) if line else meaning


def _grouped(number: Any) -> str:
    return f"{number:,f}" if hasattr(number, "as_tuple") else f"{number:,}"


def _code(text: str) -> SafeString:
    """The text with what stands between backticks as code."""
    parts = escape(text).split("`")
    return mark_safe("".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts)))
