"""How long an order takes to a venue, and its answer back, in microseconds. Source: rulings 4 and 10."""

from __future__ import annotations

from typing import Protocol

from trading.domain.instruments import Venue


class Latency(Protocol):
    """A model of the way to the venues. `order_id` lets a model draw the same value again in a replay."""

    def order_us(self, venue: Venue, order_id: str) -> int:
        """From sending an order or a cancel to its arrival."""

    def response_us(self, venue: Venue, order_id: str) -> int:
        """From what happens at the venue to the strategy's knowledge of it."""


class DeclaredLatency:
    """The venue's declared constants."""

    def order_us(self, venue: Venue, order_id: str) -> int:
        """The venue's `order_latency_us`."""
        return venue.order_latency_us

    def response_us(self, venue: Venue, order_id: str) -> int:
        """The venue's `response_latency_us`."""
        return venue.response_latency_us
