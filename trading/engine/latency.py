"""How long an order takes to a venue, and its answer back, in microseconds. Source: rulings 4 and 10.

A venue declares a constant, or a median and a 99th percentile: then each way of each order is drawn from a log-normal
distribution. A draw depends on the seed, the venue, the way and the order's id alone, so that a replay, a restart and
another thread of events meet the same latencies. A cancel has draws of its own; the paper exchange sees to it that it
never arrives before its order.
"""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist
from typing import Protocol

from trading.domain.instruments import LATENCY_US_MAX, Venue

STANDARD = NormalDist()
Z99 = STANDARD.inv_cdf(0.99)
DRAWS = 1 << 64


class Latency(Protocol):
    """A model of the way to the venues. `order_id` lets a model draw the same value again in a replay."""

    def order_us(self, venue: Venue, order_id: str) -> int:
        """From sending an order or a cancel to its arrival."""

    def response_us(self, venue: Venue, order_id: str) -> int:
        """From what happens at the venue to the strategy's knowledge of it."""


class DeclaredLatency:
    """What the venues declare."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def order_us(self, venue: Venue, order_id: str) -> int:
        """The venue's `order_latency_us`, or a draw around it."""
        return self._latency_us(venue.order_latency_us, venue.order_latency_p99_us, f"{venue.name}:order:{order_id}")

    def response_us(self, venue: Venue, order_id: str) -> int:
        """The venue's `response_latency_us`, or a draw around it."""
        way = f"{venue.name}:response:{order_id}"
        return self._latency_us(venue.response_latency_us, venue.response_latency_p99_us, way)

    def _latency_us(self, median_us: int, p99_us: int, way: str) -> int:
        if not p99_us:
            return median_us
        drawn = hashlib.blake2b(f"{self._seed}:{way}".encode(), digest_size=8).digest()
        return lognormal_us(median_us, p99_us, (int.from_bytes(drawn) + 0.5) / DRAWS)


def lognormal_us(median_us: int, p99_us: int, probability: float) -> int:
    """The quantile of a log-normal distribution that is given by its median and 99th percentile; at most a minute."""
    sigma = math.log(p99_us / median_us) / Z99
    return min(LATENCY_US_MAX, round(median_us * math.exp(sigma * STANDARD.inv_cdf(probability))))


def cancel_of(order_id: str) -> str:
    """The name under which the ways of an order's cancel are drawn."""
    return f"{order_id} cancel"
