"""A desk as the text of a settings file (TOML): what `trading.config.load_desk` reads back as the same desk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from results.domain.units import plain, text_of
from trading.domain.settings import settings_of
from trading.domain.strategy import Desk


def toml_of(desk: Desk) -> str:
    """The whole desk; a setting that is unset is left out, every other one is written, defaults too."""
    lines = [f"seed = {desk.seed}"]
    for name in ("venues", "instruments", "strategies"):
        for settings in getattr(desk, name):
            lines += ["", f"[[{name}]]", *_lines(settings)]
    return "\n".join(lines) + "\n"


def _lines(settings: msgspec.Struct) -> Iterator[str]:
    for setting in settings_of(type(settings)):
        value = getattr(settings, setting.name)
        if setting.kind == "list":
            yield f"{setting.name} = ["
            yield from (f"    {_inline(item)}," for item in msgspec.to_builtins(value))
            yield "]"
        elif value is not None:
            yield f"{setting.name} = {_scalar(value)}"


def _inline(item: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{name} = {_scalar(value)}" for name, value in item.items()) + " }"


def _scalar(value: Any) -> str:
    """A value as TOML writes it; a JSON string is a TOML string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return text_of(plain(value))
    return str(value) if isinstance(value, int) else json.dumps(str(value))
