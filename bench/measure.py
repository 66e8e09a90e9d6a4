"""One measured ratio: ours and the bare operation in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

import msgspec

Action = Callable[[], object]
Clock = Callable[[], float]

BLOCKS = 10


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
    clock: Clock = time.perf_counter,
) -> Ratio:
    """Times both in turn after one uncounted run of each; (words, callable) pairs. `before_each` is not timed. Who
    comes first changes from turn to turn. What computes in this process alone may be timed by `time.process_time`:
    on an idle machine it is the same, on a busy one it leaves out the waiting."""
    pairs = []
    for turn in range(turns + 1):
        before_each()
        pairs.append(seconds_of_both(ours[1], bare[1], turn % 2 == 0, clock=clock))
    return ratio_of(name, ours[0], bare[0], pairs[1:], limit)


def medians_of(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The median of the first and that of the second of each pair."""
    return statistics.median(mine for mine, _ in pairs), statistics.median(other for _, other in pairs)


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
    ours_value, bare_value = medians_of(pairs)
    return Ratio(
        name=name,
        ours=ours,
        bare=bare,
        ours_value=ours_value,
        bare_value=bare_value,
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        turns=len(pairs),
        limit=limit,
        at_least=at_least,
        unit=unit,
    )


def ratio_of_medians(
    name: str, ours: str, bare: str, pairs: Sequence[tuple[float, float]], limit: float | None = None
) -> Ratio:
    """The same for many times of about a millisecond, of which one tells nothing: the ratio of the medians of all of
    them; least and most are those of `BLOCKS` parts of the run."""
    size = -(-len(pairs) // BLOCKS)
    parts = [medians_of(pairs[start : start + size]) for start in range(0, len(pairs), size)]
    ours_value, bare_value = medians_of(pairs)
    return msgspec.structs.replace(
        ratio_of(name, ours, bare, parts, limit),
        ours_value=ours_value,
        bare_value=bare_value,
        ratio=ours_value / bare_value,
        turns=len(pairs),
    )


def seconds_of_both(
    ours: Action, bare: Action, bare_first: bool, collect: bool = True, clock: Clock = time.perf_counter
) -> tuple[float, float]:
    """Seconds of ours and of the bare operation."""
    if bare_first:
        other = seconds_of(bare, collect, clock)
        return seconds_of(ours, collect, clock), other
    return seconds_of(ours, collect, clock), seconds_of(bare, collect, clock)


def seconds_of(action: Action, collect: bool = True, clock: Clock = time.perf_counter) -> float:
    """Seconds of one call, by the wall if not told otherwise. Earlier garbage is not counted, unless there is none to
    `collect`."""
    if collect:
        gc.collect()
    started = clock()
    action()
    return clock() - started
