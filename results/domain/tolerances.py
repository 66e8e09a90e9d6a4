"""Tolerances: how far an order may be off before it is a break, by venue and symbol. Source: ruling 25."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from results.domain.latency import LatencyLimits
from results.domain.units import ZERO

ANY = "*"


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
        for key in ((venue, symbol), (venue, ANY), (ANY, symbol)):
            if key in self.overrides:
                return self.overrides[key]
        return self.default
