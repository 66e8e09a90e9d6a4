"""A person's wish to have trades reconciled once more, and how far that is.

    {"by": "mara", "first": "2026-11-01", "last": "2026-11-20", "portfolios": ["strategy"], "of": 5000, "done": 1200, …}

One at a time: a wish stands in Redis until it is done, and then as what was done last, until the next one. The pages
only write and read it; the worker of the warehouse does it in turns, and notes after each batch how far it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from redis import Redis
from redis.client import Pipeline

from trading.stores import keys

UNREADABLE_NAMED_MAX = 10


class Place(msgspec.Struct, frozen=True):
    """How far a walk over the indexes of closed trades is: in which one, and after how many trades of which score."""

    index: int = 0
    score: int = 0
    skip: int = 0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The trades that were closed from `first` to `last`, UTC days, both included, in some portfolios; or `trades`
    alone, as pairs of id and portfolio. `of` is how many there were when it was asked for."""

    by: str
    at_us: int
    first: datetime.date | None = None
    last: datetime.date | None = None
    portfolios: tuple[str, ...] = ()
    trades: tuple[tuple[str, str], ...] = ()
    of: int = 0
    done: int = 0
    changed: int = 0
    unreadable: tuple[str, ...] = ()
    unreadable_count: int = 0
    place: Place = Place()
    ended_us: int | None = None


def indexes_of(portfolios: Sequence[str]) -> list[tuple[str, str]]:
    """Portfolio and key of each index of closed trades; of a portfolio first those in Redis, then those that left it:
    one that leaves meanwhile is met all the same."""
    places = [keys.PortfolioKeys(portfolio) for portfolio in portfolios]
    return [
        (portfolio, index)
        for portfolio, place in zip(portfolios, places, strict=True)
        for index in (place.closed_index, place.archived_index)
    ]


def count_closed(client: Redis, portfolios: Sequence[str], first_us: int, end_us: int) -> int:
    """How many trades were closed from `first_us` to before `end_us`. Raises redis.RedisError."""
    asking = client.pipeline(transaction=False)
    for _, index in indexes_of(portfolios):
        asking.zcount(index, first_us, end_us - 1)
    return sum(cast("list[int]", asking.execute()))


def asked_now(client: Redis) -> Asked | None:
    """What is under way or was done last. Raises redis.RedisError."""
    return _read(client.get(keys.RECONCILE_ASKED))


def ask(client: Redis, wanted: Asked) -> Asked:
    """Ask for it, unless something else is under way; what is under way then. Raises redis.RedisError."""

    def unless_under_way(pipeline: Pipeline) -> Asked:
        before = _read(pipeline.get(keys.RECONCILE_ASKED))
        pipeline.multi()
        if before is not None and before.ended_us is None:
            return before
        pipeline.set(keys.RECONCILE_ASKED, msgspec.json.encode(wanted))
        return wanted

    transaction = cast(Any, client.transaction)  # its stubs know of no value
    return cast(Asked, transaction(unless_under_way, keys.RECONCILE_ASKED, value_from_callable=True))


def note(client: Redis, asked: Asked) -> None:
    """Note how far it is; its worker alone does. Raises redis.RedisError."""
    client.set(keys.RECONCILE_ASKED, msgspec.json.encode(asked))


def _read(raw: object) -> Asked | None:
    return msgspec.json.decode(cast(bytes, raw), type=Asked) if raw else None
