"""Figures of the trade page: rounded for the eye, exact on hover, a sign and a colour for gains and losses.

The forms are those of `static/js/format.js`. A value that is None is shown as "–".
"""

from __future__ import annotations

import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from results.domain.break_words import short
from results.domain.units import plain, text_of

register = template.Library()

NONE = mark_safe('<span class="unknown">–</span>')
MINUS = "\u2212"
CENT = Decimal("0.01")


def exact(value: Decimal) -> str:
    """All digits that the number has, without exponent and trailing zeros."""
    return text_of(plain(value))


def _figure(value: Decimal, text: str, tone: str = "") -> SafeString:
    return format_html('<data class="{}" value="{}" title="{}">{}</data>', tone, exact(value), exact(value), text)


def _tone(value: Decimal) -> str:
    return "gain" if value > 0 else "loss" if value < 0 else ""


def _rounded(value: Decimal, quantum: Decimal = CENT) -> Decimal:
    return value.quantize(quantum, rounding=ROUND_HALF_EVEN)


def _grouped(value: Decimal) -> str:
    return f"{abs(value):,f}"


def _signed(value: Decimal) -> str:
    sign = MINUS if value < 0 else "+" if value > 0 else ""
    return sign + _grouped(value)


@register.filter
def usd(value: Decimal | None) -> str:
    """An amount in USD, two decimals, without judging its sign."""
    if value is None:
        return NONE
    shown = _rounded(value)
    return _figure(value, (MINUS if shown < 0 else "") + _grouped(shown))


@register.filter
def usd_signed(value: Decimal | None) -> str:
    """A gain or loss in USD, four decimals: the terms of one trade are small."""
    if value is None:
        return NONE
    shown = _rounded(value, Decimal("0.0001"))
    return _figure(value, _signed(shown), _tone(shown))


@register.filter
def usd_cost(value: Decimal | None) -> str:
    """A cost that is stored as a positive number (fees, hedge loss): shown as stored, coloured as what it is."""
    if value is None:
        return NONE
    shown = _rounded(value, Decimal("0.0001"))
    return _figure(value, (MINUS if shown < 0 else "") + _grouped(shown), _tone(-shown))


@register.filter
def bps(value: Decimal | None) -> str:
    """Basis points with their sign, two decimals."""
    return NONE if value is None else _figure(value, _signed(_rounded(value)))


@register.filter
def rate(value: Decimal | None) -> str:
    """A ratio shown in percent, four decimals, with its sign."""
    return NONE if value is None else _figure(value, _signed(_rounded(value * 100, Decimal("0.0001"))))


@register.filter
def digits(value: Decimal | None) -> str:
    """A price or quantity with every digit that it has."""
    if value is None:
        return NONE
    return _figure(value, (MINUS if value < 0 else "") + _grouped(plain(value)))


@register.filter
def about(value: Decimal | None) -> str:
    """A number with one decimal, a small one with two digits; every digit on hover."""
    if value is None:
        return NONE
    shown = Decimal(short(value))
    return _figure(value, (MINUS if shown < 0 else "") + _grouped(shown))


@register.filter
def instant(value: datetime.datetime | None) -> str:
    """A time in UTC to the millisecond, exact to the microsecond on hover."""
    if value is None:
        return NONE
    milliseconds = value.microsecond // 1000
    return _moment(value, f"%Y-%m-%d %H:%M:%S.{milliseconds:03d}")


def _moment(value: datetime.datetime, form: str) -> SafeString:
    moment = value.astimezone(datetime.UTC)
    exact_text = moment.strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact_text, moment.strftime(form)
    )


@register.filter
def clock(value: datetime.datetime | None) -> str:
    """The time of day in UTC, to the millisecond (a leg-out takes 500 of them); the day is on hover."""
    return NONE if value is None else _moment(value, f"%H:%M:%S.{value.microsecond // 1000:03d}")


@register.filter
def minute(value: datetime.datetime | None) -> str:
    """Day and time in UTC, to the minute: funding is settled on the minute."""
    return NONE if value is None else _moment(value, "%Y-%m-%d %H:%M")


@register.filter
def seconds(value: float | None) -> str:
    """A duration in seconds, in the units that suit it."""
    if value is None:
        return NONE
    if value < 60:
        return f"{value:.3f} s"
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


@register.filter
def milliseconds(value: float | None) -> str:
    """A short duration in milliseconds, to the microsecond where it has any."""
    return NONE if value is None else f"{value:,.3f}".rstrip("0").rstrip(".") + " ms"


@register.filter
def percent(value: Decimal | None) -> str:
    """A ratio shown in percent, one decimal, without a sign."""
    return NONE if value is None else _figure(value, _grouped(_rounded(value * 100, Decimal("0.1"))))


@register.filter
def words(value: object) -> str:
    """A word of the code in plain letters: profit_target -> profit target."""
    return NONE if value in (None, "") else str(value).replace("_", " ")
