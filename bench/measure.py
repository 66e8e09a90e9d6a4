"""One measured ratio: ours and the bare operation in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

import msgspec

Action = Callable[[], object]


class Ratio(msgspec.Struct, frozen=True):
    """A benchmark's outcome: ours over bare, the median of the turns' ratios; `ours_value` and `bare_value` are
    medians in `unit`. `limit` is the most that the ratio may be (with `at_least`: the least), None if none is set."""

    name: str
    ours: str
    bare: str
    ours_value: float
    bare_value: float
    ratio: float
    ratio_min: float
    ratio_max: float
    turns: int
    limit: float | None = None
    at_least: bool = False
    unit: str = "s"

    @property
    def verdict(self) -> str:
        """Whether the limit is kept, in a word."""
        if self.limit is None:
            return "no limit"
        return "kept" if (self.ratio >= self.limit if self.at_least else self.ratio <= self.limit) else "MISSED"


def compare(
    name: str,
    ours: tuple[str, Action],
    bare: tuple[str, Action],
    turns: int,
    limit: float | None = None,
    before_each: Action = lambda: None,
) -> Ratio:
    """Times both in turn after one uncounted run of each; (words, callable) pairs. `before_each` is not timed."""
    pairs = []
    for _ in range(turns + 1):
        before_each()
        pairs.append((seconds_of(ours[1]), seconds_of(bare[1])))
    return ratio_of(name, ours[0], bare[0], pairs[1:], limit)


def ratio_of(
    name: str,
    ours: str,
    bare: str,
    pairs: Sequence[tuple[float, float]],
    limit: float | None = None,
    at_least: bool = False,
    unit: str = "s",
) -> Ratio:
    """The ratio of (ours, bare) pairs that were measured one after the other."""
    ratios = [mine / other for mine, other in pairs]
    return Ratio(
        name=name,
        ours=ours,
        bare=bare,
        ours_value=statistics.median(mine for mine, _ in pairs),
        bare_value=statistics.median(other for _, other in pairs),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        turns=len(pairs),
        limit=limit,
        at_least=at_least,
        unit=unit,
    )


def seconds_of(action: Action) -> float:
    """Wall seconds of one call. Earlier garbage is not counted."""
    gc.collect()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
