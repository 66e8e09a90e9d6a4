"""Entering a trade: what the screen let through is decided exactly, and sent by the strategy's entry policy.

Refused while a book is not "ok", within the cooldown of a pair, at the limits of open trades, and when the capital
does not suffice; a refusal changes nothing. Source: rulings 5 to 9 and 16.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from trading.domain.errors import InsufficientCapital
from trading.domain.funding import delta_8h
from trading.domain.orders import Leg
from trading.domain.spread import FeeRates, Projection, project, spread_bps, trade_size
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS, ZERO
from trading.engine import identity
from trading.engine.latency import Latency
from trading.engine.leg_outs import LegOuts
from trading.engine.markets import Market
from trading.engine.paper_exchange import PaperExchange
from trading.engine.portfolio import Portfolio
from trading.engine.sending import entry_order
from trading.engine.signals import Watcher


class Quotes(msgspec.Struct, frozen=True):
    """The four best prices of a pair."""

    long_bid: Decimal
    long_ask: Decimal
    short_bid: Decimal
    short_ask: Decimal

    @property
    def signal_bps(self) -> Decimal:
        """What taking both legs now would earn, in bps of their mid. Source: ruling 6."""
        return spread_bps(self.long_ask, self.short_bid)


class EntryPolicy(msgspec.Struct, frozen=True):
    """How a trade is entered: the limit prices of both legs, and the fees that its entry is expected to pay."""

    limit_prices: Callable[[Quotes], tuple[Decimal, Decimal]]
    entry_fee_rates: Callable[[Market, Market], tuple[Decimal, Decimal]]
    first_legs: tuple[Leg, ...]


POLICIES: dict[str, EntryPolicy] = {
    "both_passive": EntryPolicy(
        limit_prices=lambda quotes: (quotes.long_bid, quotes.short_ask),
        entry_fee_rates=lambda long, short: (long.venue.maker_fee_rate, short.venue.maker_fee_rate),
        first_legs=(Leg.LONG, Leg.SHORT),
    ),
}


class Entries:
    """Decides and sends entries."""

    def __init__(self, seed: int, exchange: PaperExchange, leg_outs: LegOuts, latency: Latency) -> None:
        self._seed = seed
        self._exchange = exchange
        self._leg_outs = leg_outs
        self._latency = latency

    def consider(self, watcher: Watcher, now_us: int) -> Trade | None:
        """Enters a trade if the pair's spread, exactly, is what the strategy asks for; else nothing changes."""
        if not has_room(watcher, now_us):
            return None
        quotes = quotes_of(watcher, now_us)
        required = watcher.required_bps(now_us)
        if quotes is None or required is None or quotes.signal_bps < required:
            return None
        trade = self._new_trade(watcher, quotes, now_us)
        return self._enter(watcher, trade, now_us) if trade.quantity else None

    def _enter(self, watcher: Watcher, trade: Trade, now_us: int) -> Trade | None:
        portfolio = watcher.portfolio
        try:
            stored = portfolio.put(trade, now_us)
        except InsufficientCapital:
            return None
        if stored is None:
            return None
        portfolio.block(watcher.key, now_us + cooldown_us(portfolio))
        for leg in POLICIES[watcher.strategy.entry_policy].first_legs:
            self._exchange.send(portfolio, trade.id, trade.entry_order(leg), now_us)
        self._leg_outs.watch_entry(portfolio, stored)
        return stored

    def rest_after_close(self, portfolio: Portfolio, trade: Trade) -> None:
        """Lets a pair cool down after a trade of it has closed, from when the strategy knows of it."""
        legs = (trade.long_order, trade.short_order)
        known_us = max(self._latency.response_us(portfolio.markets[o.instrument].venue, o.id) for o in legs)
        key = (trade.long_order.instrument, trade.short_order.instrument)
        portfolio.block(key, (trade.exit_us or 0) + known_us + cooldown_us(portfolio))

    def _new_trade(self, watcher: Watcher, quotes: Quotes, now_us: int) -> Trade:
        strategy, long, short = watcher.strategy, watcher.long, watcher.short
        policy = POLICIES[strategy.entry_policy]
        long_price, short_price = policy.limit_prices(quotes)
        steps = (long.instrument.lot_step, short.instrument.lot_step)
        quantity = trade_size(strategy.position_size_usd, long_price, short_price, *steps)
        projection = projected(watcher, policy, quantity, long_price, short_price, now_us)
        trade_id = identity.trade_id(self._seed, strategy.prefix, watcher.portfolio.state)
        return Trade(
            id=trade_id,
            portfolio=strategy.prefix,
            symbol=long.instrument.symbol,
            long_exchange=long.instrument.venue,
            short_exchange=short.instrument.venue,
            entry_us=now_us,
            entry_long_price=long_price,
            entry_short_price=short_price,
            entry_spread_bps=spread_bps(long_price, short_price),
            position_size_usd=strategy.position_size_usd,
            quantity=quantity,
            funding_delta_entry=funding_delta(long, short) or ZERO,
            projected_profit_usd=projection.net_usd,
            long_order=entry_order(trade_id, Leg.LONG, long.instrument, long_price, quantity, now_us),
            short_order=entry_order(trade_id, Leg.SHORT, short.instrument, short_price, quantity, now_us),
            projected_spread_usd=projection.spread_usd,
            projected_funding_usd=projection.funding_usd,
            projected_fees_usd=projection.fees_usd,
        )


def has_room(watcher: Watcher, now_us: int) -> bool:
    """Whether limits, cooldown and capital allow another trade of the pair. Cheap: asked at every candidate."""
    portfolio, strategy = watcher.portfolio, watcher.strategy
    return (
        strategy.enabled
        and portfolio.halted is None
        and portfolio.entries_stopped is None
        and now_us >= portfolio.blocked_until_us.get(watcher.key, 0)
        and len(portfolio.trades) < strategy.trades_open_max
        and portfolio.open_by_pair.get(watcher.key, 0) < strategy.trades_open_per_pair_max
        and portfolio.state.available_capital >= strategy.position_size_usd
    )


def quotes_of(watcher: Watcher, now_us: int) -> Quotes | None:
    """The pair's best prices, or None unless both books are ok."""
    long, short = watcher.long.book, watcher.short.book
    if long.state(now_us) != "ok" or short.state(now_us) != "ok":
        return None
    assert long.best_bid and long.best_ask and short.best_bid and short.best_ask
    return Quotes(long.best_bid, long.best_ask, short.best_bid, short.best_ask)


def projected(
    watcher: Watcher, policy: EntryPolicy, quantity: Decimal, long_price: Decimal, short_price: Decimal, now_us: int
) -> Projection:
    """What the trade is expected to earn: entries as the policy pays them, exits as takers. Source: ruling 8."""
    long, short = watcher.long, watcher.short
    entry_rates = policy.entry_fee_rates(long, short)
    fees = FeeRates(*entry_rates, long.venue.taker_fee_rate, short.venue.taker_fee_rate)
    return project(quantity, long_price, short_price, fees, watcher.funding_fraction(now_us))


def funding_delta(long: Market, short: Market) -> Decimal | None:
    """Short minus long rate per 8 hours; spot counts 0. None while a perpetual's rate is unknown."""
    paid, received = _rate_and_hours(long), _rate_and_hours(short)
    return None if paid is None or received is None else delta_8h(*received, *paid)


def _rate_and_hours(market: Market) -> tuple[Decimal, int] | None:
    term = market.funding_term
    if term is not None:
        return term.rate, term.interval_hours
    if market.instrument.contract_type == "spot":
        return ZERO, market.instrument.funding_interval_hours
    return None


def cooldown_us(portfolio: Portfolio) -> int:
    """The strategy's cooldown in microseconds."""
    return int(portfolio.strategy.cooldown_seconds * MICROSECONDS)
