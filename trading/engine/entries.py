"""Entering a trade: what the screen let through is decided exactly, and sent by the strategy's entry policy.

Refused while a book is not "ok", within the cooldown of a pair, at the limits of open trades, and when the capital
does not suffice; a refusal changes nothing. Source: rulings 5 to 9 and 16.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.domain.errors import InsufficientCapital, PortfolioFull
from trading.domain.funding import delta_8h
from trading.domain.orders import Leg, Order, Role
from trading.domain.spread import FeeRates, Projection, project, spread_bps, trade_size
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS, ZERO, floor_to_step
from trading.engine import identity, timers
from trading.engine.latency import Latency
from trading.engine.leg_outs import LegOuts
from trading.engine.markets import Market
from trading.engine.paper_exchange import PaperExchange
from trading.engine.policies import POLICIES, EntryPlan, Quotes
from trading.engine.portfolio import Portfolio
from trading.engine.sending import entry_order, market_order
from trading.engine.signals import Watcher
from trading.engine.timers import Timers


class Entries:
    """Decides and sends entries."""

    def __init__(
        self, seed: int, clockwork: Timers, exchange: PaperExchange, leg_outs: LegOuts, latency: Latency
    ) -> None:
        self._seed = seed
        self._timers = clockwork
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
        plan = POLICIES[watcher.strategy.entry_policy](quotes, watcher.strategy.first_leg)
        trade = self._new_trade(watcher, plan, now_us)
        return self._enter(watcher, plan, trade, now_us) if trade.quantity else None

    def _enter(self, watcher: Watcher, plan: EntryPlan, trade: Trade, now_us: int) -> Trade | None:
        portfolio = watcher.portfolio
        try:
            stored = portfolio.put(trade, now_us)
        except (InsufficientCapital, PortfolioFull):
            return None
        if stored is None:
            return None
        portfolio.block(watcher.key, now_us + cooldown_us(portfolio))
        if plan.follower is not None:
            portfolio.followers[trade.id] = plan.follower
        for leg in plan.first_legs:
            self._exchange.send(portfolio, trade.id, trade.entry_order(leg), now_us)
        self._leg_outs.watch_entry(portfolio, stored)
        return stored

    def follow(self, portfolio: Portfolio, trade: Trade, filled: Order) -> None:
        """After a fill of a leg for which the other one waits: takes that as soon as the strategy knows of it."""
        follower = portfolio.followers.get(trade.id)
        if follower is filled.leg.other and filled.role is Role.ENTRY and filled.filled_us is not None:
            response_us = self._latency.response_us(portfolio.markets[filled.instrument].venue, filled.id)
            known_us, held = filled.filled_us + response_us, abs(trade.position(filled.leg))
            self._timers.at(
                known_us,
                timers.ACKNOWLEDGEMENT,
                f"{trade.id} follow",
                lambda at_us: self._take(portfolio, trade.id, follower, held, at_us),
            )

    def _take(self, portfolio: Portfolio, trade_id: str, leg: Leg, held: Decimal, now_us: int) -> None:
        """Takes on the waiting leg what the other one holds, as far as is known, and was not asked for yet."""
        trade = portfolio.current(trade_id)
        if trade is None or trade_id not in portfolio.followers or trade_id in portfolio.causes:
            return
        entry, market = trade.entry_order(leg), portfolio.markets[trade.entry_order(leg).instrument]
        unsent = entry.is_pending and entry.id not in portfolio.working
        sent = [o for o in trade.all_orders if o.leg is leg and not (unsent and o.id == entry.id)]
        asked = sum((order.quantity for order in sent), ZERO)
        quantity = floor_to_step(held - asked, market.instrument.lot_step)
        if quantity <= 0:
            return
        order = market_order(trade, leg, Role.ENTRY, entry.side, quantity, market, now_us)
        if unsent:
            order = msgspec.structs.replace(order, id=entry.id)
        if portfolio.put(trade.with_order(order), now_us) is not None:
            self._exchange.send(portfolio, trade_id, order, now_us)

    def rest_after_close(self, portfolio: Portfolio, trade: Trade) -> None:
        """Lets a pair cool down after a trade of it has closed, from when the strategy knows of it."""
        legs = (trade.long_order, trade.short_order)
        known_us = max(self._latency.response_us(portfolio.markets[o.instrument].venue, o.id) for o in legs)
        key = (trade.long_order.instrument, trade.short_order.instrument)
        portfolio.block(key, (trade.exit_us or 0) + known_us + cooldown_us(portfolio))

    def _new_trade(self, watcher: Watcher, plan: EntryPlan, now_us: int) -> Trade:
        portfolio, strategy, long, short = watcher.portfolio, watcher.strategy, watcher.long, watcher.short
        long_price, short_price = plan.price(Leg.LONG), plan.price(Leg.SHORT)
        steps = (long.instrument.lot_step, short.instrument.lot_step)
        position_size_usd = portfolio.position_size_usd
        quantity = trade_size(position_size_usd, long_price, short_price, *steps)
        projection = projected(watcher, plan, quantity, now_us)
        trade_id = identity.trade_id(self._seed, strategy.prefix, portfolio.state, portfolio.share.shard)
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
            position_size_usd=position_size_usd,
            quantity=quantity,
            funding_delta_entry=funding_delta(long, short) or ZERO,
            projected_profit_usd=projection.net_usd,
            long_order=planned_order(plan, trade_id, Leg.LONG, long, quantity, now_us),
            short_order=planned_order(plan, trade_id, Leg.SHORT, short, quantity, now_us),
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
        and not portfolio.is_full
        and portfolio.open_by_pair.get(watcher.key, 0) < strategy.trades_open_per_pair_max
        and portfolio.state.available_capital >= portfolio.position_size_usd > 0
    )


def quotes_of(watcher: Watcher, now_us: int) -> Quotes | None:
    """The pair's best prices, or None unless both books are ok."""
    long, short = watcher.long.book, watcher.short.book
    if long.state(now_us) != "ok" or short.state(now_us) != "ok":
        return None
    assert long.best_bid and long.best_ask and short.best_bid and short.best_ask
    return Quotes(long.best_bid, long.best_ask, short.best_bid, short.best_ask)


def planned_order(plan: EntryPlan, trade_id: str, leg: Leg, market: Market, quantity: Decimal, now_us: int) -> Order:
    """A leg's entry order as the plan has it; that of a waiting leg is sent later, for what the other one fills."""
    return entry_order(trade_id, leg, market.instrument, plan.order_type(leg), plan.price(leg), quantity, now_us)


def projected(watcher: Watcher, plan: EntryPlan, quantity: Decimal, now_us: int) -> Projection:
    """What the trade is expected to earn: entries as the policy pays them, exits as takers. Source: ruling 8."""
    long, short = watcher.long, watcher.short
    fees = FeeRates(
        plan.fee_rate(Leg.LONG, long),
        plan.fee_rate(Leg.SHORT, short),
        long.venue.taker_fee_rate,
        short.venue.taker_fee_rate,
    )
    funding_fraction = watcher.funding_fraction(now_us)
    return project(quantity, plan.price(Leg.LONG), plan.price(Leg.SHORT), fees, funding_fraction)


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
