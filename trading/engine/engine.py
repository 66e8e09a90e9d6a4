"""The engine of one desk: market events and time in, trades of all portfolios out.

It is driven from outside by `on_event`, `on_time` and `on_commands`, and knows no other time than theirs: `now_us` is
the latest event time or deadline seen and never goes back. Before an event its due timers run. The same calls make
the same transitions. Of a desk that is divided it knows the markets and the trades of its own shard only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from trading.domain.events import BookDiff, BookSnapshot, FeedGap, FundingRate, MarketEvent, Print, TopOfBook
from trading.domain.orders import Order
from trading.domain.shards import WHOLE, Shard
from trading.domain.strategy import Desk, Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import MICROSECONDS
from trading.engine import timers
from trading.engine.balance import Balance
from trading.engine.checkpoint import write_checkpoint
from trading.engine.clock import Clock
from trading.engine.commands import Commands, CommandSource
from trading.engine.entries import Entries
from trading.engine.exits import Exits
from trading.engine.latency import DeclaredLatency, Latency
from trading.engine.leg_outs import LegOuts
from trading.engine.markets import Market, markets_of
from trading.engine.paper_exchange import PaperExchange
from trading.engine.portfolio import NOT_LOADED, SWITCHED_OFF, Listener, Portfolio
from trading.engine.publication import Publication, QuoteStore
from trading.engine.recovery import Recovery
from trading.engine.settlements import Settlements
from trading.engine.sharing import Share
from trading.engine.signals import pair_signals
from trading.engine.timers import Timers
from trading.engine.witnesses import end_all
from trading.stores.errors import StateMoved, StepConflict, StepRefused, WireError
from trading.stores.transition import TransitionStore

OVERSLEPT_US = 600 * MICROSECONDS  # a machine that slept for a night does not catch up on its samples


class Engine:
    """All portfolios of a desk on one stream of events.

    `stores` has one per strategy prefix. `clock` tells when a command has expired and a quote is old; trading goes by
    event time alone. `desk` is the whole one, `shard` the part of it that is run.
    """

    def __init__(
        self,
        desk: Desk,
        stores: Mapping[str, TransitionStore],
        market_store: QuoteStore,
        command_store: CommandSource,
        clock: Clock,
        shard: Shard = WHOLE,
        latency: Latency | None = None,
        listener: Listener = lambda prefix, before, after: None,
    ) -> None:
        self.now_us = 0
        self.event_us = 0
        self._aim_us = 0  # where the timers that run now will have brought `now_us`
        self.messages = 0
        self._share = Share(desk, shard)
        self.markets = markets_of(shard.part_of(desk))
        self._listener = listener
        self._latency = latency or DeclaredLatency(desk.seed)
        self._store_of = stores.__getitem__
        self.portfolios = {each.prefix: self._new_portfolio(each) for each in desk.strategies}
        self._clock = clock
        self._commands = Commands(command_store, str(shard), self.has_trade)
        self._publication = Publication(market_store, self.markets.values(), shard)
        self._timers = Timers()
        self._timers.at(0, timers.SAMPLE, "", self._begin_sampling)
        self._signals = pair_signals(self.portfolios.values(), self.markets)
        way = self._latency
        self._exchange = PaperExchange(self._timers, way)
        balance = Balance(self._timers, way)
        self._leg_outs = LegOuts(self._timers, self._exchange, way, balance, self.markets)
        self._entries = Entries(desk.seed, self._timers, self._exchange, self._leg_outs, way)
        self._exits = Exits(self._timers, self._exchange, balance, self.markets)
        self._recovery = Recovery(self._exchange, self._leg_outs, self._exits)
        self._settlements = Settlements(self._timers, self.portfolios.values())
        self._exchange.on_filled = self._order_filled
        self._exchange.on_cancel_answered = self._cancel_answered
        self._handlers: dict[type, Callable[[Any], None]] = {
            TopOfBook: self._on_top,
            BookDiff: self._on_depth,
            BookSnapshot: self._on_depth,
            Print: self._on_print,
            FundingRate: self._on_funding,
            FeedGap: self._on_depth,
        }

    def start(self, now_us: int) -> None:
        """Loads every portfolio; open trades of an earlier run are taken up as after a restart."""
        self._reach(now_us)
        self._settlements.remember(self.markets, self._publication.last_funding(), self.now_us)
        for portfolio in self.portfolios.values():
            self.start_portfolio(portfolio)

    def start_portfolio(self, portfolio: Portfolio) -> None:
        """Loads one portfolio (again) and takes up its open trades; one whose records are unusable stays halted.

        Raises LeaseLost and RedisAway.
        """
        try:
            portfolio.start(self.now_us)
        except (WireError, StepConflict, StepRefused) as error:
            portfolio.halt(str(error))
            return
        self._settlements.take_up(portfolio, self.now_us)
        self._recovery.take_up(portfolio, self.now_us)

    def instruments_in_use(self) -> set[str]:
        """The instruments in which a trade of any portfolio is open."""
        trades = (trade for portfolio in self.portfolios.values() for trade in portfolio.trades.values())
        return {order.instrument for trade in trades for order in (trade.long_order, trade.short_order)}

    def retune(self, desk: Desk) -> None:
        """Takes in new settings between two events: they hold from the next decision on. Open trades go on; the
        portfolios of strategies that the desk no longer has enter nothing.

        Raises LeaseLost and RedisAway: then it may be called again.
        """
        self._share.desk = desk
        for name, market in markets_of(self._share.shard.part_of(desk)).items():
            known = self.markets.setdefault(name, market)
            known.retune(market.instrument, market.venue)
        for strategy in desk.strategies:
            known_portfolio = self.portfolios.get(strategy.prefix)
            if known_portfolio is None:
                self.portfolios[strategy.prefix] = self._new_portfolio(strategy)
            else:
                known_portfolio.strategy = strategy
        wanted = {strategy.prefix for strategy in desk.strategies}
        for prefix, portfolio in self.portfolios.items():
            if prefix not in wanted:
                portfolio.strategy = msgspec.structs.replace(portfolio.strategy, enabled=False)
            elif portfolio.halted in (NOT_LOADED, SWITCHED_OFF):
                self.start_portfolio(portfolio)
        self._signals = pair_signals(self.portfolios.values(), self.markets, before=self._signals)
        for signal in self._signals:
            signal.set_levels(self.now_us)

    def _new_portfolio(self, strategy: Strategy) -> Portfolio:
        store = self._store_of(strategy.prefix)
        return Portfolio(strategy, store, self.markets, self._latency, self._share, self._transition_made)

    def on_event(self, event: MarketEvent) -> None:
        """Takes in one market event, after the timers that are due by its time."""
        self.event_us = event_us = event.event_us
        if self.now_us < event_us < self._timers.next_us:
            self.now_us = self._aim_us = event_us
        elif event_us > self.now_us or self._timers.next_us <= self.now_us:
            self._reach(event_us)
        self.messages += 1
        self._handlers[type(event)](event)

    def on_time(self, now_us: int) -> None:
        """Runs the timers that are due; time may pass without events."""
        self._reach(now_us)

    def catch_up(self) -> None:
        """Takes in what the other shards have made of the portfolios. Raises LeaseLost and RedisAway."""
        for portfolio in () if self._share.is_whole else self.portfolios.values():
            if not portfolio.halted:
                try:
                    portfolio.catch_up()
                except StateMoved as error:
                    portfolio.halt(str(error))

    def has_trade(self, prefix: str, trade_id: str) -> bool:
        """Whether it is an open trade of this engine."""
        return prefix in self.portfolios and trade_id in self.portfolios[prefix].trades

    def on_commands(self) -> int:
        """Carries out the commands that have come in; returns how many exits were sent. Raises RedisAway."""
        return self._commands.carry_out(self.close_trade, self.hold, self._clock.now_us())

    def hold(self, prefix: str, reason: str) -> None:
        """Opens no trades in a portfolio for this reason; an empty one lets it go on as its settings allow."""
        if portfolio := self.portfolios.get(prefix):
            portfolio.hold(reason)

    def close_trade(self, prefix: str, trade_id: str, reason: str) -> bool:
        """Begins to close an Active trade; False, and nothing has changed, for any other."""
        return self._exits.close(self.portfolios[prefix], trade_id, reason, self.now_us)

    def publish(self) -> int:
        """Publishes the quotes that changed; returns how many. Raises RedisAway."""
        return self._publication.publish(max(self.now_us, self._clock.now_us()))

    def publish_feed(self, name: str, feed_troubles: Iterable[str] = ()) -> None:
        """Publishes how the feed does, what is wrong with it in sentences, and which portfolios do not trade.

        Raises RedisAway.
        """
        troubles = {prefix: each.trouble for prefix, each in self.portfolios.items()}
        self._publication.publish_feed(
            name,
            self.event_us,
            self._clock.now_us(),
            self.messages,
            {prefix: trouble for prefix, trouble in troubles.items() if trouble},
            list(feed_troubles),
        )

    def checkpoint(self) -> int:
        """Writes the queue progress of every portfolio that has some; returns of how many. Raises RedisAway."""
        return sum(write_checkpoint(each, self.markets, self.now_us) for each in self.portfolios.values())

    def end_watches(self) -> None:
        """Writes what the shadows of the orders have come to, because no more events will come."""
        for portfolio in self.portfolios.values():
            end_all(portfolio, self.now_us)

    def _reach(self, now_us: int) -> None:
        self._aim_us = max(self._aim_us, now_us)
        while self._timers.next_us <= self._aim_us:
            self.now_us = max(self.now_us, self._timers.next_us)
            self._timers.run_until(self._timers.next_us)
        self.now_us = self._aim_us

    def _begin_sampling(self, _at_us: int) -> None:
        self._sample_at(self._aim_us // MICROSECONDS + 1)

    def _sample_at(self, second: int) -> None:
        self._timers.at(second * MICROSECONDS, timers.SAMPLE, "", self._sample)

    def _sample(self, at_us: int) -> None:
        for signal in self._signals:
            signal.sample(at_us)
        overslept = self._aim_us - at_us > OVERSLEPT_US
        self._sample_at((self._aim_us if overslept else at_us) // MICROSECONDS + 1)

    def _on_top(self, event: TopOfBook) -> None:
        market = self.markets.get(event.instrument)
        if market is None:
            return
        if market.book.show_top(event):
            market.reprice(event)
        market.changed = True
        if market.liquidity.taken or market.waiting:
            self._offer(market, event)
        for signal in market.signals:
            if signal.spread_bps >= signal.lowest_screen_bps:
                for watcher in signal.watchers:
                    self._entries.consider(watcher, self.now_us)

    def _on_depth(self, event: BookDiff | BookSnapshot | FeedGap) -> None:
        market = self.markets.get(event.instrument)
        if market is not None:
            market.book.apply(event)
            market.changed = True
            self._offer(market, event)

    def _offer(self, market: Market, event: TopOfBook | BookDiff | BookSnapshot | FeedGap) -> None:
        """Lets those who wait have what the event has brought to the book."""
        if market.liquidity.taken:
            market.liquidity.release(event)
        if market.waiting:
            self._exchange.retry(market, self.now_us)

    def _on_print(self, event: Print) -> None:
        market = self.markets.get(event.instrument)
        if market is None:
            return
        if event.print_id <= market.last_print_id and event.event_us <= market.last_print_us:
            return  # a venue repeats prints after a reconnect, so ids are compared; a new recording counts anew
        market.last_print_id, market.last_print_us = event.print_id, event.event_us
        market.watched.see(event)
        if market.resting:
            self._exchange.match(market, event)

    def _on_funding(self, event: FundingRate) -> None:
        market = self.markets.get(event.instrument)
        if market is not None:
            self._settlements.announce(market, event)
            market.changed = True

    def _order_filled(self, portfolio: Portfolio, trade: Trade, order: Order) -> None:
        self._leg_outs.watch_fill(portfolio, trade, order)
        self._entries.follow(portfolio, trade, order)
        self._exits.watch_fill(portfolio, trade, order)

    def _cancel_answered(self, portfolio: Portfolio, trade_id: str, at_us: int) -> None:
        self._leg_outs.resolve(portfolio, trade_id, at_us)
        self._exits.resolve(portfolio, trade_id, at_us)

    def _transition_made(self, prefix: str, before: Trade | None, after: Trade) -> None:
        if after.status is TradeStatus.CLOSED:
            self._entries.rest_after_close(self.portfolios[prefix], after)
        self._listener(prefix, before, after)
