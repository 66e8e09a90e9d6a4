"""Entry policies: which order each leg begins with, at which price, and which leg waits for the other. Pure.

    both_passive        both legs rest, each at the best price of its own side
    passive_then_take   the first leg rests; the other is a market order for what the first one fills
    both_take           both legs are market orders
Source: ruling 9. The signal is the same for all of them (ruling 6).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from trading.domain.orders import Leg, OrderType
from trading.domain.spread import spread_bps
from trading.domain.strategy import EntryPolicyName, FirstLeg
from trading.engine.markets import Market


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

    @property
    def wider_leg(self) -> Leg:
        """The leg whose venue has the wider spread between bid and ask, relative to its mid; the long one if equal."""
        long = (self.long_ask - self.long_bid) * (self.short_ask + self.short_bid)
        short = (self.short_ask - self.short_bid) * (self.long_ask + self.long_bid)
        return Leg.LONG if long >= short else Leg.SHORT


class EntryPlan(msgspec.Struct, frozen=True):
    """How one trade is entered. `resting` are the legs that begin with a limit order; `follower` is the leg that is
    sent when the other one fills, None if both are sent at once."""

    quotes: Quotes
    resting: frozenset[Leg]
    follower: Leg | None = None

    @property
    def first_legs(self) -> tuple[Leg, ...]:
        """The legs that are sent at once."""
        return tuple(leg for leg in Leg if leg is not self.follower)

    def order_type(self, leg: Leg) -> OrderType:
        """The type of a leg's entry order."""
        return OrderType.LIMIT if leg in self.resting else OrderType.MARKET

    def price(self, leg: Leg) -> Decimal:
        """What a leg asks for: the best price of its own side where it rests, else the price that it would take."""
        quotes, rests = self.quotes, leg in self.resting
        if leg is Leg.LONG:
            return quotes.long_bid if rests else quotes.long_ask
        return quotes.short_ask if rests else quotes.short_bid

    def fee_rate(self, leg: Leg, market: Market) -> Decimal:
        """The fee that a leg's entry is expected to pay."""
        return market.venue.maker_fee_rate if leg in self.resting else market.venue.taker_fee_rate


def _passive_then_take(quotes: Quotes, first: FirstLeg) -> EntryPlan:
    leg = quotes.wider_leg if first == "wider_spread" else Leg(first)
    return EntryPlan(quotes, frozenset({leg}), leg.other)


POLICIES: dict[EntryPolicyName, Callable[[Quotes, FirstLeg], EntryPlan]] = {
    "both_passive": lambda quotes, _first: EntryPlan(quotes, frozenset(Leg)),
    "passive_then_take": _passive_then_take,
    "both_take": lambda quotes, _first: EntryPlan(quotes, frozenset()),
}
