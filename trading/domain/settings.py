"""What a setting is: meaning, unit, range and default, declared once beside its field and read from there.

    entry_threshold_bps: Annotated[Decimal, declared("The spread at which ...", "basis points", -1_000, 10_000)] = D(8)

Forms, the API, the checks below and docs/settings.md all derive from `settings_of(Strategy)` (and of Venue,
Instrument). Every refusal is a ConfigurationError that names whose setting it is, the field and the value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from trading.domain.errors import ConfigurationError

DECIMALS_MAX = 12  # ruling 1

Kind = Literal["text", "integer", "decimal", "choice", "yes_no", "list"]
KINDS: dict[Any, Kind] = {str: "text", int: "integer", Decimal: "decimal", bool: "yes_no"}
Number = Decimal | int
Settings = TypeVar("Settings", bound=msgspec.Struct)

_WHERE = re.compile(r" - at `\$\.?(?P<field>[^.\[`]*)[^`]*`")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")


class Setting(msgspec.Struct, frozen=True):
    """One setting. `low` and `high` belong to the range; `unit` is empty for what has none. `default` is None where
    `required`, and where leaving it out is a choice of its own (`optional`)."""

    name: str
    kind: Kind
    meaning: str
    unit: str
    required: bool
    optional: bool
    default: Any
    low: Number | None
    high: Number | None
    choices: tuple[str, ...]

    @property
    def range_text(self) -> str:
        """The values that are allowed, as words; empty where anything of its kind is."""
        if self.choices:
            return ", ".join(self.choices)
        return "" if self.low is None or self.high is None else f"{_plain(self.low)} to {_plain(self.high)}"


def _plain(number: Number) -> str:
    return f"{number:f}" if isinstance(number, Decimal) else str(number)


def declared(meaning: str, unit: str = "", low: Number | None = None, high: Number | None = None) -> msgspec.Meta:
    """The declaration of a setting, for `Annotated`. A range has both ends, or none."""
    return msgspec.Meta(description=meaning, extra={"unit": unit, "low": low, "high": high})


@functools.cache
def settings_of(kind: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """The settings that a struct declares, in its order. Raises TypeError for a field without a declaration."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_setting(field, hints[field.name]) for field in msgspec.structs.fields(kind))


def _setting(field: msgspec.structs.FieldInfo, hint: Any) -> Setting:
    metas = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, msgspec.Meta)]
    if get_origin(hint) is not Annotated or not metas:
        raise TypeError(f"{field.name} is not declared as a setting")
    plain, optional = _without_none(get_args(hint)[0])
    extra = metas[0].extra or {}
    return Setting(
        name=field.name,
        kind="choice" if get_origin(plain) is Literal else KINDS.get(plain, "list"),
        meaning=metas[0].description or "",
        unit=extra["unit"],
        required=field.required,
        optional=optional,
        default=None if field.required else field.default,
        low=extra["low"],
        high=extra["high"],
        choices=get_args(plain) if get_origin(plain) is Literal else (),
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    (plain,) = (each for each in get_args(hint) if each is not type(None))
    return plain, True


def require_in_range(values: msgspec.Struct, whose: str) -> None:
    """Raises ConfigurationError for the first setting outside its range; `whose` begins the sentence."""
    for setting in settings_of(type(values)):
        value = getattr(values, setting.name)
        if value is None or setting.kind not in ("integer", "decimal"):
            continue
        if isinstance(value, Decimal):
            _require_exact(whose, setting.name, value)
        if setting.low is not None and setting.high is not None and not setting.low <= value <= setting.high:
            refuse(whose, setting.name, value, f"allowed is {setting.range_text}")


def _require_exact(whose: str, name: str, value: Decimal) -> None:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        refuse(whose, name, value, "nan and infinite are no numbers here")
    elif -exponent > DECIMALS_MAX and -int(value.normalize().as_tuple().exponent) > DECIMALS_MAX:
        refuse(whose, name, value, f"at most {DECIMALS_MAX} decimals are kept")


def refuse(whose: str, field: str, value: object, reason: str) -> NoReturn:
    """Raises the ConfigurationError of a value that a setting cannot have."""
    raise ConfigurationError(f"{whose}: {field} is {value}, {reason}", field=field)


def read_as(kind: type[Settings], fields: Mapping[str, Any], whose: str) -> Settings:
    """The settings in plain values (of a form, a request, a file): numbers may be text.

    Raises ConfigurationError, with the `field`, for what is unknown, missing, of another kind or out of range.
    """
    try:
        return msgspec.convert(dict(fields), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _named(str(error), fields, whose) from None


def _named(problem: str, fields: Mapping[str, Any], whose: str) -> ConfigurationError:
    where = _WHERE.search(problem)
    reason = problem[: where.start()] if where else problem
    field = where["field"] if where else ""
    if not field and (unknown := _UNKNOWN.search(reason)):
        field, reason = unknown["field"], "no such setting"
    elif not field and (missing := _MISSING.search(reason)):
        return ConfigurationError(f"{whose}: {missing['field']} is missing", field=missing["field"])
    value = fields.get(field)
    shown = f" is {value}" if isinstance(value, (str, int, float, Decimal)) else ""
    return ConfigurationError(f"{whose}: {field}{shown}: {reason}", field=field)
