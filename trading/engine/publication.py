"""What the engine tells about the markets: quotes of what changed, and how the feed does. Source: ruling 5.

None of it is durable and none of it is a step: the next publication replaces it. When it happens is the caller's
choice (the runner: quotes every 100 ms, the feed's status every 250 ms).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from trading.domain.orders import Side
from trading.domain.shards import WHOLE, Shard
from trading.domain.units import MICROSECONDS
from trading.engine.markets import Market
from trading.stores.market_store import FeedStatus, LastFunding, MarketQuote

RATE_POINTS_MAX = 12  # at four a second: the rate of the last three seconds


class QuoteStore(Protocol):
    """Where quotes go; see `trading.stores.market_store`."""

    def publish(self, quotes: Mapping[str, MarketQuote]) -> None:
        """Replaces quotes."""

    def publish_feed(self, shard: Shard, status: FeedStatus) -> None:
        """Replaces the status of an engine shard's feed."""

    def last_funding(self) -> Mapping[str, LastFunding]:
        """The funding published last, by instrument."""


class Publication:
    """Publishes the markets of one engine."""

    def __init__(self, store: QuoteStore, markets: Collection[Market], shard: Shard = WHOLE) -> None:
        self._store = store
        self._shard = shard
        self._markets = markets  # grows when an instrument joins
        self._states: dict[str, str] = {}
        self._received_us = 0
        self._points: deque[tuple[int, int]] = deque(maxlen=RATE_POINTS_MAX)

    def last_funding(self) -> Mapping[str, LastFunding]:
        """The funding that was published last, by this engine or an earlier one, by instrument. Raises RedisAway."""
        return self._store.last_funding()

    def publish(self, now_us: int) -> int:
        """Publishes every instrument that changed or whose book came into another state; returns how many.

        Raises RedisAway; what was not published stays due.
        """
        quotes: dict[str, MarketQuote] = {}
        for market in self._markets:
            state = market.book.state(now_us)
            if market.changed or self._states.get(market.instrument.id) != state:
                quotes[market.instrument.id] = quote_of(market, state, now_us)
        self._store.publish(quotes)
        for market in self._markets:
            if market.instrument.id in quotes:
                market.changed = False
                self._states[market.instrument.id] = quotes[market.instrument.id].state
        return len(quotes)

    def publish_feed(
        self,
        name: str,
        event_us: int,
        now_us: int,
        messages: int,
        troubles: Mapping[str, str],
        feed_troubles: Sequence[str] = (),
    ) -> None:
        """Publishes the feed's newest event time, when it came, how many messages per second come, and why a
        portfolio (by prefix) does not trade, and what is wrong with the feed. Raises RedisAway."""
        if not self._points or self._points[-1][1] != messages:
            self._received_us = now_us
        self._points.append((now_us, messages))
        since_us, before = self._points[0]
        passed_us = now_us - since_us
        rate = (messages - before) * MICROSECONDS / passed_us if passed_us > 0 else 0.0
        status = FeedStatus(
            name=name,
            at_us=now_us,
            event_us=event_us,
            received_us=self._received_us,
            messages=messages,
            rate_per_second=round(rate, 1),
            instruments=len(self._markets),
            troubles=dict(troubles),
            feed_troubles=list(feed_troubles),
        )
        self._store.publish_feed(self._shard, status)


def quote_of(market: Market, state: str, now_us: int) -> MarketQuote:
    """The quote of an instrument; quantities are those at the best prices."""
    book, funding = market.book, market.funding
    bid, ask = book.best_bid, book.best_ask
    return MarketQuote(
        bid=bid,
        ask=ask,
        bid_quantity=None if bid is None else book.depth_at(Side.BUY, bid),
        ask_quantity=None if ask is None else book.depth_at(Side.SELL, ask),
        mark_price=funding.mark_price if funding else None,
        funding_rate=funding.term.rate if funding else None,
        funding_interval_h=funding.term.interval_hours if funding else None,
        next_settlement_us=funding.term.next_settlement_us if funding else None,
        funding_told_us=market.terms.told_us(funding.at_us) if funding else None,
        event_us=book.event_us,
        state=state,
        reason="" if state == "ok" else book.trouble(now_us),
    )
