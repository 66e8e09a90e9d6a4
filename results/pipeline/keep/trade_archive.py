"""Closed trades leave Redis by age, if somebody asked for that, once every durable store has them. Source: ruling 28.

A trade stays while the portfolio's state lists it, while the monitor has yet to make the figures of its day from the
records, while it has not been reconciled, while its record has fields that
another program added, and while its row is not the same in every store. Its page and the admin show it from the Django
tables; its orders, which are in no table of their own, are there as results, fills and evidence.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from redis import Redis

from results.domain.canonical import HASH_COLUMN, row_hash
from results.pipeline.durable_rows import BY_TRADE, DurableRows, entered
from results.pipeline.keep.confirmed import Confirmed, ConfirmedRows
from results.pipeline.reconcile.reconciled import RECONCILIATION
from results.pipeline.verify.hot_rows import portfolio_prefixes
from results.stores.schema import TABLES
from trading.domain.trades import Trade
from trading.domain.units import day_of
from trading.stores import wire
from trading.stores.archive_store import ArchiveStore
from trading.stores.errors import WireError
from trading.stores.rows import PAPER_TRADE, trade_row

TRADES_PER_BATCH = 200
SECONDS_MAX = 0.5
MOVED = "moved meanwhile, or a backup runs"


class TradeArchive:
    """Moves closed trades of at least `age_us` out of Redis."""

    def __init__(self, client: Redis, confirmed: ConfirmedRows, durable: DurableRows, age_us: int) -> None:
        self._client = client
        self._confirmed = confirmed
        self._durable = durable
        self._age_us = age_us

    def once(self, at_us: int, seconds_max: float = SECONDS_MAX) -> tuple[int, dict[str, int]]:
        """Archive for about `seconds_max`: how many trades went, and how many stay by reason. May be killed anywhere.

        Raises PaperDeskError or django.db.DatabaseError when a store is away (nothing goes then); redis.RedisError.
        """
        deadline = time.monotonic() + seconds_max
        stay: Counter[str] = Counter()
        archived = 0
        for prefix in portfolio_prefixes(self._client):
            store, passed_over = ArchiveStore(self._client, prefix), 0
            while time.monotonic() < deadline:
                found = store.oldest(at_us - self._age_us, passed_over, TRADES_PER_BATCH)
                reasons = self._archive(store, found)
                archived += reasons.count("")
                stay.update(reason for reason in reasons if reason)
                passed_over += len(reasons) - reasons.count("")
                if len(found) < TRADES_PER_BATCH:
                    break
        return archived, dict(stay)

    def _archive(self, store: ArchiveStore, found: Sequence[tuple[str, int, bytes | None]]) -> list[str]:
        """Archive those that may go; for each why it stays, "" when it went."""
        listed = store.listed()
        trades: dict[str, Trade] = {}
        reasons: dict[str, str] = {}
        for trade_id, _, raw in found:
            if trade_id in listed:
                reasons[trade_id] = "listed in the portfolio's state"
            else:
                trade = _readable(raw, store.keys.closed_trade(trade_id), store.keys.prefix)
                if isinstance(trade, Trade):
                    trades[trade_id] = trade
                else:
                    reasons[trade_id] = trade
        rows = {trade_id: trade_row(trade) for trade_id, trade in trades.items()}
        known = (
            self._confirmed.rows(TABLES[PAPER_TRADE], {key: row["day"] for key, row in rows.items()}) if rows else {}
        )
        reconciled = {row[BY_TRADE] for row in self._durable.of_trades(RECONCILIATION, entered(trades.values()))}
        finished = store.finished_days(map(_exit_date, trades.values()))
        for trade_id, exit_us, raw in found:
            if trade_id not in trades or raw is None:
                continue
            if trade_id not in known or not _same(rows[trade_id], known[trade_id]):
                reasons[trade_id] = "not level in every store"
            elif _exit_date(trades[trade_id]) not in finished:
                reasons[trade_id] = "its day is not over for the monitor"
            elif trade_id not in reconciled:
                reasons[trade_id] = "not reconciled"
            else:
                reasons[trade_id] = "" if store.archive(trades[trade_id], exit_us, raw) else MOVED
        return [reasons[trade_id] for trade_id, _, _ in found]


def _exit_date(trade: Trade) -> str:
    return day_of(trade.exit_us or trade.entry_us).isoformat()


def _readable(raw: bytes | None, key: str, prefix: str) -> Trade | str:
    """The trade, or why its record has to stay as it is."""
    try:
        trade = None if raw is None else wire.decode_trade(raw, key, prefix)
    except WireError:
        trade = None
    if raw is None or trade is None:
        return "no record that can be read"
    ours = _names(msgspec.json.decode(wire.encode_trade(trade)))
    return trade if _names(msgspec.json.decode(raw)) <= ours else "fields that no store has"


def _names(value: Any, path: str = "") -> set[str]:
    """The names of all fields at every level; elements of a list count as one."""
    if isinstance(value, dict):
        return {path, *(name for key, each in value.items() for name in _names(each, f"{path}.{key}"))}
    if isinstance(value, list):
        return {path, *(name for each in value for name in _names(each, f"{path}[]"))}
    return {path}


def _same(row: dict[str, Any], known: Confirmed) -> bool:
    table = TABLES[PAPER_TRADE]
    stored = (known.row["version"], known.row[HASH_COLUMN])
    return (
        all(row[column.name] == known.row[column.name] for column in table.columns if column.name != HASH_COLUMN)
        and row_hash(table.columns, row) == known.row[HASH_COLUMN]
        and all(each == stored for each in known.stores.values())
    )
