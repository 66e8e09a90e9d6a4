"""Tolerances: how far an order may be off before it is a break, by venue and symbol. Source: ruling 25."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from results.domain.errors import PaperDeskError
from results.domain.latency import LatencyLimits
from results.domain.units import ZERO

ANY = "*"
NAME_CHARACTERS_MAX = 64


class Tolerance(msgspec.Struct, frozen=True):
    """What is allowed on one instrument. `residual_usd` comes on top of the declared rounding of averages; missing and
    duplicate results are counted for each trade and venue."""

    slippage_bps: Decimal = Decimal(1)
    quantity: Decimal = ZERO
    residual_usd: Decimal = ZERO
    latency: LatencyLimits = LatencyLimits()
    missing_results: int = 0
    duplicate_results: int = 0


class Tolerances(msgspec.Struct, frozen=True):
    """The default tolerance, and those by (venue, symbol), where "*" stands for any."""

    default: Tolerance = Tolerance()
    overrides: Mapping[tuple[str, str], Tolerance] = {}

    def of(self, venue: str, symbol: str) -> Tolerance:
        """The tolerance of an instrument: its own, else its venue's, else its symbol's, else the default."""
        return self.overrides.get(self.key_of(venue, symbol), self.default)

    def key_of(self, venue: str, symbol: str) -> tuple[str, str]:
        """Venue and symbol of the tolerance that counts for an instrument."""
        keys = ((venue, symbol), (venue, ANY), (ANY, symbol))
        return next((key for key in keys if key in self.overrides), (ANY, ANY))


class ToleranceRefused(PaperDeskError):
    """A tolerance that cannot be; `field` is the form's."""

    def __init__(self, sentence: str, field: str) -> None:
        super().__init__(sentence)
        self.field = field


def refuse_wrong(venue: str, symbol: str, tolerance: Tolerance) -> None:
    """Raises ToleranceRefused for a name that is none, and for a figure below zero."""
    for field, name in (("venue", venue), ("symbol", symbol)):
        if not name or len(name) > NAME_CHARACTERS_MAX or name != name.strip() or ":" in name:
            raise ToleranceRefused(
                f"{field} {name!r}: 1 to {NAME_CHARACTERS_MAX} characters without a colon or blanks around it, "
                f"or {ANY} for any",
                field,
            )
    figures: dict[str, Decimal | int] = {
        "slippage_bps": tolerance.slippage_bps,
        "quantity": tolerance.quantity,
        "residual_usd": tolerance.residual_usd,
        "execution_ms": tolerance.latency.execution_ms,
        "broker_ms": tolerance.latency.broker_ms,
        "network_ms": tolerance.latency.network_ms,
        "missing_results": tolerance.missing_results,
        "duplicate_results": tolerance.duplicate_results,
    }
    for field, figure in figures.items():
        if figure < 0:
            raise ToleranceRefused(f"{field} is {figure}: a tolerance is 0 or more", field)
