"""Fields of CSV rows: text in, exact text or integers out. Whatever is wrong names its column."""

from __future__ import annotations

import re
from decimal import Decimal

from trading.market.errors import CaptureError

PLAIN = re.compile(r"^-?\d+(\.\d+)?$")
NUMBER = re.compile(r"^-?\d+(\.\d+)?([eE][-+]?\d{1,3})?$")
PRICE_DECIMALS = 12  # the most that a price may have (ruling 1)
MICROSECONDS_FROM = 10**14  # a larger instant is in microseconds already: Binance's spot files since 2025
SHOWN_CHARACTERS = 40


class FieldError(CaptureError):
    """A field cannot be what its column promises."""


def wrong(column: str, text: str, promise: str) -> FieldError:
    """The error of a field, to be raised."""
    return FieldError(f"column {column}: {text[:SHOWN_CHARACTERS]!r} is not {promise}")


def number(text: str, column: str) -> str:
    """A number, with the file's own digits; one that is written with an exponent is written out, exactly."""
    if PLAIN.match(text):
        return text
    if not NUMBER.match(text):
        raise wrong(column, text, "a number")
    return f"{Decimal(text):f}"


def quantity(text: str, column: str, contract_size: Decimal) -> str:
    """A quantity in base asset, not negative. `contract_size` is the base asset in one unit of the file."""
    exact = number(text, column)
    if exact.startswith("-"):
        raise wrong(column, text, "a quantity of zero or more")
    return exact if contract_size == 1 else f"{Decimal(exact) * contract_size:f}"


def price(text: str, column: str) -> str:
    """A price above zero."""
    exact = number(text, column)
    if Decimal(exact) <= 0:
        raise wrong(column, text, "a price above zero")
    return exact


def level_price(text: str, column: str) -> str:
    """A price with PRICE_DECIMALS decimals: the prices of a book are keyed by their text, so all have as many."""
    exact = price(text, column)
    whole, _, decimals = exact.partition(".")
    if len(decimals) > PRICE_DECIMALS:
        raise wrong(column, text, f"a price of at most {PRICE_DECIMALS} decimals")
    return f"{whole}.{decimals:0<{PRICE_DECIMALS}}"


def integer(text: str, column: str) -> int:
    """A whole number of zero or more."""
    if not (text.isascii() and text.isdigit()):
        raise wrong(column, text, "a whole number")
    return int(text)


def instant_us(text: str, column: str) -> int:
    """An instant above zero that the file has in microseconds, or in milliseconds, which its size tells."""
    stamp = integer(text, column)
    if not stamp:
        raise wrong(column, text, "an instant")
    return stamp if stamp >= MICROSECONDS_FROM else stamp * 1_000


def truth(text: str, column: str) -> bool:
    """True or false, in any case."""
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise wrong(column, text, "true or false")
    return lowered == "true"
