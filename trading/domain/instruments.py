"""Venues and instruments: what the exchange declares, checked when it is loaded (ruling 4).

Fees are fractions of the notional (0.0005 = 5 bps), latencies microseconds, prices and steps in quote and base.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.domain.errors import ConfigurationError
from trading.domain.units import ZERO

CONTRACT_TYPES = ("spot", "linear_perpetual")
STEP_DECIMALS_MAX = 12


class Venue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An exchange: its fees, latencies and queue-fill threshold."""

    name: str
    maker_fee_rate: Decimal
    taker_fee_rate: Decimal
    order_latency_us: int = 20_000
    response_latency_us: int = 20_000
    fill_threshold_fraction: Decimal = Decimal("0.20")
    book_age_us_max: int = 5_000_000

    def __post_init__(self) -> None:
        where = f"venue {self.name}"
        for field in ("maker_fee_rate", "taker_fee_rate"):
            rate = getattr(self, field)
            if not Decimal("-0.01") <= rate <= Decimal("0.05"):
                raise ConfigurationError(f"{where}: {field} is {rate}, allowed is -0.01 to 0.05")
        for field in ("order_latency_us", "response_latency_us"):
            if not 0 <= getattr(self, field) <= 60_000_000:
                raise ConfigurationError(f"{where}: {field} is {getattr(self, field)}, allowed is 0 to 60000000")
        if not ZERO < self.fill_threshold_fraction <= 10:
            raise ConfigurationError(
                f"{where}: fill_threshold_fraction is {self.fill_threshold_fraction}, allowed is above 0 to 10"
            )
        if self.book_age_us_max <= 0:
            raise ConfigurationError(f"{where}: book_age_us_max is {self.book_age_us_max}, must be positive")


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One symbol on one venue. `shortable` is false for spot unless a person says otherwise."""

    venue: str
    symbol: str
    base_asset: str
    quote_asset: str
    contract_type: str
    tick_size: Decimal
    lot_step: Decimal
    funding_interval_hours: int = 8
    shortable: bool | None = None
    inverse: bool = False

    def __post_init__(self) -> None:
        where = f"instrument {self.id}"
        if self.contract_type not in CONTRACT_TYPES:
            raise ConfigurationError(f"{where}: contract_type {self.contract_type!r} is none of {CONTRACT_TYPES}")
        if self.inverse:
            raise ConfigurationError(f"{where}: inverse contracts are not supported")
        for field in ("tick_size", "lot_step"):
            if getattr(self, field) <= 0:
                raise ConfigurationError(f"{where}: {field} is {getattr(self, field)}, must be positive")
        decimals = -(self.tick_size * self.lot_step).normalize().as_tuple().exponent  # type: ignore[operator]
        if decimals > STEP_DECIMALS_MAX:
            raise ConfigurationError(
                f"{where}: tick_size {self.tick_size} x lot_step {self.lot_step} has {decimals} decimals, "
                f"at most {STEP_DECIMALS_MAX} are supported"
            )

    @property
    def id(self) -> str:
        """`venue:symbol`, e.g. "binance:BTCUSDT"."""
        return f"{self.venue}:{self.symbol}"

    @property
    def can_be_shorted(self) -> bool:
        """Whether a strategy may sell it without owning it. Ruling 4: spot only if a person says so."""
        return self.contract_type != "spot" if self.shortable is None else self.shortable
