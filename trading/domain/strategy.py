"""What a strategy author decides: one `Strategy` per portfolio, and the desk that holds several of them.

This is the single definition of the settings: meaning, unit, range and default stand beside each field and are read
from here by forms, the API and docs/settings.md (`trading.domain.settings`). Every field states its unit in its name;
an error names the strategy, the field and the value. Fractions are ratios, `_bps` hundredths of a percent.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from trading.domain.errors import ConfigurationError
from trading.domain.instruments import Instrument, Venue
from trading.domain.portfolio import CLOSED_TRADES_KEPT, CLOSED_TRADES_KEPT_MAX, CapitalMode
from trading.domain.settings import declared, refuse, require_in_range
from trading.domain.units import floor_to_step

PREFIX_PATTERN = re.compile(r"^[a-z][a-z0-9_]{0,30}$")
USD_MAX = Decimal("1E12")
DAY_SECONDS = 86_400

EntryPolicyName = Literal["both_passive", "passive_then_take", "both_take"]
FirstLeg = Literal["wider_spread", "long", "short"]
ExitOrderName = Literal["market", "limit_then_market"]


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two instruments that are traded against each other, as `venue:symbol`: buy `long`, sell `short`."""

    long: str
    short: str

    @property
    def id(self) -> str:
        """A stable text for the pair."""
        return f"{self.long}|{self.short}"


class Strategy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one portfolio."""

    prefix: Annotated[
        str,
        declared(
            "The beginning of the portfolio's Redis keys and its name in the tables: a small letter, then small "
            "letters, digits and underscores, 31 at most. The first portfolio's is `strategy`."
        ),
    ]
    name: Annotated[str, declared("What people call the portfolio.")]
    pairs: Annotated[
        tuple[Pair, ...],
        declared("The pairs that are traded, each with `long` (bought) and `short` (sold) as venue:symbol."),
    ]
    enabled: Annotated[
        bool, declared("Whether new trades are entered. Switched off, open trades still go on to their end.")
    ] = True
    starting_capital: Annotated[
        Decimal, declared("The capital with which the portfolio begins; fixed once it has begun.", "USD", 1, USD_MAX)
    ] = Decimal(20_000)
    capital_mode: Annotated[
        CapitalMode,
        declared(
            "`fixed`: available capital and open positions always add up to the starting capital, and profit is kept "
            "beside it. `compounding`: they add up to starting capital and realised profit, and position sizes grow "
            "and shrink with it. Fixed once the portfolio has begun."
        ),
    ] = "fixed"
    position_size_usd: Annotated[
        Decimal,
        declared(
            "The notional of each leg, and what a trade reserves of the capital. With `compounding` it is scaled by "
            "owned over starting capital, down to a cent.",
            "USD",
            1,
            USD_MAX,
        ),
    ] = Decimal(1_000)
    signal: Annotated[
        Literal["spread", "basis"],
        declared(
            "`spread` enters when bid(short venue) over ask(long venue) is at least the threshold, `basis` when it is "
            "that far above its own mean. Expected funding counts on top."
        ),
    ] = "spread"
    entry_threshold_bps: Annotated[
        Decimal, declared("The signal at which a trade is entered.", "basis points of the mid", -1_000, 10_000)
    ] = Decimal(8)
    baseline_seconds: Annotated[
        int, declared("How long the mean of the signal `basis` looks back.", "seconds", 1, DAY_SECONDS)
    ] = 60
    funding_weight: Annotated[
        Decimal, declared("How much of the expected funding counts as spread: 0 is none of it.", "ratio", 0, 10)
    ] = Decimal(1)
    hold_seconds_expected: Annotated[
        int, declared("How long a trade is expected to be held; settlements in it count.", "seconds", 0, 31_536_000)
    ] = 28_800
    trades_open_max: Annotated[int, declared("Open trades of the portfolio at most.", "trades", 1, 100_000)] = 10
    trades_open_per_pair_max: Annotated[int, declared("Open trades of one pair at most.", "trades", 1, 100_000)] = 1
    closed_trades_kept: Annotated[
        int,
        declared(
            "How many of its latest closed trades the portfolio's state lists in Redis. All of them stay in the index "
            "by exit time and in every store.",
            "trades",
            1,
            CLOSED_TRADES_KEPT_MAX,
        ),
    ] = CLOSED_TRADES_KEPT
    cooldown_seconds: Annotated[
        Decimal, declared("Rest of a pair after an entry, and after a close.", "seconds", 0, DAY_SECONDS)
    ] = Decimal(2)
    entry_policy: Annotated[
        EntryPolicyName,
        declared(
            "`both_passive`: both legs rest as limit orders at the best price of their own side. `passive_then_take`: "
            "the first leg rests, and what it fills is taken at market on the other venue as soon as it is known. "
            "`both_take`: both legs are market orders."
        ),
    ] = "both_passive"
    first_leg: Annotated[
        FirstLeg,
        declared(
            "Which leg rests first under `passive_then_take`: the one whose venue has the wider spread between bid "
            "and ask (resting there saves more, and taking costs less where it is narrow; the long one when equal), "
            "or always `long` or `short`."
        ),
    ] = "wider_spread"
    fill_volume: Annotated[
        Literal["whole", "printed"],
        declared(
            "How much of a resting order fills when its turn in the queue has come: the `whole` order, or at most "
            "the volume `printed` since then, in multiples of the pair's coarser lot step."
        ),
    ] = "whole"
    leg_out_ms: Annotated[
        int,
        declared(
            "How long the legs may hold unequal quantities, from the fill that made them so, before open orders are "
            "cancelled and the difference is hedged.",
            "milliseconds",
            1,
            3_600_000,
        ),
    ] = 500
    hedge: Annotated[
        Literal["unwind", "complete"],
        declared(
            "What a leg-out does: `unwind` closes what was filled at market, `complete` takes what is missing at "
            "market and goes on with the trade."
        ),
    ] = "unwind"
    entry_timeout_seconds: Annotated[
        Decimal,
        declared("How long entry orders wait for their first fill.", "seconds", Decimal("0.001"), DAY_SECONDS),
    ] = Decimal(30)
    exit_order: Annotated[
        ExitOrderName,
        declared(
            "`market`: both legs are closed by market orders. `limit_then_market`: limit orders join the best price "
            "of their own side first, and what they leave is closed at market."
        ),
    ] = "market"
    exit_timeout_seconds: Annotated[
        Decimal,
        declared(
            "How long the limit orders of `limit_then_market` wait. If one leg fills before the other they wait no "
            "longer than `leg_out_ms` from then on.",
            "seconds",
            Decimal("0.001"),
            DAY_SECONDS,
        ),
    ] = Decimal(5)
    profit_target_bps: Annotated[
        Decimal,
        declared(
            "The unrealised net at which a trade is closed as won.",
            "basis points of the position size",
            Decimal("0.01"),
            10_000,
        ),
    ] = Decimal(5)
    loss_limit_bps: Annotated[
        Decimal,
        declared(
            "The unrealised net loss at which a trade is closed.",
            "basis points of the position size",
            Decimal("0.01"),
            10_000,
        ),
    ] = Decimal(40)
    funding_convergence_threshold: Annotated[
        Decimal,
        declared(
            "A trade whose funding advantage at entry was above this is closed when it has fallen to this or turned "
            "against us; 0 never closes for funding.",
            "ratio per 8 hours",
            0,
            1,
        ),
    ] = Decimal("0.00005")

    def __post_init__(self) -> None:
        whose = f"strategy {self.prefix}"
        if not PREFIX_PATTERN.match(self.prefix):
            refuse("strategy", "prefix", repr(self.prefix), f"it must match {PREFIX_PATTERN.pattern}")
        if not self.pairs:
            raise ConfigurationError(f"{whose}: pairs is empty, nothing could ever be traded", field="pairs")
        require_in_range(self, whose)
        if self.position_size_usd > self.starting_capital:
            refuse(
                whose,
                "position_size_usd",
                self.position_size_usd,
                f"more than starting_capital {self.starting_capital}",
            )


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
                raise ConfigurationError(f"{where}: instrument {name!r} is not declared", field="pairs")
        long, short = legs
        assert long and short
        if long.id == short.id:
            raise ConfigurationError(f"{where}: both legs are the same instrument", field="pairs")
        if (long.base_asset, long.quote_asset) != (short.base_asset, short.quote_asset):
            raise ConfigurationError(
                f"{where}: legs are {long.base_asset}/{long.quote_asset} and {short.base_asset}/{short.quote_asset}",
                field="pairs",
            )
        coarse, fine = max(long.lot_step, short.lot_step), min(long.lot_step, short.lot_step)
        if floor_to_step(coarse, fine) != coarse:
            raise ConfigurationError(
                f"{where}: lot steps {long.lot_step} and {short.lot_step} are no multiples of each other, so that "
                "unequal legs could not always be made equal",
                field="pairs",
            )
        if not short.can_be_shorted:
            sentence = f"{where}: {short.id} is {short.contract_type} and cannot be shorted"
            raise ConfigurationError(sentence, field="pairs")

    def instrument(self, instrument_id: str) -> Instrument | None:
        """The declared instrument, or None."""
        return next((known for known in self.instruments if known.id == instrument_id), None)

    def venue(self, name: str) -> Venue:
        """The declared venue. Raises ConfigurationError for one that is not declared."""
        for known in self.venues:
            if known.name == name:
                return known
        raise ConfigurationError(f"venue {name!r} is not declared")
