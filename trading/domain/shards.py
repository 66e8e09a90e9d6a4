"""Which engine shard trades what: a desk may be divided among several engines, each with instruments of its own.

A shard `I/N` is the I-th of N, from 0 on; `0/1` is the undivided desk. What falls where is decided by base and quote
asset, which both legs of a pair share, so that no pair is ever cut in two; and by a hash of them alone, so that a new
instrument moves nobody else. All shards run all portfolios.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from trading.domain.errors import ConfigurationError
from trading.domain.instruments import Instrument
from trading.domain.strategy import Desk

SHARDS_MAX = 16  # one Redis and one portfolio state are shared: more engines would wait for each other
SHARD_PATTERN = re.compile(r"(\d{1,3})/(\d{1,3})", re.ASCII)
HASH_BYTES = 8


class Shard(msgspec.Struct, frozen=True):
    """One of the `count` parts of a desk."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether the desk is not divided."""
        return self.count == 1

    @property
    def rivals(self) -> list[Shard]:
        """The shards of all other divisions, none of which may run at the same time."""
        counts = [count for count in range(1, SHARDS_MAX + 1) if count != self.count]
        return [Shard(index, count) for count in counts for index in range(count)]

    def has(self, instrument: Instrument) -> bool:
        """Whether the instrument falls to this shard."""
        return self._is_hit_by(instrument.base_asset + instrument.quote_asset)

    def sees_through(self, instrument_id: str, symbol: str, desk: Desk) -> bool:
        """Whether this shard goes on with orders of the instrument. What the desk declares no longer goes by its
        symbol, which mostly is made of the same assets: somebody must have it."""
        instrument = desk.instrument(instrument_id)
        return self._is_hit_by(symbol) if instrument is None else self.has(instrument)

    def part_of(self, desk: Desk) -> Desk:
        """The venues and this shard's instruments, without strategies: what its feed delivers."""
        if self.is_whole:
            return desk
        instruments = tuple(instrument for instrument in desk.instruments if self.has(instrument))
        return msgspec.structs.replace(desk, instruments=instruments, strategies=())

    def _is_hit_by(self, name: str) -> bool:
        return self.is_whole or number_of(name) % self.count == self.index


WHOLE = Shard(0, 1)


def number_of(name: str) -> int:
    """A number that a text always has, on every machine. BTC, ETH, SOL, XRP and BNB against USDT fall to 1 0 1 0 0 of
    two shards and to 2 1 1 0 2 of three."""
    return int.from_bytes(hashlib.sha1(name.encode(), usedforsecurity=False).digest()[:HASH_BYTES])


def shard_of(text: str) -> Shard:
    """The shard that a text like "1/3" means. Raises ConfigurationError for one that is no part of a whole."""
    match = SHARD_PATTERN.fullmatch(text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not index < count <= SHARDS_MAX:
        raise ConfigurationError(
            f"shard {text!r} is no part of a whole: it is I/N, with N from 1 to {SHARDS_MAX} and I from 0 to N-1"
        )
    return Shard(index, count)
