"""What commands need to know of a feed by its name alone."""

from __future__ import annotations

from trading.config import Defaults

_DEFAULTS: dict[str, Defaults] = {"synthetic": "synthetic", "replay": "replay", "ccxt": "live"}


def kind_of(feed: str) -> str:
    """ "synthetic", "replay" or "ccxt" of a feed's name; whatever stands there for an unknown one."""
    return feed.partition(":")[0]


def defaults_of(feed: str) -> Defaults:
    """Which shipped settings suit a feed; the synthetic ones for an unknown one, which opening it will refuse."""
    return _DEFAULTS.get(kind_of(feed), "synthetic")
