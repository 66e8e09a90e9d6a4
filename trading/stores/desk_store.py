"""The settings that the engine runs on, published by it so that the monitor decides by the same ones.

One JSON object, the structs of `trading.domain.strategy`; decimals are strings.
"""

from __future__ import annotations

import msgspec
from redis import Redis

from trading.domain.errors import ConfigurationError
from trading.domain.strategy import Desk
from trading.stores import keys
from trading.stores.connection import answering, raw_of
from trading.stores.errors import WireError


class DeskStore:
    """The desk of one Redis. Parsed settings are kept as long as their raw string stays."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._known: tuple[bytes, Desk] | None = None

    def publish(self, desk: Desk) -> None:
        """Replaces the settings. Raises RedisAway."""
        with answering("publishing the desk's settings"):
            self._client.set(keys.DESK, msgspec.json.encode(desk))

    def read(self) -> Desk | None:
        """The settings, the same object while they stay; None before the first engine. Raises RedisAway, WireError."""
        with answering("reading the desk's settings"):
            raw = raw_of(self._client, keys.DESK)
        if raw is None:
            return None
        if self._known is None or self._known[0] != raw:
            try:
                self._known = (raw, msgspec.json.decode(raw, type=Desk))
            except (msgspec.DecodeError, ConfigurationError) as error:
                raise WireError(f"{keys.DESK}: {error}") from None
        return self._known[1]
