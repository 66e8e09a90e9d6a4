"""Single limit orders on our paper exchange and on hftbacktest's, at the same instants and prices of a recording.

Every three seconds a buy joins the best bid and a sell the best ask, for six seconds each, a lot of 0.001. Each order
has a portfolio of its own, so that no two share a print. No latency; the threshold is the whole depth (1.0). Orders are
sent half a millisecond after a whole one, so that no event comes at the same instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from tests.trading.engine.scene import D, MemoryCommands, MemoryQuotes, MemoryStore
from tests.trading.oracles.hftbacktest_exchange import Outcome, RiskAverseExchange, rows_of
from trading.domain.events import BookSnapshot, MarketEvent
from trading.domain.instruments import Instrument, Venue
from trading.domain.orders import Leg, Liquidity, Order, OrderType, Side
from trading.domain.strategy import Desk, Pair, Strategy
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS, ZERO
from trading.engine.clock import EventClock
from trading.engine.engine import Engine
from trading.engine.sending import entry_order

VENUE, ELSEWHERE, SYMBOL = "binanceusdm", "elsewhere", "BTCUSDT"
TICK, LOT = D("0.1"), D("0.001")
WARM_UP_US = 5 * MICROSECONDS
EVERY_US, LIFETIME_US = 3 * MICROSECONDS, 6 * MICROSECONDS
BETWEEN_US = 500
HOUR_MS = 3_600_000


class Attempt(NamedTuple):
    """An order that is sent at an instant; `number` names it on both sides."""

    number: int
    sent_us: int
    side: Side
    price: Decimal

    @property
    def until_us(self) -> int:
        """When its cancel is sent."""
        return self.sent_us + LIFETIME_US

    @property
    def leg(self) -> Leg:
        """Buys are long legs."""
        return Leg.LONG if self.side is Side.BUY else Leg.SHORT


def send_times(events: Sequence[MarketEvent]) -> list[int]:
    """When orders are sent: from five seconds after the snapshot to a lifetime before the end."""
    snapshot_us = next(event.event_us for event in events if isinstance(event, BookSnapshot))
    return list(range(snapshot_us + WARM_UP_US + BETWEEN_US, events[-1].event_us - LIFETIME_US, EVERY_US))


def _venue(name: str) -> Venue:
    return Venue(
        name=name,
        maker_fee_rate=ZERO,
        taker_fee_rate=ZERO,
        order_latency_us=0,
        response_latency_us=0,
        fill_threshold_fraction=D(1),
    )


def _desk(count: int) -> Desk:
    venues = (_venue(VENUE), _venue(ELSEWHERE))
    instruments = tuple(Instrument(each.name, SYMBOL, "BTC", "USDT", "linear_perpetual", TICK, LOT) for each in venues)
    pair = Pair(instruments[0].id, instruments[1].id)
    strategies = tuple(
        Strategy(
            prefix=f"p{number}",
            name="",
            pairs=(pair,),
            entry_threshold_bps=D(10_000),
            leg_out_ms=HOUR_MS,
            entry_timeout_seconds=D(86_400),
        )
        for number in range(count)
    )
    return Desk(venues, instruments, strategies)


class PaperSide:
    """Our engine on the recording."""

    def __init__(self, count: int) -> None:
        self.desk = _desk(count)
        self.stores = {each.prefix: MemoryStore() for each in self.desk.strategies}
        self.engine = Engine(self.desk, self.stores, MemoryQuotes(), MemoryCommands(), EventClock())
        self.book = self.engine.markets[f"{VENUE}:{SYMBOL}"].book
        self.trades: dict[int, str] = {}

    def send(self, attempt: Attempt) -> None:
        """Opens a trade of which only one leg is sent."""
        portfolio = self.engine.portfolios[f"p{attempt.number}"]
        legs = (VENUE, ELSEWHERE) if attempt.leg is Leg.LONG else (ELSEWHERE, VENUE)
        trade_id = f"trade {attempt.number}"
        orders = [
            entry_order(
                trade_id,
                leg,
                self.engine.markets[f"{venue}:{SYMBOL}"].instrument,
                OrderType.LIMIT,
                attempt.price,
                LOT,
                attempt.sent_us,
            )
            for leg, venue in zip(Leg, legs, strict=True)
        ]
        trade = Trade(
            id=trade_id,
            portfolio=portfolio.prefix,
            symbol=SYMBOL,
            long_exchange=legs[0],
            short_exchange=legs[1],
            entry_us=attempt.sent_us,
            entry_long_price=attempt.price,
            entry_short_price=attempt.price,
            entry_spread_bps=ZERO,
            position_size_usd=D(1),
            quantity=LOT,
            funding_delta_entry=ZERO,
            projected_profit_usd=ZERO,
            long_order=orders[0],
            short_order=orders[1],
        )
        assert portfolio.put(trade, attempt.sent_us)
        self.trades[attempt.number] = trade_id
        self.engine._exchange.send(portfolio, trade_id, trade.entry_order(attempt.leg), attempt.sent_us)
        self.engine.on_time(attempt.sent_us)

    def cancel(self, attempt: Attempt) -> None:
        """Cancels what is left of it."""
        order = self.order(attempt)
        if order.is_pending:
            portfolio = self.engine.portfolios[f"p{attempt.number}"]
            self.engine._exchange.cancel(portfolio, self.trades[attempt.number], order, attempt.until_us)
            self.engine.on_time(attempt.until_us)

    def order(self, attempt: Attempt) -> Order:
        """The order as it is stored."""
        store = self.stores[f"p{attempt.number}"]
        return (store.open | store.closed)[self.trades[attempt.number]].entry_order(attempt.leg)


def on_paper(events: Sequence[MarketEvent]) -> list[tuple[Attempt, Outcome]]:
    """Sends orders through the recording on our engine; what each came to."""
    due = [(at_us, side) for at_us in send_times(events) for side in Side]
    paper = PaperSide(len(due))
    paper.engine.start(events[0].event_us)
    attempts: list[Attempt] = []
    cancels: list[Attempt] = []
    for event in events:
        while due and due[0][0] < event.event_us:
            at_us, side = due.pop(0)
            paper.engine.on_time(at_us)
            price = paper.book.best_bid if side is Side.BUY else paper.book.best_ask
            assert price is not None and paper.book.state(at_us) == "ok"
            attempts.append(Attempt(len(attempts), at_us, side, price))
            paper.send(attempts[-1])
            cancels.append(attempts[-1])
        while cancels and cancels[0].until_us < event.event_us:
            paper.engine.on_time(cancels[0].until_us)
            paper.cancel(cancels.pop(0))
        paper.engine.on_event(event)
    found = []
    for attempt in attempts:
        order = paper.order(attempt)
        found.append((attempt, Outcome(order.filled_us, order.liquidity is Liquidity.MAKER)))
    return found


def on_hftbacktest(events: Sequence[MarketEvent], attempts: Sequence[Attempt]) -> list[Outcome]:
    """The same orders on hftbacktest; what each came to."""
    exchange = RiskAverseExchange(rows_of(events), float(TICK), float(LOT))
    moves = [(a.sent_us, True, a) for a in attempts] + [(a.until_us, False, a) for a in attempts]
    outcomes: dict[int, Outcome] = {}
    for at_us, is_sent, attempt in sorted(moves, key=lambda move: move[0]):
        exchange.run_until(at_us)
        if is_sent:
            exchange.submit(attempt.number, attempt.side, float(attempt.price), float(LOT))
        else:
            outcomes[attempt.number] = exchange.outcome(attempt.number)
            if outcomes[attempt.number].filled_us is None:
                exchange.cancel(attempt.number)
    exchange.close()
    return [outcomes[attempt.number] for attempt in attempts]
