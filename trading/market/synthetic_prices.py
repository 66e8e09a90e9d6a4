"""What moves the prices of the synthetic market: a mid per symbol, and what each venue asks more or less for it.

Times are microseconds of the market's own clock. A value is asked for at instants that never go back; every draw
comes from the generator that is handed in, so the same seed gives the same path.
"""

from __future__ import annotations

import math
from random import Random

import msgspec

SECOND_US = 1_000_000
MID_VOLATILITY_BPS = 0.15  # per square root of a second
BURST_VOLATILITY_FACTOR = 3.0
NOISE_BPS = 0.5  # standard deviation of a venue's ordinary basis
NOISE_RETURN_SECONDS = 20.0
RAMP_US = 50_000


class Mid:
    """The price that all venues of a symbol share, a geometric random walk. Unit: quote per base."""

    def __init__(self, price: float) -> None:
        self._price = price
        self._at_us = 0
        self.burst_until_us = 0

    def at(self, time_us: int, random: Random) -> float:
        """The price at `time_us`."""
        seconds = (time_us - self._at_us) / SECOND_US
        if seconds > 0:
            volatility = MID_VOLATILITY_BPS * (BURST_VOLATILITY_FACTOR if time_us < self.burst_until_us else 1.0)
            self._price *= math.exp(volatility / 10_000 * math.sqrt(seconds) * random.gauss(0.0, 1.0))
            self._at_us = time_us
        return self._price


class Excursion(msgspec.Struct, frozen=True):
    """A venue becomes dear (positive) or cheap: it goes to `first_bps`, holds, may go on to `second_bps`, holds
    again, and returns with the time constant `return_us`."""

    start_us: int
    first_bps: float
    first_hold_us: int
    second_bps: float
    second_hold_us: int
    return_us: int

    @classmethod
    def drawn(cls, start_us: int, random: Random) -> Excursion:
        """One that is mostly worth more than a round trip's fees; one in five moves on against who entered."""
        sign = random.choice((-1.0, 1.0))
        first = random.uniform(20.0, 48.0)
        goes_on = random.random() < 0.2
        return cls(
            start_us=start_us,
            first_bps=sign * first,
            first_hold_us=int(random.uniform(3.0, 8.0) * SECOND_US),
            second_bps=sign * (first + (random.uniform(14.0, 30.0) if goes_on else 0.0)),
            second_hold_us=int(random.uniform(2.0, 4.0) * SECOND_US) if goes_on else 0,
            return_us=int(random.uniform(1.5, 4.0) * SECOND_US),
        )

    @property
    def return_start_us(self) -> int:
        """When it begins to return."""
        return self.start_us + self.first_hold_us + self.second_hold_us

    def bps_at(self, time_us: int) -> float:
        """How far the venue is away at an instant, in bps."""
        since_return_us = time_us - self.return_start_us
        if since_return_us >= 0:
            return self.second_bps * math.exp(-since_return_us / self.return_us)
        since_second_us = time_us - self.start_us - self.first_hold_us
        if since_second_us >= 0:
            return self.first_bps + (self.second_bps - self.first_bps) * min(1.0, since_second_us / RAMP_US)
        return self.first_bps * min(1.0, max(0, time_us - self.start_us) / RAMP_US)

    def is_over(self, time_us: int) -> bool:
        """Whether less than a hundredth of it is left."""
        return time_us > self.return_start_us + 5 * self.return_us


class Basis:
    """What a venue asks above the common mid, in bps: mean-reverting noise and the excursions that are under way."""

    def __init__(self, random: Random) -> None:
        self.excursions: list[Excursion] = []
        self._noise_bps = random.gauss(0.0, NOISE_BPS)
        self._at_us = 0

    def at(self, time_us: int, random: Random) -> float:
        """The basis at `time_us`."""
        seconds = (time_us - self._at_us) / SECOND_US
        if seconds > 0:
            kept = math.exp(-seconds / NOISE_RETURN_SECONDS)
            self._noise_bps = self._noise_bps * kept + random.gauss(0.0, NOISE_BPS * math.sqrt(1 - kept * kept))
            self._at_us = time_us
        if self.excursions:
            self.excursions = [excursion for excursion in self.excursions if not excursion.is_over(time_us)]
        return self._noise_bps + sum(excursion.bps_at(time_us) for excursion in self.excursions)


class Funding:
    """The funding rate of a perpetual per interval, mean-reverting around a level of its own."""

    def __init__(self, random: Random) -> None:
        self._level = random.gauss(0.00001, 0.00002)
        self._rate = self._level

    def next_rate(self, random: Random) -> str:
        """The rate of one step later, as the venue writes it: 8 decimals."""
        self._rate += 0.05 * (self._level - self._rate) + random.gauss(0.0, 0.000004)
        return f"{self._rate:.8f}"
