"""Why portfolios may open no trades, kept where every engine finds it when it begins, and told to those that run.

paperdesk:holds        prefix -> trades of other programs break the conservation of capital (ruling 22)
paperdesk:holds:loss   prefix -> Redis lost its history, and what it has was not accepted yet (ruling 29)
"""

from __future__ import annotations

from typing import cast

from redis import Redis

from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.connection import answering


class Holds:
    """The holds of one desk."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._commands = CommandStore(client)

    def of_capital(self) -> dict[str, str]:
        """By prefix, why its capital keeps a portfolio from opening trades. Raises RedisAway."""
        return self._read(keys.HOLDS)

    def of_loss(self) -> dict[str, str]:
        """By prefix, why a loss of Redis's history keeps a portfolio from opening trades. Raises RedisAway."""
        return self._read(keys.LOSS_HOLDS)

    def reason(self, prefix: str) -> str | None:
        """Why the portfolio may open no trades; None: it may. Raises RedisAway."""
        return self.of_loss().get(prefix) or self.of_capital().get(prefix)

    def set_capital(self, prefix: str, reason: str | None) -> None:
        """Hold a portfolio for its capital, or no longer; the engine is told. Raises RedisAway."""
        self._set(keys.HOLDS, prefix, reason)

    def set_loss(self, prefix: str, reason: str | None) -> None:
        """Hold a portfolio for a loss of history, or no longer; the engine is told. Raises RedisAway."""
        self._set(keys.LOSS_HOLDS, prefix, reason)

    def _set(self, key: str, prefix: str, reason: str | None) -> None:
        with answering(f"a hold of portfolio {prefix}"):
            if reason is None:
                self._client.hdel(key, prefix)
            else:
                self._client.hset(key, prefix, reason)
            self._commands.send_hold(prefix, self.reason(prefix))

    def _read(self, key: str) -> dict[str, str]:
        with answering(f"reading {key}"):
            found = cast("dict[bytes, bytes]", self._client.hgetall(key))
        return {prefix.decode(): reason.decode() for prefix, reason in found.items()}
