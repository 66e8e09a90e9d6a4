"""An auditor's ledger: sees every transition that was written and does the sums again, in its own way.

Cash, fees and funding of a trade are summed from its fills and payments; a taker's fill is walked through the book
that the engine shows, less what the portfolio took of each level since the feed last updated it. Nothing here
reads `cash`, `fee` or `liquidity.taken` of the engine to decide what they should be.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from trading.domain.events import BookDiff, BookSnapshot, FeedGap, MarketEvent, Print, TopOfBook
from trading.domain.orders import Leg, Liquidity, Order, OrderStatus, OrderType, Role, Side
from trading.domain.pnl import residual_tolerance, terms_of
from trading.domain.trades import MOVES, Trade, TradeStatus
from trading.domain.units import ZERO
from trading.engine.engine import Engine
from trading.engine.latency import cancel_of
from trading.stores.transition import Transition

ROUNDING = Decimal("1E-12")  # of one rounding; a fee is rounded at every fill
Level = tuple[str, str, Side, Decimal]  # portfolio, instrument, side of the book, price


@dataclass
class Sums:
    """What one trade has paid and received so far."""

    cash: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    roundings: int = 0
    fills: int = 0
    positions: dict[Leg, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


class Ledger:
    """The audit of all portfolios. `engine` is the one that is alive, `event` the one it is taking in."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.event: MarketEvent | None = None
        self.trades: dict[str, Trade] = {}  # newest version of each trade that was ever written
        self.sums: dict[str, Sums] = defaultdict(Sums)
        self.results: dict[str, str] = {}  # order id -> trade id
        self.paid: set[tuple[str, Leg, int]] = set()
        self.fills: list[tuple[str, Order, Decimal]] = []  # of the event: portfolio, order, quantity
        self.closed_now: list[Trade] = []
        self.transitions = 0
        self.ended_before: set[str] = set()  # orders that had ended when the engine began that is alive
        self._taken: dict[Level, Decimal] = defaultdict(Decimal)
        self._shown: dict[Level, Decimal] = {}  # what the level was when something was taken of it last

    def feed(self, event: MarketEvent) -> None:
        """An event that the engine is about to take in: which levels are fresh again."""
        self.event, self.fills = event, []
        if self.engine is None or isinstance(event, Print):
            return
        self._taken = defaultdict(
            Decimal, {level: taken for level, taken in self._taken.items() if not self._is_fresh(level, event)}
        )

    def begin(self) -> None:
        """A new engine begins with empty books, and knows what was answered to the one before."""
        self._taken.clear()
        orders = (order for trade in self.trades.values() for order in trade.all_orders)
        self.ended_before = {order.id for order in orders if not order.is_pending}

    def written(self, prefix: str, transition: Transition) -> None:
        """One transition was written. Raises AssertionError where it does not follow from what was before."""
        self.transitions += 1
        if not transition.trades:
            assert transition.state is None, "the state changed without a trade"
            return  # shadows that were watched to their end
        (trade,) = transition.trades
        before = self.trades.get(trade.id)
        assert trade.portfolio == prefix
        assert trade.version == (before.version + 1 if before else 1)
        assert before is None or before.status is not TradeStatus.CLOSED, "a closed trade changed"
        if before and before.status is not trade.status:
            assert (before.status, trade.status) in MOVES
        self._payments(trade, transition)  # of settlements before the fills of this step
        self._orders(prefix, before, trade)
        self._sent(before, trade)
        self._hedged(before, trade)
        self._results(before, trade, transition)
        self.trades[trade.id] = trade
        if trade.status is TradeStatus.CLOSED:
            self._closed(trade)

    def _orders(self, prefix: str, before: Trade | None, trade: Trade) -> None:
        known = {order.id: order for order in before.all_orders} if before else {}
        assert set(known) <= {order.id for order in trade.all_orders}, "an order was forgotten"
        for order in trade.all_orders:
            earlier = known.get(order.id)
            filled_before = earlier.filled_quantity if earlier else ZERO
            if earlier is not None and not earlier.is_pending:
                assert order == earlier, "an ended order changed"
            assert filled_before <= order.filled_quantity <= order.quantity
            if order.filled_quantity > filled_before:
                paid = -order.side.sign * (order.cash - (earlier.cash if earlier else ZERO))
                self._fill(prefix, trade, order, order.filled_quantity - filled_before, paid)

    def _sent(self, before: Trade | None, trade: Trade) -> None:
        """Orders are multiples of their venue's lot step, and sent when the cancels that led to them are answered."""
        assert self.engine is not None
        known = {order.id for order in before.orders} if before else set()
        latency, markets = self.engine._latency, self.engine.markets
        for order in trade.all_orders:
            step = markets[order.instrument].instrument.lot_step
            assert not order.quantity % step, f"{order.quantity} is no multiple of {step}"
            assert not order.filled_quantity % step
        for order in (each for each in trade.orders if each.id not in known and each.role is not Role.ENTRY):
            for other in trade.all_orders:
                if other.status is not OrderStatus.CANCELLED or other.id in self.ended_before:
                    continue
                if order.role is Role.HEDGE or other.leg is order.leg and other.role is order.role:
                    way_us = latency.response_us(markets[other.instrument].venue, cancel_of(other.id))
                    never_sent = other.accepted_us is None and other.order_type is OrderType.MARKET
                    assert never_sent or order.created_us >= (other.ended_us or 0) + way_us, "nobody could know that"

    def _hedged(self, before: Trade | None, trade: Trade) -> None:
        """Ruling 11: what a leg-out lost, from the cash of its fills."""
        if trade.leg_out is None or before is not None and before.leg_out is not None:
            return
        lost = ZERO
        for order in trade.orders:
            if order.role is not Role.HEDGE or not order.filled_quantity:
                continue
            entry = trade.entry_order(order.leg)
            if order.side is entry.side:
                lost += order.leg.direction * (abs(order.cash) - entry.price * order.filled_quantity) + order.fee
                continue
            opening = [o for o in trade.all_orders if o.leg is order.leg and o.side is entry.side]
            price = abs(sum((o.cash for o in opening), ZERO)) / sum((o.filled_quantity for o in opening), ZERO)
            lost += order.leg.direction * (price * order.filled_quantity - abs(order.cash)) + order.fee
        assert trade.leg_out.hedge_loss is not None
        assert abs(lost - trade.leg_out.hedge_loss) <= ROUNDING * (len(trade.orders) + 1)

    def _fill(self, prefix: str, trade: Trade, order: Order, quantity: Decimal, paid: Decimal) -> None:
        assert self.engine is not None
        market = self.engine.markets[order.instrument]
        assert order.accepted_us is not None
        assert order.filled_us is not None
        assert order.accepted_us <= order.filled_us
        if order.liquidity is Liquidity.TAKER:
            cost = self._walked(prefix, order, quantity)
            rate = market.venue.taker_fee_rate
        else:
            assert order.accepted_us < order.filled_us, "a print at the instant of acceptance counted"
            assert isinstance(self.event, Print)
            assert self.event.instrument == order.instrument
            assert self.event.aggressor != order.side.value
            self.fills.append((prefix, order, quantity))
            cost, rate = order.price * quantity, market.venue.maker_fee_rate
        assert paid == cost, f"order {order.id}: {quantity} for {paid}, its levels make {cost}"
        sums = self.sums[trade.id]
        sums.cash -= order.side.sign * cost
        sums.fees += cost * rate
        sums.fills += 1
        sums.roundings += 1
        sums.positions[order.leg] += order.side.sign * quantity

    def _walked(self, prefix: str, order: Order, quantity: Decimal) -> Decimal:
        """What the quantity costs at the best levels that the portfolio has not taken yet; takes them."""
        assert self.engine is not None
        book = self.engine.markets[order.instrument].book
        side = Side.SELL if order.side is Side.BUY else Side.BUY
        missing, cost = quantity, ZERO
        for price, shown in tuple(book.levels(side)):
            beyond = price > order.price if order.side is Side.BUY else price < order.price
            if not missing or (order.order_type is OrderType.LIMIT and beyond):
                break
            level = (prefix, order.instrument, side, price)
            part = min(missing, max(ZERO, shown - self._taken[level]))
            if part:
                self._taken[level] += part
                self._shown[level] = shown
            missing, cost = missing - part, cost + part * price
        assert not missing, f"{quantity} of order {order.id} was filled, {missing} of it was not in the book"
        return cost

    def _is_fresh(self, level: Level, event: MarketEvent) -> bool:
        """Whether the event says something new of a level, so that what was taken of it is there again."""
        _, instrument, side, price = level
        if getattr(event, "instrument", None) != instrument:
            return False
        if isinstance(event, BookDiff):
            named = event.bids if side is Side.BUY else event.asks
            return any(Decimal(text) == price for text, _ in named)
        if isinstance(event, TopOfBook):
            best = Decimal(event.bid if side is Side.BUY else event.ask)
            quantity = Decimal(event.bid_quantity if side is Side.BUY else event.ask_quantity)
            beyond = price > best if side is Side.BUY else price < best
            return beyond or (price == best and quantity != self._shown[level])
        return isinstance(event, BookSnapshot | FeedGap)

    def _results(self, before: Trade | None, trade: Trade, transition: Transition) -> None:
        """Each order that ended or was filled has a result in the same step, and no other order has one."""
        untouched = (ZERO, OrderStatus.PENDING)
        known = {order.id: (order.filled_quantity, order.status) for order in before.all_orders} if before else {}
        moved = [o for o in trade.all_orders if (o.filled_quantity, o.status) != known.get(o.id, untouched)]
        assert [result.order_id for result in transition.results] == [order.id for order in moved]
        assert [result.result_id for result in transition.results] == [each.result_id for each in transition.metrics]
        for order, result in zip(moved, transition.results, strict=True):
            assert result.filled_quantity == order.filled_quantity
            assert self.results.setdefault(order.id, trade.id) == trade.id

    def _payments(self, trade: Trade, transition: Transition) -> None:
        for paid in transition.funding:
            key = (trade.id, paid.leg, paid.settled_us)
            assert key not in self.paid, "a settlement was paid twice"
            self.paid.add(key)
            sums = self.sums[trade.id]
            assert paid.quantity == sums.positions[paid.leg]
            cash = -paid.quantity * paid.mark_price * paid.rate
            assert abs(cash - paid.cash) <= ROUNDING
            sums.funding += cash
            sums.roundings += 2

    def _closed(self, trade: Trade) -> None:
        """Ruling 15, from this ledger's own sums and from the trade's own terms."""
        sums = self.sums[trade.id]
        assert not any(order.is_pending for order in trade.all_orders)
        assert not any(sums.positions.values()), f"trade {trade.id} was closed and holds {dict(sums.positions)}"
        assert trade.actual_profit_usd is not None
        net = sums.cash + sums.funding - sums.fees
        assert abs(net - trade.actual_profit_usd) <= ROUNDING * (sums.roundings + 1)
        terms = terms_of(trade)
        assert terms.net == trade.actual_profit_usd
        assert abs(terms.residual) <= residual_tolerance(trade)
        assert (trade.exit_us or 0) >= trade.entry_us
        self.closed_now.append(trade)
