"""The settlements of one instrument: at which instants, at which rate and mark price, and how that is known. Ruling 13.

An instant is known once somebody has named it: the venue before it (announced) or after it (settled), or an engine
that ran earlier (estimated). Between two known ones, and after the last, settlements follow each other by the interval
that belongs to the later or last of them; they are estimated with what was known last.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from decimal import Decimal

import msgspec

from trading.domain.funding import Basis
from trading.domain.spread import FundingTerm

KNOWN_MAX = 512  # instants: months of settlements every few hours; older ones follow by the interval
HOUR_US = 3_600_000_000
SWITCH_US = 60_000_000  # a venue may name the settlement after next this long before the next one has passed


class Funding(msgspec.Struct, frozen=True):
    """A funding settlement: the term, and the mark price at which it is paid."""

    term: FundingTerm
    mark_price: Decimal

    @property
    def at_us(self) -> int:
        """The instant of the settlement."""
        return self.term.next_settlement_us

    @property
    def interval_us(self) -> int:
        """The time between two settlements."""
        return max(self.term.interval_hours, 1) * HOUR_US


class Known(msgspec.Struct, frozen=True):
    """A settlement and how it is known. `told_us` is when it was first said to be the next one, so that there is none
    between the two, whatever the interval says."""

    funding: Funding
    basis: Basis
    told_us: int


class FundingTerms:
    """What is known of the settlements of one instrument, past and to come."""

    def __init__(self) -> None:
        self._known: dict[int, Known] = {}
        self._instants: list[int] = []

    def learn(self, funding: Funding, basis: Basis, told_us: int) -> bool:
        """Takes in a settlement; the last word counts, and what an announcement leaves out is called off.

        Returns whether the instant was not known before.
        """
        if basis is Basis.ANNOUNCED:
            self._forget_between(told_us + SWITCH_US, funding.at_us)
        before = self._known.get(funding.at_us)
        is_new = before is None
        self._known[funding.at_us] = Known(funding, basis, min(told_us, before.told_us if before else told_us))
        if is_new:
            insort(self._instants, funding.at_us)
            if len(self._instants) > KNOWN_MAX:
                del self._known[self._instants.pop(0)]
        return is_new

    def _forget_between(self, after_us: int, before_us: int) -> None:
        called_off = self._instants[bisect_right(self._instants, after_us) : bisect_left(self._instants, before_us)]
        for instant_us in called_off:
            self._instants.remove(instant_us)
            del self._known[instant_us]

    def at(self, instant_us: int) -> tuple[Funding, Basis]:
        """What is paid at an instant, and how that is known. Something must be known."""
        known = self._known.get(instant_us)
        if known is not None:
            return known.funding, known.basis
        before = bisect_right(self._instants, instant_us) - 1
        return self._known[self._instants[max(before, 0)]].funding, Basis.ESTIMATED

    def told_us(self, instant_us: int) -> int:
        """When a known instant was first said to be the next one."""
        return self._known[instant_us].told_us

    def between(self, after_us: int, until_us: int) -> list[int]:
        """The settlement instants of `after_us < instant <= until_us`, in their order; none while nothing is known."""
        found: list[int] = []
        index = bisect_right(self._instants, after_us)
        low_us = after_us
        while index < len(self._instants) and low_us < until_us:
            instant_us = self._instants[index]
            known = self._known[instant_us]
            skipped = range(instant_us - known.funding.interval_us, low_us, -known.funding.interval_us)
            found += [each for each in reversed(skipped) if each <= min(known.told_us, until_us)]
            found += [instant_us] if instant_us <= until_us else []
            low_us = instant_us
            index += 1
        if self._instants and low_us < until_us:
            last_us = self._instants[-1]
            step_us = self._known[last_us].funding.interval_us
            steps = max((low_us - last_us) // step_us, 0) + 1
            found += range(last_us + steps * step_us, until_us + 1, step_us)
        return found

    def next_us(self, after_us: int) -> int:
        """The next settlement after an instant. Something must be known."""
        index = bisect_left(self._instants, after_us + 1)
        if index < len(self._instants):
            return self._instants[index]
        last_us = self._instants[-1]
        step_us = self._known[last_us].funding.interval_us
        return last_us + ((after_us - last_us) // step_us + 1) * step_us
