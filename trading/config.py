"""Settings of a desk: a TOML file -> `trading.domain.strategy.Desk`, checked as a whole before anything starts.

The file has `seed` and the tables `[[venues]]`, `[[instruments]]` and `[[strategies]]`, with the fields of Venue,
Instrument and Strategy. Numbers are exact: a TOML float becomes the Decimal that is written. One shorthand: a
strategy with `copy_of = "PREFIX"` has every field of that earlier strategy that it does not state itself, so that
two policies are compared on the same signals.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from trading.domain.errors import ConfigurationError
from trading.domain.instruments import Instrument, Venue
from trading.domain.settings import read_as
from trading.domain.strategy import Desk, Strategy

Defaults = Literal["synthetic", "replay", "live"]

FOLDER = Path(__file__).parent / "defaults"
DEFAULTS: dict[Defaults, Path] = {
    "synthetic": FOLDER / "synthetic.toml",
    "replay": FOLDER / "binance.toml",
    "live": FOLDER / "live.toml",
}
_TABLES: dict[str, tuple[type[msgspec.Struct], Callable[[Mapping[str, Any]], str]]] = {
    "venues": (Venue, lambda row: f"venue {row.get('name', '?')}"),
    "instruments": (Instrument, lambda row: f"instrument {row.get('venue', '?')}:{row.get('symbol', '?')}"),
    "strategies": (Strategy, lambda row: f"strategy {row.get('prefix', '?')}"),
}
_WHERE = re.compile(r" - at `\$(?P<path>[^`]*)`")
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`")
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]")


def load_desk(path: Path | str | None = None, defaults: Defaults = "synthetic") -> Desk:
    """The desk of a settings file, or of the shipped one that suits a kind of feed.

    Raises ConfigurationError with the file, the field and the value for anything that is unknown or not allowed.
    """
    file = Path(path) if path is not None else DEFAULTS[defaults]
    settings: dict[str, Any] = {}
    try:
        settings = _with_copies(tomllib.loads(file.read_text(encoding="utf-8"), parse_float=_exact))
        return desk_of(settings)
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: not a text file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{file}: {_sentence(str(error), settings)}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}", error.field) from None


def desk_of(settings: Mapping[str, Any]) -> Desk:
    """The desk of plain settings: the tables of a file, or rows of a database.

    Raises ConfigurationError naming the venue, instrument or strategy, the field and the value; msgspec's
    ValidationError where it is not a table of settings at all.
    """
    tables = {name: _table(settings.get(name), kind, whose) for name, (kind, whose) in _TABLES.items()}
    return msgspec.convert({**settings, **tables}, Desk, strict=False)


def _table(rows: object, kind: type[msgspec.Struct], whose: Callable[[Mapping[str, Any]], str]) -> object:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return rows
    return tuple(read_as(kind, row, whose(row)) for row in rows)


def _exact(number: str) -> Decimal:
    value = Decimal(number)
    if not value.is_finite():
        raise ConfigurationError(f"{number} is no number that a setting can have")
    return value


def _with_copies(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings in which each `copy_of` is replaced by the fields of the strategy that it names."""
    strategies = settings.get("strategies")
    if not isinstance(strategies, list) or not all(isinstance(strategy, dict) for strategy in strategies):
        return settings
    whole: list[dict[str, Any]] = []
    for strategy in strategies:
        own = dict(strategy)
        original = own.pop("copy_of", None)
        if original is not None:
            own = {**_strategy(whole, original), **own}
        whole.append(own)
    return settings | {"strategies": whole}


def _strategy(strategies: list[dict[str, Any]], prefix: object) -> dict[str, Any]:
    for strategy in strategies:
        if strategy.get("prefix") == prefix:
            return strategy
    known = ", ".join(str(strategy.get("prefix")) for strategy in strategies) or "none"
    raise ConfigurationError(f"copy_of is {prefix!r}: no strategy above it has this prefix (known: {known})")


def _sentence(problem: str, settings: dict[str, Any]) -> str:
    """msgspec's words with our way to name a field ("venues[0].order_latency_us"), and its value."""
    match = _WHERE.search(problem)
    reason = problem[: match.start()] if match else problem
    steps = match["path"] if match else ""
    if unknown := _UNKNOWN.search(reason):
        steps, reason = f"{steps}.{unknown['key']}", "no such setting"
    value: Any = settings
    for step in _STEP.finditer(steps):
        try:
            value = value[step["key"] if step["key"] else int(step["index"])]
        except (KeyError, IndexError, TypeError):
            return f"{steps.lstrip('.')}: {reason}"
    shown = f" is {value}" if isinstance(value, (str, int, float, Decimal)) else ""
    return f"{steps.lstrip('.') or 'top level'}{shown}: {reason}"
