"""The paper exchange: orders arrive after their latency, rest in the queue or walk the book, and fill.

Prints count for an order only if their event time is strictly after its acceptance. What one order of a portfolio
uses of a level or of a print, no other order of that portfolio uses (ruling 10). A book that is not "ok" fills
nothing; orders wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from trading.domain import fills, queue
from trading.domain.events import Print
from trading.domain.evidence import WalkEvidence, levels_kept
from trading.domain.orders import Liquidity, Order, OrderType, Side
from trading.domain.trades import Trade
from trading.domain.units import ZERO
from trading.domain.walk import Walk, is_worse, walk
from trading.engine import timers
from trading.engine.latency import Latency, cancel_of
from trading.engine.markets import Market
from trading.engine.portfolio import Portfolio
from trading.engine.sending import opposite
from trading.engine.timers import Timers
from trading.engine.witnesses import Witnesses
from trading.engine.working import Working
from trading.market.book import Book

replace = msgspec.structs.replace

FilledHook = Callable[[Portfolio, Trade, Order], None]
AnsweredHook = Callable[[Portfolio, str, int], None]


class PaperExchange:
    """All venues. `on_filled` hears of every fill of an order, `on_cancel_answered` of a cancel's outcome, late by
    the response latency."""

    def __init__(self, clockwork: Timers, latency: Latency) -> None:
        self._timers = clockwork
        self._latency = latency
        self._witnesses = Witnesses(clockwork)
        self.on_filled: FilledHook = lambda portfolio, trade, order: None
        self.on_cancel_answered: AnsweredHook = lambda portfolio, trade_id, at_us: None

    def send(self, portfolio: Portfolio, trade_id: str, order: Order, now_us: int) -> None:
        """Sends a stored order; it arrives after the venue's order latency."""
        market = portfolio.markets[order.instrument]
        working = Working(portfolio, trade_id, order, market)
        portfolio.working[order.id] = working
        working.arrival_us = now_us + self._latency.order_us(market.venue, order.id)
        self._timers.at(working.arrival_us, timers.ARRIVAL, order.id, lambda at_us: self._arrive(working, at_us))

    def cancel(self, portfolio: Portfolio, trade_id: str, order: Order, now_us: int) -> None:
        """Sends a cancel, which arrives after its order; what fills before it arrives counts."""
        venue, working = portfolio.markets[order.instrument].venue, portfolio.working.get(order.id)
        arrival_us = now_us + self._latency.order_us(venue, cancel_of(order.id))
        arrival_us = max(arrival_us, working.arrival_us if working else 0)
        answer_us = arrival_us + self._latency.response_us(venue, cancel_of(order.id))
        cancelling = portfolio.cancelling  # anew when it is loaded again: what was sent before means nothing then
        cancelling.add(order.id)

        def arrive(at_us: int) -> None:
            if portfolio.cancelling is not cancelling:
                return
            trade = portfolio.current(trade_id)
            standing = next((o for o in trade.all_orders if o.id == order.id and o.is_pending), None) if trade else None
            if trade is not None and standing is not None:
                portfolio.put(trade.with_order(fills.cancelled(standing, at_us)), at_us)

        def answer(at_us: int) -> None:
            if portfolio.cancelling is not cancelling:
                return
            cancelling.discard(order.id)
            self.on_cancel_answered(portfolio, trade_id, at_us)

        self._timers.at(arrival_us, timers.ARRIVAL, cancel_of(order.id), arrive)
        self._timers.at(answer_us, timers.ACKNOWLEDGEMENT, order.id, answer)

    def retry(self, market: Market, now_us: int) -> None:
        """Offers an updated book to the orders that wait for it."""
        if market.book.state(now_us) != "ok":
            return
        for working in tuple(market.waiting):
            if working in market.waiting:
                market.waiting.remove(working)
                self._offer_book(working, now_us)

    def match(self, market: Market, event: Print) -> None:
        """Shows a print to the resting orders: the better price first, at one price in the order of acceptance."""
        price, quantity = Decimal(event.price), Decimal(event.quantity)
        left_of: dict[str, Decimal] = {}
        for working in sorted(market.resting, key=lambda each: -each.order.side.sign * each.order.price):
            prefix = working.portfolio.prefix
            left = left_of.get(prefix, quantity)
            if left > 0 and event.event_us > (working.order.accepted_us or 0) and working in market.resting:
                left_of[prefix] = left - self._show_print(working, price, left, event)

    def _show_print(self, working: Working, price: Decimal, left: Decimal, event: Print) -> Decimal:
        """Advances one resting order; returns how much of the print it used."""
        order, before = working.order, working.order.queue
        assert before is not None
        after = queue.advance(before, order.side, price, left, event.aggressor, working.fills_whole)
        if after is before:
            return ZERO
        working.order = replace(order, queue=after)
        working.moved = True
        if working.witness is not None:
            working.witness.count(event.print_id, event.event_us, price, Decimal(event.quantity), left)
        if not after.at_front:
            return left
        quantity = order.remaining
        if not working.fills_whole:
            quantity = queue.printed_fill(after, quantity, working.step)
            working.order = replace(order, queue=queue.used(after, quantity))
        if not quantity:
            return left
        ahead = queue.ahead(before) if price == before.price else ZERO
        used = left if quantity < order.remaining else min(left, ahead + quantity)
        rate, at_us = working.market.venue.maker_fee_rate, event.event_us
        filled = fills.filled(working.order, quantity, order.price * quantity, at_us, rate, Liquidity.MAKER)
        self._fill(working, filled, at_us)
        return used

    def _arrive(self, working: Working, at_us: int) -> None:
        if working.portfolio.working.get(working.order.id) is not working:
            return
        if working.order.order_type is OrderType.MARKET:
            working.order = fills.accepted(working.order, at_us)
        if working.market.book.state(at_us) == "ok":
            self._offer_book(working, at_us)
        else:
            working.market.waiting.append(working)

    def _offer_book(self, working: Working, now_us: int) -> None:
        order, book = working.order, working.market.book
        is_limit = order.order_type is OrderType.LIMIT
        if order.accepted_us is None:
            order = working.order = fills.accepted(order, now_us)
        touch = book.best_ask if order.side is Side.BUY else book.best_bid
        if not is_limit or (touch is not None and not is_worse(order.side, touch, order.price)):
            self._take(working, order.price if is_limit else None, now_us)
        if working.portfolio.working.get(order.id) is not working:
            return
        if is_limit:
            self._rest(working, now_us)
        else:
            working.market.waiting.append(working)

    def _rest(self, working: Working, now_us: int) -> None:
        order, market = working.order, working.market
        depth = market.book.depth_at(order.side, order.price)
        position = queue.join(order.price, depth, market.venue.fill_threshold_fraction)
        working.order = replace(order, queue=position)
        working.moved = True
        working.witness = self._witnesses.begin(working, now_us)
        market.resting.append(working)

    def _take(self, working: Working, limit: Decimal | None, now_us: int) -> None:
        """Walks the book for what remains of the order; what is not there stays unfilled."""
        order, market, prefix = working.order, working.market, working.portfolio.prefix
        book_side = opposite(order.side)
        levels = market.liquidity.untaken(prefix, book_side, market.book.levels(book_side))
        taken = walk(levels, order.remaining, order.side, limit)
        if not taken.filled:
            return
        working.walked = walk_evidence(taken, limit, market.book, now_us)
        rate = market.venue.taker_fee_rate
        filled = fills.filled(order, taken.filled, taken.cost, now_us, rate, Liquidity.TAKER)
        if self._fill(working, filled, now_us):
            note_taken(market, prefix, book_side, taken)

    def _fill(self, working: Working, order: Order, at_us: int) -> bool:
        portfolio = working.portfolio
        trade = portfolio.current(working.trade_id)
        if trade is None:
            return False
        trade = portfolio.put(trade.with_order(order), at_us)
        if trade is None:
            return False
        self.on_filled(portfolio, trade, order)
        return True


def walk_evidence(taken: Walk, limit: Decimal | None, book: Book, now_us: int) -> WalkEvidence:
    """What a walk took, and of which book."""
    return WalkEvidence(
        levels=levels_kept(taken.taken),
        levels_count=taken.levels,
        quantity=taken.filled,
        cost=taken.cost,
        limit=limit,
        book_us=book.event_us,
        book_state=book.state(now_us),
    )


def note_taken(market: Market, prefix: str, book_side: Side, taken: Walk) -> None:
    """Keeps the taken levels from the portfolio's other orders until the feed updates them."""
    for price, quantity in taken.taken:
        market.liquidity.take(prefix, book_side, price, quantity, market.book.depth_at(book_side, price))
