"""docs/settings.md, written from the declarations beside the fields; a test compares the file with this text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from trading.domain.instruments import Instrument, Venue
from trading.domain.settings import Setting, settings_of
from trading.domain.strategy import Strategy

HEAD = """# Settings

Written by `python manage.py settings_guide`; the definitions stand beside the fields in `trading/domain/strategy.py`
and `trading/domain/instruments.py`. A settings file (TOML) has `seed` (an integer, 1 by default: the same seed, data
and settings give the same trades) and the tables below. A strategy with `copy_of = "PREFIX"` has every field of that
earlier strategy that it does not state itself, so that any number of portfolios compare policies on the same signals.
Numbers are exact, with at most 12 decimals. A value that is not allowed is refused with an error that names whose it
is, the field and the value.
"""
SECTIONS: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "strategies": ("`[[strategies]]`: one portfolio each", Strategy),
    "venues": ("`[[venues]]`", Venue),
    "instruments": ("`[[instruments]]`", Instrument),
}


def guide() -> str:
    """The whole page, Markdown."""
    return "\n".join([HEAD, *(section(title, kind) for title, kind in SECTIONS.values())])


def as_json() -> dict[str, Any]:
    """The same as objects, by table; decimals are text."""
    found = {name: settings_of(kind) for name, (_, kind) in SECTIONS.items()}
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told


def section(title: str, kind: type[msgspec.Struct]) -> str:
    """One table of settings."""
    lines = [f"## {title}", "", "| setting | meaning | unit | allowed | default |", "|---|---|---|---|---|"]
    lines += [row(setting) for setting in settings_of(kind)]
    return "\n".join([*lines, ""])


def row(setting: Setting) -> str:
    """A setting's line."""
    allowed = setting.range_text or {"yes_no": "true, false", "list": "one or more"}.get(setting.kind, "text")
    default = "required" if setting.required else default_text(setting.default)
    return f"| `{setting.name}` | {setting.meaning} | {setting.unit} | {allowed} | {default} |"


def default_text(value: Any) -> str:
    """A default as TOML writes it."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
