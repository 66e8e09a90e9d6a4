"""A portfolio as Redis has it at one moment, for the checker of invariants.

Its records change in atomic steps that all change the state or a trade; a view is taken between two reads of both that
found the same, so that nothing moved meanwhile. Closed trades never change and are read as they are found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec
from redis import Redis

from results.pipeline.verify.hot_rows import KEYS_PER_READ, scanned
from trading.domain.metrics import PortfolioMetrics
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import LegOut, Trade
from trading.stores.archive_store import Archived, decode_archived
from trading.stores.errors import WireError
from trading.stores.keys import PortfolioKeys
from trading.stores.wire import decode_leg_out, decode_metrics, decode_state, decode_trade

LOOKS_MAX = 20  # an engine that trades all the time still leaves milliseconds between two steps

Decoded = TypeVar("Decoded")


class PortfolioView(msgspec.Struct):
    """What was read. `open_trades` and `closed_trades` are by the id in their key; `unreadable` is by key."""

    keys: PortfolioKeys
    state: PortfolioState | None = None
    metrics: PortfolioMetrics | None = None
    open_trades: dict[str, Trade] = {}
    closed_trades: dict[str, Trade] = {}
    listed: set[str] = set()
    closed_index: dict[str, int] = {}
    archived: Archived = Archived()
    archived_ids: set[str] = set()
    leg_outs: list[tuple[str | None, LegOut]] = []
    unreadable: dict[str, str] = {}
    is_steady: bool = True


def view_of(client: Redis, prefix: str) -> PortfolioView:
    """The portfolio's view. `is_steady` is false when it kept moving through every look."""
    view = PortfolioView(PortfolioKeys(prefix))
    for _ in range(LOOKS_MAX):
        before = _moving_parts(client, view.keys)
        view = _read(client, PortfolioKeys(prefix))
        view.is_steady = _moving_parts(client, view.keys) == before
        if view.is_steady:
            break
    return view


def _moving_parts(client: Redis, of: PortfolioKeys) -> list[Any]:
    pipeline = client.pipeline()
    pipeline.get(of.state)
    pipeline.get(of.metrics)
    pipeline.smembers(of.active_trades)
    pipeline.zcard(of.closed_index)
    pipeline.llen(of.leg_out_events)
    pipeline.get(of.archived)
    return pipeline.execute()


def _read(client: Redis, of: PortfolioKeys) -> PortfolioView:
    pipeline = client.pipeline()
    pipeline.get(of.state)
    pipeline.get(of.metrics)
    pipeline.smembers(of.active_trades)
    pipeline.zrange(of.closed_index, 0, -1, withscores=True)
    pipeline.lrange(of.leg_out_events, 0, -1)
    pipeline.get(of.archived)
    pipeline.zrange(of.archived_index, 0, -1)
    state, metrics, listed, index, leg_outs, archived, archived_ids = pipeline.execute()
    view = PortfolioView(of)
    view.state = _decoded(view, of.state, state, decode_state)
    view.metrics = _decoded(view, of.metrics, metrics, decode_metrics)
    view.listed = {member.decode() for member in listed}
    view.closed_index = {member.decode(): int(score) for member, score in index}
    view.archived, view.archived_ids = decode_archived(archived), {member.decode() for member in archived_ids}
    for raw in leg_outs:
        found = _decoded(view, of.leg_out_events, raw, decode_leg_out)
        if found:
            view.leg_outs.append(found)
    view.open_trades = _trades(client, view, of.active_pattern)
    view.closed_trades = _trades(client, view, of.closed_pattern)
    return view


def _trades(client: Redis, view: PortfolioView, pattern: str) -> dict[str, Trade]:
    found: dict[str, Trade] = {}
    names = list(scanned(client, pattern, "string"))
    for start in range(0, len(names), KEYS_PER_READ):
        batch = names[start : start + KEYS_PER_READ]
        raws = cast("list[bytes | None]", client.mget(batch))
        for key, raw in zip(batch, raws, strict=True):
            trade = _decoded(view, key, raw, lambda raw, key: decode_trade(raw, key, view.keys.prefix))
            if trade:
                found[key.rpartition(":")[2]] = trade
    return found


def _decoded(
    view: PortfolioView, key: str, raw: bytes | None, decode: Callable[[bytes, str], Decoded]
) -> Decoded | None:
    if raw is None:
        return None
    try:
        return decode(raw, key)
    except WireError as error:
        view.unreadable[key] = str(error)
        return None
