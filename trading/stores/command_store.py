"""Commands to the engine: a stream that monitor, API and admin write and the engine reads. Source: ruling 17.

An exit command names a trade and expires; the engine ignores one that has, and one whose trade is not Active, so a
repeated command does no harm. A hold keeps a portfolio from opening trades for a reason, until one without a reason
comes. The engine keeps its position in Redis: a restart goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec
from redis import Redis

from trading.stores import keys
from trading.stores.connection import answering, raw_of

LENGTH_MAX = 10_000  # commands live 3 s: far more than a desk sends in that time
BATCH_MAX = 1_000
BEGINNING = "0-0"
EXIT, HOLD = "exit", "hold"
EXIT_LIFETIME_US = 3_000_000  # ruling 17


class Command(msgspec.Struct, frozen=True):
    """One command. `stream_id` is its place in the stream, `expires_us` the last instant at which it counts."""

    stream_id: str
    kind: str
    prefix: str
    trade_id: str
    reason: str
    expires_us: int


class CommandStore:
    """The commands of a desk."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def send_exit(self, prefix: str, trade_id: str, reason: str, expires_us: int) -> str:
        """Asks the engine to close a trade; returns the command's stream id. Raises RedisAway."""
        return self.send_exits(prefix, [(trade_id, reason)], expires_us)[0]

    def send_exits(self, prefix: str, exits: Iterable[tuple[str, str]], expires_us: int) -> list[str]:
        """Asks the engine to close trades, each (trade id, reason), in one round trip; returns the commands' stream
        ids. A market that moves has many trades reach their limits at once. Raises RedisAway."""
        writing = self._client.pipeline(transaction=False)
        for trade_id, reason in exits:
            entry = {"kind": EXIT, "prefix": prefix, "trade_id": trade_id, "reason": reason, "expires_us": expires_us}
            writing.xadd(keys.COMMANDS, cast(Any, entry), maxlen=LENGTH_MAX, approximate=True)
        with answering(f"exit commands for portfolio {prefix}"):
            return [cast(bytes, stream_id).decode() for stream_id in writing.execute()]

    def send_hold(self, prefix: str, reason: str | None) -> None:
        """Asks the engine to open no trades in a portfolio for this reason; None: to go on. Raises RedisAway."""
        entry = {"kind": HOLD, "prefix": prefix, "reason": reason or ""}
        with answering(f"a hold of portfolio {prefix}"):
            self._client.xadd(keys.COMMANDS, cast(Any, entry), maxlen=LENGTH_MAX, approximate=True)

    def read(self, shard: str) -> list[Command]:
        """The next commands that the shard has not acknowledged, oldest first, at most 1,000. Raises RedisAway."""
        with answering("reading commands"):
            position = raw_of(self._client, keys.commands_position(shard)) or BEGINNING.encode()
            entries = self._client.xrange(keys.COMMANDS, min=f"({position.decode()}", count=BATCH_MAX)
        return [_command(*cast(tuple[bytes, dict[bytes, bytes]], entry)) for entry in entries or ()]

    def acknowledge(self, shard: str, stream_id: str) -> None:
        """Marks everything up to this command as dealt with. Raises RedisAway."""
        with answering("acknowledging commands"):
            self._client.set(keys.commands_position(shard), stream_id)


def _command(stream_id: bytes, fields: Mapping[bytes, bytes]) -> Command:
    """The command of an entry; what it lacks is empty, and an expiry that is no number has passed."""
    texts = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    expires = texts.get("expires_us", "")
    return Command(
        stream_id=stream_id.decode(),
        kind=texts.get("kind", ""),
        prefix=texts.get("prefix", ""),
        trade_id=texts.get("trade_id", ""),
        reason=texts.get("reason", ""),
        expires_us=int(expires) if expires.isascii() and expires.isdigit() else 0,
    )
