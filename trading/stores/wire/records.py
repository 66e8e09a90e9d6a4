"""JSON with exact decimals, and rewriting that leaves alone what it does not change.

A decimal is a plain JSON number with the digits it has (42500.50 stays 42500.50, no exponent). A record that another
program wrote may hold binary floats with more than 12 places; the value read is rounded half-even to 12, the raw text
stays in the record until the value changes. Source: ruling 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec import UnsetType

from trading.domain.units import MICROSECONDS, round12, text_of
from trading.stores.errors import WireError

PLACES = 12
INTEGER_DIGITS_MAX = 26  # DECIMAL(38, 12)
LIMIT = Decimal(10) ** INTEGER_DIGITS_MAX
VALUE_SHOWN_MAX = 80
IDENTITIES = ("id", "trade_id")  # by which elements of a list are recognised
_PATH = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class Document(msgspec.Struct):
    """A JSON object of the documents. Unknown fields are ignored here and kept by `encode(..., over=raw)`."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is Decimal:
                setattr(self, name, on_wire(value, name))


DocumentType = TypeVar("DocumentType", bound=Document)


def on_wire(value: Decimal, name: str) -> Decimal:
    """The number with its own digits, or rounded half-even if it has more than 12 places.

    Raises ValueError, with name and value, for one that is not finite or does not fit DECIMAL(38, 12).
    """
    if not value.is_finite() or abs(value) >= LIMIT:
        raise ValueError(f"{name} is {value:.6g}, not a number of at most {INTEGER_DIGITS_MAX} digits")
    places = -value.as_tuple().exponent  # type: ignore[operator]
    return round12(value) if places > PLACES else value


Given = TypeVar("Given")


def given(value: Given | UnsetType, default: Given) -> Given:
    """The value, or the default where a record of another program does not have it."""
    return default if isinstance(value, UnsetType) else value


def instant_us(seconds: int, sibling: object) -> int:
    """A documented time in microseconds: of its `_us` sibling, at second resolution if there is none.

    The seconds win where the two disagree: a program that knows only the documents changed them. Source: ruling 2.
    """
    if type(sibling) is int and sibling // MICROSECONDS == seconds:
        return sibling
    return seconds * MICROSECONDS


def optional_instant_us(seconds: int | None, sibling: object) -> int | None:
    """`instant_us`, or None for no time."""
    return None if seconds is None else instant_us(seconds, sibling)


def seconds_of(time_us: int) -> int:
    """The whole Unix seconds of a time."""
    return time_us // MICROSECONDS


def optional_seconds_of(time_us: int | None) -> int | None:
    """`seconds_of`, or None for no time."""
    return None if time_us is None else seconds_of(time_us)


def decode(document: type[DocumentType], raw: bytes, key: str) -> DocumentType:
    """The document in a record. Raises WireError naming the key, the field and its value."""
    try:
        return msgspec.json.decode(raw, type=document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"{key}: {error}{_value_at(raw, str(error))}") from None


def encode(document: Document, over: bytes | None = None) -> bytes:
    """The record of a document; `over` is the record that it replaces, whose other contents stay if it is JSON."""
    fields = msgspec.to_builtins(document, builtin_types=(Decimal,))
    return msgspec.json.encode(_overlaid(fields, over))


def _value_at(raw: bytes, sentence: str) -> str:
    found = _PATH.search(sentence)
    if not found:
        return ""
    for name, index in _STEP.findall(found[1]):
        try:
            raw = bytes(_fields(raw)[name] if name else _elements(raw)[int(index)])
        except (KeyError, IndexError):
            return ""
    return f", which is {raw.decode(errors='replace')[:VALUE_SHOWN_MAX]}"


def _overlaid(value: Any, old: bytes | None) -> Any:
    """The value, ready to be encoded, with the raw bytes of `old` wherever both say the same."""
    if isinstance(value, dict):
        return _overlaid_object(value, _fields(old))
    if isinstance(value, list):
        return _overlaid_list(value, old)
    if old is not None and _says(old, value):
        return msgspec.Raw(old)
    return msgspec.Raw(text_of(value).encode()) if isinstance(value, Decimal) else value


def _overlaid_object(value: Mapping[str, Any], old: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    merged: dict[str, Any] = dict(old)
    for name, new in value.items():
        merged[name] = _overlaid(new, bytes(old[name]) if name in old else None)
    return merged


def _overlaid_list(value: list[Any], old: bytes | None) -> list[Any]:
    if not value or not isinstance(value[0], dict):
        return [_overlaid(element, None) for element in value]
    known = {_identity(_fields(bytes(element))): bytes(element) for element in reversed(_elements(old))}
    return [_overlaid(element, known.get(_identity(element))) for element in value]


def _identity(fields: Mapping[str, Any]) -> Any:
    found = next((fields[name] for name in IDENTITIES if name in fields), None)
    return msgspec.json.decode(found) if isinstance(found, msgspec.Raw) else found


def _fields(raw: bytes | None) -> dict[str, msgspec.Raw]:
    try:
        return {} if raw is None else msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return {}


def _elements(raw: bytes | None) -> list[msgspec.Raw]:
    try:
        return [] if raw is None else msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return []


def _says(raw: bytes, value: Any) -> bool:
    """Whether a raw scalar reads as this value."""
    try:
        if isinstance(value, Decimal):
            return round12(msgspec.json.decode(raw, type=Decimal)) == value
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return False
    return type(found) is type(value) and found == value
