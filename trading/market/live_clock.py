"""A venue's clock against ours.

Event times are the exchange's (ruling 2), on the desk's clock. Where the two clocks agree within TOLERATED_US they are
taken as they are, at most now. Where they do not, the difference is measured by asking the exchange for its time, which
is known to half the round trip, and taken off: so a clock that is set wrong makes no book stale, and a feed that is
truly late is still seen to be late.
"""

from __future__ import annotations

TOLERATED_US = 250_000


class VenueClock:
    """What is known of one venue's clock. `offset_us` is what its times lack to be ours, 0 while they agree."""

    def __init__(self) -> None:
        self.offset_us = 0

    def learn(self, told_us: int, asked_us: int, answered_us: int) -> None:
        """The exchange told `told_us`, somewhere between our `asked_us` and `answered_us`."""
        half_way_us = (answered_us - asked_us) // 2
        offset_us = asked_us + half_way_us - told_us
        self.offset_us = offset_us if abs(offset_us) > half_way_us + TOLERATED_US else 0

    def event_us(self, stamp_ms: float | None, now_us: int) -> int:
        """The exchange's time of something on our clock, at most now; now where it told none."""
        return min(int(stamp_ms * 1_000) + self.offset_us, now_us) if stamp_ms else now_us

    def sentence(self) -> str | None:
        """What is wrong with the clock, None if nothing is."""
        if not self.offset_us:
            return None
        direction = "behind" if self.offset_us > 0 else "ahead of"
        return (
            f"its clock is {abs(self.offset_us) / 1_000_000:.1f} s {direction} ours; event times are corrected by that"
        )
