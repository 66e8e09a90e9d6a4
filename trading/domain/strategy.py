"""What a strategy author decides: one `Strategy` per portfolio, and the desk that holds several of them.

Every field states its unit in its name; its range is checked when the settings are loaded, and an error names the
strategy, the field and the value. Fractions are ratios, `_bps` hundredths of a percent of the position size.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

import msgspec

from trading.domain.errors import ConfigurationError
from trading.domain.instruments import Instrument, Venue
from trading.domain.portfolio import CapitalMode

PREFIX_PATTERN = re.compile(r"^[a-z][a-z0-9_]{0,30}$")


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two instruments that are traded against each other, as `venue:symbol`: buy `long`, sell `short`."""

    long: str
    short: str

    @property
    def id(self) -> str:
        """A stable text for the pair."""
        return f"{self.long}|{self.short}"


class Strategy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one portfolio.

    `signal` "spread" enters when the spread itself is at least `entry_threshold_bps`; "basis" when the spread is
    that far above its own mean over `baseline_seconds`. Expected funding within `hold_seconds_expected` is added,
    times `funding_weight`.
    """

    prefix: str
    name: str
    pairs: tuple[Pair, ...]
    starting_capital: Decimal = Decimal(20_000)
    capital_mode: CapitalMode = "fixed"
    position_size_usd: Decimal = Decimal(1_000)
    signal: Literal["spread", "basis"] = "spread"
    entry_threshold_bps: Decimal = Decimal(8)
    baseline_seconds: int = 60
    funding_weight: Decimal = Decimal(1)
    hold_seconds_expected: int = 28_800
    trades_open_max: int = 10
    trades_open_per_pair_max: int = 1
    cooldown_seconds: Decimal = Decimal(2)
    entry_policy: Literal["both_passive"] = "both_passive"
    fill_volume: Literal["whole"] = "whole"
    leg_out_ms: int = 500
    hedge: Literal["unwind", "complete"] = "unwind"
    entry_timeout_seconds: Decimal = Decimal(30)
    profit_target_bps: Decimal = Decimal(5)
    loss_limit_bps: Decimal = Decimal(40)
    funding_convergence_threshold: Decimal = Decimal("0.00005")

    def __post_init__(self) -> None:
        if not PREFIX_PATTERN.match(self.prefix):
            raise ConfigurationError(f"strategy prefix {self.prefix!r} must match {PREFIX_PATTERN.pattern}")
        if not self.pairs:
            raise ConfigurationError(f"strategy {self.prefix}: pairs is empty, nothing could ever be traded")
        for field, (low, high) in RANGES.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ConfigurationError(f"strategy {self.prefix}: {field} is {value}, allowed is {low} to {high}")
        if self.position_size_usd > self.starting_capital:
            raise ConfigurationError(
                f"strategy {self.prefix}: position_size_usd {self.position_size_usd} is more than "
                f"starting_capital {self.starting_capital}"
            )


RANGES: dict[str, tuple[Decimal | int, Decimal | int]] = {
    "starting_capital": (1, Decimal("1E12")),
    "position_size_usd": (1, Decimal("1E12")),
    "entry_threshold_bps": (-1_000, 10_000),
    "baseline_seconds": (1, 86_400),
    "funding_weight": (0, 10),
    "hold_seconds_expected": (0, 31_536_000),
    "trades_open_max": (1, 100_000),
    "trades_open_per_pair_max": (1, 100_000),
    "cooldown_seconds": (0, 86_400),
    "leg_out_ms": (1, 3_600_000),
    "entry_timeout_seconds": (Decimal("0.001"), 86_400),
    "profit_target_bps": (Decimal("0.01"), 10_000),
    "loss_limit_bps": (Decimal("0.01"), 10_000),
    "funding_convergence_threshold": (0, 1),
}


class Desk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an engine needs to know before the first event: venues, instruments, strategies, the seed."""

    venues: tuple[Venue, ...]
    instruments: tuple[Instrument, ...]
    strategies: tuple[Strategy, ...]
    seed: int = 1

    def __post_init__(self) -> None:
        known = {venue.name for venue in self.venues}
        for instrument in self.instruments:
            if instrument.venue not in known:
                raise ConfigurationError(f"instrument {instrument.id}: venue {instrument.venue!r} is not declared")
        prefixes = [strategy.prefix for strategy in self.strategies]
        repeated = sorted({prefix for prefix in prefixes if prefixes.count(prefix) > 1})
        if repeated:
            raise ConfigurationError(f"strategy prefix {repeated[0]!r} is used twice")
        for strategy in self.strategies:
            for pair in strategy.pairs:
                self._require_tradable(strategy, pair)

    def _require_tradable(self, strategy: Strategy, pair: Pair) -> None:
        where = f"strategy {strategy.prefix}: pair {pair.long} / {pair.short}"
        legs = [self.instrument(pair.long), self.instrument(pair.short)]
        for name, leg in zip((pair.long, pair.short), legs, strict=True):
            if leg is None:
                raise ConfigurationError(f"{where}: instrument {name!r} is not declared")
        long, short = legs
        assert long and short
        if long.id == short.id:
            raise ConfigurationError(f"{where}: both legs are the same instrument")
        if (long.base_asset, long.quote_asset) != (short.base_asset, short.quote_asset):
            raise ConfigurationError(
                f"{where}: legs are {long.base_asset}/{long.quote_asset} and {short.base_asset}/{short.quote_asset}"
            )
        if not short.can_be_shorted:
            raise ConfigurationError(f"{where}: {short.id} is {short.contract_type} and cannot be shorted")

    def instrument(self, instrument_id: str) -> Instrument | None:
        """The declared instrument, or None."""
        return next((known for known in self.instruments if known.id == instrument_id), None)

    def venue(self, name: str) -> Venue:
        """The declared venue. Raises ConfigurationError for one that is not declared."""
        for known in self.venues:
            if known.name == name:
                return known
        raise ConfigurationError(f"venue {name!r} is not declared")
