"""Closed trades that have left Redis, and what has to be known of them there. Source: rulings 18 and 28.

    {prefix}:trades:archived_index   sorted set: trade id by exit time in us, as `closed_index` has those that are there
    {prefix}:trades:archived         string, JSON: counts and sums of all of them, so that the portfolio's still add up

Both are written in the step that removes a record, which compares the record with what was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import cast

import msgspec
from redis import Redis

from trading.domain.trades import Trade
from trading.domain.units import ZERO
from trading.stores import keys, wire
from trading.stores.connection import raw_of, raws_of
from trading.stores.errors import StepConflict
from trading.stores.keys import PortfolioKeys
from trading.stores.step import Step, StepRunner


class Archived(msgspec.Struct, frozen=True):
    """Counts and sums (USD) over archived trades. `counted` had a fill; wins and losses are among those."""

    trades: int = 0
    counted: int = 0
    wins: int = 0
    losses: int = 0
    net_usd: Decimal = ZERO
    leg_outs: int = 0
    leg_out_loss_usd: Decimal = ZERO

    def and_of(self, trade: Trade) -> Archived:
        """With one more trade. Source: ruling 21."""
        is_counted = any(order.filled_quantity for order in trade.all_orders)
        net = (trade.actual_profit_usd or ZERO) if is_counted else ZERO
        return Archived(
            trades=self.trades + 1,
            counted=self.counted + is_counted,
            wins=self.wins + (net > 0),
            losses=self.losses + (net < 0),
            net_usd=self.net_usd + net,
            leg_outs=self.leg_outs + (trade.leg_out is not None),
            leg_out_loss_usd=self.leg_out_loss_usd + ((trade.leg_out and trade.leg_out.hedge_loss) or ZERO),
        )


class ArchiveStore:
    """The archive's side of one portfolio. All methods raise redis.RedisError."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self.keys = PortfolioKeys(prefix)
        self._client = client
        self._runner = StepRunner(client)

    def oldest(self, until_us: int, offset: int, limit: int) -> list[tuple[str, int, bytes | None]]:
        """Closed trades whose exit is not after `until_us`, oldest first: id, exit time, record."""
        found = cast(
            "list[tuple[bytes, float]]",
            self._client.zrangebyscore(self.keys.closed_index, "-inf", until_us, offset, limit, withscores=True),
        )
        ids = [trade_id.decode() for trade_id, _ in found]
        raws = raws_of(self._client, [self.keys.closed_trade(trade_id) for trade_id in ids])
        return [(trade_id, int(us), raw) for trade_id, (_, us), raw in zip(ids, found, raws, strict=True)]

    def listed(self) -> frozenset[str]:
        """The latest closed trades, which the portfolio's state names: their records stay. Raises WireError."""
        raw = raw_of(self._client, self.keys.state)
        return frozenset() if raw is None else frozenset(wire.decode_state(raw, self.keys.state).closed_trades)

    def finished_days(self, dates: Iterable[str]) -> set[str]:
        """Those of these UTC days, "YYYY-MM-DD", whose figures the monitor has made for good, from their trades."""
        asked = sorted(set(dates))
        pipeline = self._client.pipeline(transaction=False)
        for date in asked:
            pipeline.exists(self.keys.daily_of(date))
        return {date for date, exists in zip(asked, pipeline.execute(), strict=True) if exists}

    def archive(self, trade: Trade, exit_us: int, raw: bytes) -> bool:
        """Remove a record that still is what was read; false if it is not, or a backup runs."""
        before = raw_of(self._client, self.keys.archived)
        after = decode_archived(before).and_of(trade)
        step = Step(f"archive:{self.keys.prefix}:{trade.id}")
        step.expect(keys.lease(keys.BACKUP_LEASE), None).expect(self.keys.archived, before)
        step.expect(self.keys.closed_trade(trade.id), raw).delete(self.keys.closed_trade(trade.id))
        step.zrem(self.keys.closed_index, trade.id).zadd(self.keys.archived_index, trade.id, exit_us)
        step.set(self.keys.archived, msgspec.json.encode(after))
        try:
            self._runner.run(step)
        except StepConflict:
            return False
        return True


def decode_archived(raw: bytes | None) -> Archived:
    """The counts and sums of a portfolio of which `raw` is kept; None: nothing was archived."""
    return Archived() if raw is None else msgspec.json.decode(raw, type=Archived)
