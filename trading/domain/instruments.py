"""Venues and instruments: what the exchange declares, checked when it is loaded (ruling 4).

Fees are fractions of the notional (0.0005 = 5 bps), latencies microseconds, prices and steps in quote and base.
Meaning, unit, range and default of each field are declared beside it (`trading.domain.settings`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from trading.domain.errors import ConfigurationError
from trading.domain.settings import declared, refuse, require_in_range

STEP_DECIMALS_MAX = 12
LATENCY_US_MAX = 60_000_000
STEP_MAX = Decimal("1E9")
STEP_MIN = Decimal("1E-12")


class Venue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An exchange: its fees, latencies and queue-fill threshold."""

    name: Annotated[str, declared("The venue's name in instrument ids, such as `binance` in `binance:BTCUSDT`.")]
    maker_fee_rate: Annotated[
        Decimal,
        declared(
            "Fee of an order that rested; negative is a rebate.",
            "ratio of the notional",
            Decimal("-0.01"),
            Decimal("0.05"),
        ),
    ]
    taker_fee_rate: Annotated[
        Decimal,
        declared(
            "Fee of an order that took from the book; negative is a rebate.",
            "ratio of the notional",
            Decimal("-0.01"),
            Decimal("0.05"),
        ),
    ]
    order_latency_us: Annotated[
        int,
        declared(
            "How long an order or a cancel takes to the venue; the median if the 99th percentile is set.",
            "microseconds",
            0,
            LATENCY_US_MAX,
        ),
    ] = 20_000
    order_latency_p99_us: Annotated[
        int,
        declared(
            "99th percentile of the way to the venue, which is then drawn from a log-normal distribution, seeded, for "
            "each order alike in every replay. 0: always the same latency.",
            "microseconds",
            0,
            LATENCY_US_MAX,
        ),
    ] = 0
    response_latency_us: Annotated[
        int,
        declared(
            "How long the venue's answer takes back; the median if the 99th percentile is set.",
            "microseconds",
            0,
            LATENCY_US_MAX,
        ),
    ] = 20_000
    response_latency_p99_us: Annotated[
        int,
        declared(
            "99th percentile of the way back, drawn like that of the way there. 0: always the same latency.",
            "microseconds",
            0,
            LATENCY_US_MAX,
        ),
    ] = 0
    fill_threshold_fraction: Annotated[
        Decimal,
        declared(
            "The part of the depth at an order's price on its acceptance that must trade before its turn comes.",
            "ratio",
            Decimal("0.000001"),
            10,
        ),
    ] = Decimal("0.20")
    book_age_us_max: Annotated[
        int,
        declared("An older book is stale: it stops entries and makes marks unknown.", "microseconds", 1, 3_600_000_000),
    ] = 5_000_000

    def __post_init__(self) -> None:
        whose = f"venue {self.name}"
        require_in_range(self, whose)
        for way in ("order", "response"):
            median_us, p99_us = getattr(self, f"{way}_latency_us"), getattr(self, f"{way}_latency_p99_us")
            if p99_us and not 0 < median_us <= p99_us:
                refuse(
                    whose, f"{way}_latency_p99_us", p99_us, f"the median {way}_latency_us is {median_us}: allowed is 0 "
                    "< median <= 99th percentile"
                )  # fmt: skip


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One symbol on one venue. `shortable` is false for spot unless a person says otherwise."""

    venue: Annotated[str, declared("The name of its venue.")]
    symbol: Annotated[str, declared("Its symbol on that venue.")]
    base_asset: Annotated[str, declared("What is traded; both legs of a pair have the same.")]
    quote_asset: Annotated[str, declared("What it is paid in; both legs of a pair have the same.")]
    contract_type: Annotated[
        Literal["spot", "linear_perpetual"],
        declared("`spot`, or `linear_perpetual`: a perpetual that is margined and settled in the quote asset."),
    ]
    tick_size: Annotated[Decimal, declared("The smallest step of its price.", "quote asset", STEP_MIN, STEP_MAX)]
    lot_step: Annotated[Decimal, declared("The smallest step of a quantity.", "base asset", STEP_MIN, STEP_MAX)]
    funding_interval_hours: Annotated[
        int, declared("Hours between funding settlements, until the feed says it.", "hours", 1, 24)
    ] = 8
    shortable: Annotated[
        bool | None,
        declared("Whether it may be sold without being owned. Unset: a perpetual may, spot may not."),
    ] = None
    inverse: Annotated[bool, declared("Inverse contracts are refused for now.")] = False

    def __post_init__(self) -> None:
        whose = f"instrument {self.id}"
        require_in_range(self, whose)
        if self.inverse:
            raise ConfigurationError(f"{whose}: inverse contracts are not supported", field="inverse")
        decimals = -(self.tick_size * self.lot_step).normalize().as_tuple().exponent  # type: ignore[operator]
        if decimals > STEP_DECIMALS_MAX:
            raise ConfigurationError(
                f"{whose}: tick_size {self.tick_size} x lot_step {self.lot_step} has {decimals} decimals, "
                f"at most {STEP_DECIMALS_MAX} are supported",
                field="lot_step",
            )

    @property
    def id(self) -> str:
        """`venue:symbol`, e.g. "binance:BTCUSDT"."""
        return f"{self.venue}:{self.symbol}"

    @property
    def can_be_shorted(self) -> bool:
        """Whether a strategy may sell it without owning it. Ruling 4: spot only if a person says so."""
        return self.contract_type != "spot" if self.shortable is None else self.shortable
