"""The settings that the engine runs on, published by it so that the monitor decides by the same ones.

`paperdesk:desk` is one JSON object, the structs of `trading.domain.strategy`; decimals are strings.
`paperdesk:settings` is a hash: shard of the engine -> `InForce` as JSON, for people who changed something and look
whether it is in force.
"""

from __future__ import annotations

from typing import Any

import msgspec
from redis import Redis

from trading.domain.errors import ConfigurationError
from trading.domain.strategy import Desk
from trading.stores import keys
from trading.stores.connection import answering, raw_of
from trading.stores.errors import WireError


class VersionedDesk(msgspec.Struct, frozen=True):
    """A desk, the version of the settings that it is (0: they have none), and where it comes from: "" for the
    database, else the name of a file."""

    version: int
    desk: Desk
    source: str = ""


class InForce(msgspec.Struct, frozen=True):
    """What an engine runs on: a version, since when. `since_us` has the instant by key ("strategy strategy"),
    `waiting` sentences, by key, about what cannot be in force yet."""

    version: int
    source: str = ""
    at_us: int = 0
    since_us: dict[str, int] = {}
    waiting: dict[str, str] = {}


class DeskStore:
    """The desk of one Redis. Parsed settings are kept as long as their raw string stays."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._known: tuple[bytes, Desk] | None = None

    def publish(self, desk: Desk) -> None:
        """Replaces the settings, and gives each portfolio that exists its strategy's name. Raises RedisAway."""
        with answering("publishing the desk's settings"):
            self._client.set(keys.DESK, msgspec.json.encode(desk))
            known: Any = self._client.hgetall(keys.PORTFOLIOS)
            names = {each.prefix: each.name for each in desk.strategies}
            lines = {prefix.decode(): _renamed(raw, names.get(prefix.decode())) for prefix, raw in known.items()}
            changed = {prefix: line for prefix, line in lines.items() if line is not None}
            if changed:  # nobody else changes the line of a portfolio that exists
                self._client.hset(keys.PORTFOLIOS, mapping=changed)

    def publish_in_force(self, shard: str, in_force: InForce) -> None:
        """Replaces what a shard of the engine runs on. Raises RedisAway."""
        with answering("publishing which settings are in force"):
            self._client.hset(keys.SETTINGS_IN_FORCE, shard, msgspec.json.encode(in_force))

    def in_force(self) -> dict[str, InForce]:
        """What each shard runs on that runs now: an engine that does not hold its lease is left out.

        Raises RedisAway, WireError.
        """
        with answering("reading which settings are in force"):
            found: Any = self._client.hgetall(keys.SETTINGS_IN_FORCE)
            told = {shard.decode(): raw for shard, raw in found.items()}
            running = [shard for shard in told if self._client.exists(keys.lease(keys.engine_lease(shard)))]
        try:
            return {shard: msgspec.json.decode(told[shard], type=InForce) for shard in running}
        except msgspec.DecodeError as error:
            raise WireError(f"{keys.SETTINGS_IN_FORCE}: {error}") from None

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


def _renamed(raw: bytes, name: str | None) -> bytes | None:
    """The line of a portfolio with this name, the rest of it as it is; None where there is nothing to change."""
    try:
        line = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return None
    named = msgspec.json.encode(name)
    return (
        None if name is None or bytes(line.get("name", b"")) == named else msgspec.json.encode({**line, "name": name})
    )
