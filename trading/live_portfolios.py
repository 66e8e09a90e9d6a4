"""The portfolios as they stand now: what the engine registered and the monitor last measured, read from Redis.

The metrics are the documents' PortfolioMetrics object as it was written; one that stands in its list `undefined` is
null here (ruling 3).
"""

from __future__ import annotations

from typing import Any, cast

import orjson
from redis import Redis

from trading.stores import keys
from trading.stores.connection import answering, raws_of


def live_portfolios(client: Redis) -> list[dict[str, Any]]:
    """Every registered portfolio, by prefix: `prefix`, `name`, `starting_capital`, `started_us`, `metrics`, `trouble`.

    Metrics are null before the first tick, and when they cannot be read: then `trouble` says why. Raises RedisAway.
    """
    with answering("reading the portfolios"):
        registered = sorted(cast(dict[bytes, bytes], client.hgetall(keys.PORTFOLIOS)).items())
        places = [keys.PortfolioKeys(prefix.decode()) for prefix, _ in registered]
        measured = raws_of(client, [place.metrics for place in places])
    lines = []
    for place, (_, about), raw in zip(places, registered, measured, strict=True):
        metrics, trouble = _metrics(place.metrics, raw)
        lines.append({"prefix": place.prefix, **orjson.loads(about), "metrics": metrics, "trouble": trouble})
    return lines


def _metrics(key: str, raw: bytes | None) -> tuple[dict[str, Any] | None, str]:
    if raw is None:
        return None, f"{key} is empty: the monitor has not measured this portfolio yet"
    try:
        metrics = orjson.loads(raw)
        return {**metrics, **dict.fromkeys(metrics.get("undefined", ()))}, ""
    except (ValueError, TypeError, AttributeError):
        return None, f"{key} does not hold a JSON object"
