"""Measuring one ratio: ours and the bare operation in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import msgspec


class Ratio(msgspec.Struct, frozen=True):
    """A benchmark's outcome. Seconds are medians of one turn; the ratio is ours over bare, per turn."""

    name: str
    ours: str
    bare: str
    ours_seconds: float
    bare_seconds: float
    ratio: float
    ratio_min: float
    ratio_max: float
    turns: int


def compare(
    name: str, ours: tuple[str, Callable[[], object]], bare: tuple[str, Callable[[], object]], turns: int
) -> Ratio:
    """Runs both in turn after one uncounted run of each; (words, callable) pairs."""
    ours[1]()
    bare[1]()
    pairs = [(seconds_of(ours[1]), seconds_of(bare[1])) for _ in range(turns)]
    ratios = [mine / other for mine, other in pairs]
    return Ratio(
        name=name,
        ours=ours[0],
        bare=bare[0],
        ours_seconds=statistics.median(mine for mine, _ in pairs),
        bare_seconds=statistics.median(other for _, other in pairs),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        turns=turns,
    )


def seconds_of(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
