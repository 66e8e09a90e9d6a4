"""How much a portfolio hangs on the share of the queue that has to trade before our turn.

At each threshold the entry orders that rested are judged by their shadow fills, and the trades of which both legs
rested are sorted: both legs fill within the leg-out time of each other (hedged), one does (legged out), none does.
`net_usd` is an estimate: each hedged and each legged-out trade at the mean net that such trades really made, an
unfilled one at 0. It is None where a class that occurs has no trade to take the mean of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from trading.domain.shadow import NAMES
from trading.domain.units import ZERO, round12

MICROSECONDS_PER_MS = 1_000


class RestedEntry(msgspec.Struct, frozen=True):
    """An entry order that rested, with the instants of its shadow fills in the order of `NAMES`."""

    trade_id: str
    accepted_us: int
    leg_out_ms: int
    filled_us: tuple[int | None, ...]


class Outcome(msgspec.Struct, frozen=True):
    """What a closed trade really came to."""

    net_usd: Decimal
    legged_out: bool


class AtThreshold(msgspec.Struct, frozen=True):
    """The portfolio at one threshold. Shares are ratios of the entry orders that rested."""

    name: str
    in_time_fraction: Decimal  # filled within the leg-out time of their acceptance
    filled_fraction: Decimal  # filled at all while they were watched
    hedged: int
    legged_out: int
    unfilled: int
    net_usd: Decimal | None


class Sensitivity(msgspec.Struct, frozen=True):
    """A portfolio at all thresholds. `net_usd` is what the closed ones of these trades really made."""

    orders: int
    trades: int
    trades_closed: int
    net_usd: Decimal
    thresholds: tuple[AtThreshold, ...]


def sensitivity(entries: Iterable[RestedEntry], outcomes: Mapping[str, Outcome]) -> Sensitivity | None:
    """The sensitivity of the trades of these entries, None without any; `outcomes` are of those that are closed."""
    orders = list(entries)
    legs: dict[str, list[RestedEntry]] = {}
    for entry in orders:
        legs.setdefault(entry.trade_id, []).append(entry)
    pairs = [pair for pair in legs.values() if len(pair) == 2]
    closed = [outcomes[pair[0].trade_id] for pair in pairs if pair[0].trade_id in outcomes]
    means = (_mean(closed, legged_out=False), _mean(closed, legged_out=True))
    if not orders:
        return None
    return Sensitivity(
        orders=len(orders),
        trades=len(pairs),
        trades_closed=len(closed),
        net_usd=sum((each.net_usd for each in closed), ZERO),
        thresholds=tuple(_at(number, orders, pairs, means) for number in range(len(NAMES))),
    )


def _at(
    number: int,
    orders: list[RestedEntry],
    pairs: list[list[RestedEntry]],
    means: tuple[Decimal | None, Decimal | None],
) -> AtThreshold:
    waits_us = [(filled - each.accepted_us, each) for each in orders if (filled := each.filled_us[number]) is not None]
    in_time = sum(wait_us <= each.leg_out_ms * MICROSECONDS_PER_MS for wait_us, each in waits_us)
    sorts = [_sort(number, pair) for pair in pairs]
    hedged, legged_out = sorts.count("hedged"), sorts.count("legged out")
    return AtThreshold(
        name=NAMES[number],
        in_time_fraction=round12(Decimal(in_time) / len(orders)),
        filled_fraction=round12(Decimal(len(waits_us)) / len(orders)),
        hedged=hedged,
        legged_out=legged_out,
        unfilled=sorts.count("unfilled"),
        net_usd=_estimate((hedged, legged_out), means),
    )


def _sort(number: int, pair: list[RestedEntry]) -> str:
    times = [entry.filled_us[number] for entry in pair]
    filled = [time_us for time_us in times if time_us is not None]
    if not filled:
        return "unfilled"
    patience_us = pair[0].leg_out_ms * MICROSECONDS_PER_MS
    return "hedged" if len(filled) == 2 and abs(filled[0] - filled[1]) <= patience_us else "legged out"


def _mean(closed: list[Outcome], legged_out: bool) -> Decimal | None:
    nets = [each.net_usd for each in closed if each.legged_out is legged_out]
    return round12(sum(nets, ZERO) / len(nets)) if nets else None


def _estimate(counts: tuple[int, int], means: tuple[Decimal | None, Decimal | None]) -> Decimal | None:
    total = ZERO
    for count, mean in zip(counts, means, strict=True):
        if count and mean is None:
            return None
        total += count * (mean or ZERO)
    return round12(total)
