"""What a portfolio store holds of Redis: domain values with the raw strings that they came from or became."""

from __future__ import annotations

import msgspec

from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade


class HeldTrade(msgspec.Struct, frozen=True):
    """An open trade and its record."""

    raw: bytes
    trade: Trade


class Held(msgspec.Struct):
    """The state and the open trades of a portfolio, as of the last step."""

    state_raw: bytes | None = None
    state: PortfolioState | None = None
    trades: dict[str, HeldTrade] = msgspec.field(default_factory=dict)


class Surroundings(msgspec.Struct, frozen=True):
    """Records that a step rewrites but nobody holds between steps: the metrics' string, result hashes by key."""

    metrics_raw: bytes | None
    hashes: dict[str, dict[bytes, bytes]]


def differing(before: msgspec.Struct, after: msgspec.Struct) -> list[str]:
    """The names of the fields in which two values of one type differ."""
    return [name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)]
