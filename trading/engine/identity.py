"""Ids of trades and orders: UUIDv5 of seed, portfolio and sequence, so that a replay makes the same ones.

The sequence is the portfolio state's version, which grows with every trade and is durable: it survives a restart
without a counter of its own. The portfolio's start is part of the name, so that one that begins anew (an emptied
Redis) never repeats an id that the durable stores still hold; and in a divided desk so is the engine shard, because two
of them may know the same version at once.
"""

from __future__ import annotations

import uuid

from trading.domain.orders import Leg, Role
from trading.domain.portfolio import PortfolioState
from trading.domain.shards import WHOLE, Shard
from trading.domain.trades import Trade

TRADE_NAMESPACE = uuid.UUID("8f0f4a57-3a86-5a5d-9d55-0c2b7c1d6a11")


def trade_id(seed: int, prefix: str, state: PortfolioState, shard: Shard = WHOLE) -> str:
    """The id of the trade that an engine shard opens next in the portfolio."""
    name = f"{seed}:{prefix}:{state.started_us}:{state.version + 1}"
    return str(uuid.uuid5(TRADE_NAMESPACE, name if shard.is_whole else f"{name}:{shard}"))


def entry_order_id(trade: str, leg: Leg) -> str:
    """The id of a trade's entry order."""
    return str(uuid.uuid5(TRADE_NAMESPACE, f"{trade}:{Role.ENTRY}:{leg}"))


def next_order_id(trade: Trade, leg: Leg, role: Role, offset: int = 0) -> str:
    """The id of the next order that a trade sends; `offset` counts orders sent in the same step."""
    number = len(trade.all_orders) + offset
    return str(uuid.uuid5(TRADE_NAMESPACE, f"{trade.id}:{role}:{leg}:{number}"))
