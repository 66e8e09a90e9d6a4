"""After a conflict: was our step written after all, did another program only annotate our records, or change them?

A program that adds a field to a trade of ours changes its raw string and nothing that we rely on: its record is
taken as the new one to compare with, and its field stays. Anything else is StateMoved.
"""

from __future__ import annotations

import msgspec
from redis import Redis

from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade
from trading.stores import wire
from trading.stores.connection import answering, raw_of, raws_of
from trading.stores.errors import PortfolioMoved, StateMoved, WireError
from trading.stores.held import Held, HeldTrade, differing
from trading.stores.keys import PortfolioKeys
from trading.stores.transition import Transition

CHANGES_SHOWN_MAX = 300


def was_applied(client: Redis, of: PortfolioKeys, transition: Transition) -> bool:
    """Whether Redis holds what the transition writes: its reply was lost longer ago than operations are kept. A step
    that wrote its trades wrote its state too, which may have moved on since."""
    if transition.state is None and not transition.trades:
        return False
    with answering(f"reading after step {transition.operation_id}"):
        if transition.trades:
            return all(_stands(client, of, trade) for trade in transition.trades)
        raw = raw_of(client, of.state)
        return raw is not None and decoded_state(raw, of.state) == transition.state


def adopt_annotations(client: Redis, of: PortfolioKeys, held: Held, transition: Transition) -> None:
    """Replaces the raw strings in `held` that the transition compares by those in Redis, where both mean the same.

    Raises StateMoved naming the key and what differs, where they do not; PortfolioMoved if that is the state alone.
    """
    with answering(f"reading after step {transition.operation_id}"):
        for trade in transition.trades:
            _adopt_trade(client, of, held, trade.id)
        if transition.state is not None and held.state is not None:
            raw = present(raw_of(client, of.state), of.state)
            _require_same(of.state, held.state, decoded_state(raw, of.state), PortfolioMoved)
            held.state_raw = raw


def _adopt_trade(client: Redis, of: PortfolioKeys, held: Held, trade_id: str) -> None:
    active, closed = of.active_trade(trade_id), of.closed_trade(trade_id)
    known = held.trades.get(trade_id)
    if client.exists(closed):
        raise StateMoved(f"{closed} exists already")
    if known is None:
        if client.exists(active):
            raise StateMoved(f"{active} exists already")
        return
    raw = present(raws_of(client, [active])[0], active)
    _require_same(active, known.trade, _decoded(raw, active, of.prefix))
    held.trades[trade_id] = HeldTrade(raw, known.trade)


def _stands(client: Redis, of: PortfolioKeys, trade: Trade) -> bool:
    key = of.active_trade(trade.id) if trade.is_open else of.closed_trade(trade.id)
    raw = raws_of(client, [key])[0]
    return raw is not None and _decoded(raw, key, of.prefix) == trade


def decoded_state(raw: bytes, key: str) -> PortfolioState:
    """The state in a record. Raises StateMoved for what another program made unreadable."""
    try:
        return wire.decode_state(raw, key)
    except WireError as error:
        raise StateMoved(f"another program wrote {error}") from error


def _decoded(raw: bytes, key: str, portfolio: str) -> Trade:
    try:
        return wire.decode_trade(raw, key, portfolio)
    except WireError as error:
        raise StateMoved(f"another program wrote {error}") from error


def present(raw: bytes | None, key: str) -> bytes:
    """The record. Raises StateMoved if there is none any more."""
    if raw is None:
        raise StateMoved(f"{key} is gone")
    return raw


def _require_same(key: str, before: msgspec.Struct, now: msgspec.Struct, error: type[StateMoved] = StateMoved) -> None:
    names = differing(before, now)
    if names:
        changes = ", ".join(f"{name} was {getattr(before, name)!s}, is {getattr(now, name)!s}" for name in names)
        raise error(f"another program changed {key}: {changes[:CHANGES_SHOWN_MAX]}")
