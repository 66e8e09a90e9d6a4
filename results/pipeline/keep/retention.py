"""Retention: result hashes leave Redis once every durable store has them, and not before. Source: ruling 28.

A hash goes when its content has been the same for a day (a setting), or when there are more of its kind than the cap
allows, the oldest first. What is compared is all of it: every field with the newest version in the log, that version's
hash with the one in the Django tables and in ClickHouse, and its place in the log with what both have confirmed. The
script that removes it compares once more what was read, so that a change in between keeps it. A hash never carries a
TTL. Some stay for longer, and are looked at again later: one that is not level, that has fields which no store has, or
whose order's trade is open.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from redis import Redis

from results.domain.canonical import HASH_COLUMN
from results.pipeline.foreign.hashes import KEY_OF, is_uuid
from results.pipeline.keep.confirmed import Confirmed, ConfirmedRows
from results.pipeline.reconcile.reconciler import BREAKS_FIELD
from results.stores.schema import TABLES, Table
from trading.domain.units import MICROSECONDS
from trading.stores import keys
from trading.stores.errors import WireError
from trading.stores.hashes import row_of_hash
from trading.stores.keys import PortfolioKeys
from trading.stores.retain_store import HELD, REMOVED, Fate, HotHash, RetainStore
from trading.stores.rows import RESULT_METRICS, TRADE_RESULT
from trading.stores.wire.trade import ENGINE

HASHES_PER_BATCH = 2_000  # one question of some 50 ms to each store
SECONDS_MAX = 1.5
AGAIN_US = 600 * MICROSECONDS  # until one that could not go is looked at once more

Row = Mapping[str, Any]


class Limits(msgspec.Struct, frozen=True):
    """How long a hash stays after its last change, and how many of a kind may stay."""

    age_us: int
    hashes_max: int


class Retained(msgspec.Struct, frozen=True):
    """What one run did: hashes removed, and put off by reason; how many there are by kind. `held`: a backup runs."""

    at_us: int
    removed: int = 0
    put_off: dict[str, int] = {}
    hot: dict[str, int] = {}
    held: bool = False
    seconds: float = 0.0
    archived_trades: int = 0
    staying_trades: dict[str, int] = {}


class _Run:
    """One call of `Retention.once`."""

    def __init__(self, at_us: int) -> None:
        self.at_us = at_us
        self.removed = 0
        self.put_off: Counter[str] = Counter()
        self.held = False


class Retention:
    """Removes result hashes that are durable everywhere."""

    def __init__(self, client: Redis, confirmed: ConfirmedRows, limits: Limits) -> None:
        self._client = client
        self._confirmed = confirmed
        self._limits = limits
        self._store = RetainStore(client)

    def once(self, at_us: int, seconds_max: float = SECONDS_MAX) -> Retained:
        """Remove what may go, for about `seconds_max`. May be killed anywhere, and run twice at once.

        Raises PaperDeskError, duckdb.Error or django.db.DatabaseError when a store is away (nothing is removed then);
        redis.RedisError.
        """
        started = time.monotonic()
        run = _Run(at_us)
        for number, beginning in enumerate(KEY_OF, start=1):
            deadline = started + seconds_max * number / len(KEY_OF)
            while self._batch(run, beginning) and time.monotonic() < deadline:
                pass
        hot = self._store.counts(list(KEY_OF))
        seconds = round(time.monotonic() - started, 3)
        return Retained(at_us, run.removed, dict(run.put_off), hot, run.held, seconds)

    def _batch(self, run: _Run, beginning: str) -> bool:
        """Settle the oldest; whether there may be more."""
        if run.held:
            return False
        aged_us = run.at_us - self._limits.age_us
        over = self._store.counts([beginning])[beginning] - self._limits.hashes_max
        found = self._store.oldest(beginning, aged_us, over, HASHES_PER_BATCH)
        reasons = self._reasons(TABLES[KEY_OF[beginning][0]], found)
        fates = [Fate(hot) if not reasons[hot.key] else Fate(hot, _again(hot, run.at_us, aged_us)) for hot in found]
        answers = self._store.settle(fates)
        run.removed += answers.count(REMOVED)
        run.put_off.update(reason for reason in reasons.values() if reason)
        run.held = HELD in answers
        return len(found) == HASHES_PER_BATCH

    def _reasons(self, table: Table, found: Sequence[HotHash]) -> dict[bytes, str]:
        """By key, why it has to stay; "" for one that may go."""
        reasons: dict[bytes, str] = {}
        rows: dict[bytes, Row] = {}
        for hot in found:
            if not hot.fields:
                reasons[hot.key] = ""
            elif reason := unreadable(table, hot):
                reasons[hot.key] = reason
            else:
                rows[hot.key] = row_of_hash(table, hot.name, keys.id_of(hot.name), hot.fields)
        needed = self._needed(table, rows)
        reasons |= dict.fromkeys(needed, "in use")
        rows = {key: row for key, row in rows.items() if key not in needed}
        confirmed = (
            self._confirmed.rows(table, {str(row[table.key]): row["day"] for row in rows.values()}) if rows else {}
        )
        for hot in found:
            if hot.key in rows:
                known = confirmed.get(keys.id_of(hot.name))
                reasons[hot.key] = (
                    "" if known and same(table, hot, rows[hot.key], known) else "not level in every store"
                )
        return reasons

    def _needed(self, table: Table, rows: Mapping[bytes, Row]) -> set[bytes]:
        """The hashes that a writer of ours still goes by: results of open trades, metrics beside their result."""
        asked: dict[bytes, str] = {}
        for key, row in rows.items():
            if table.name == TRADE_RESULT and row["origin"] == ENGINE:
                asked[key] = PortfolioKeys(row["portfolio"]).active_trade(row["trade_id"])
            elif table.name == RESULT_METRICS:
                asked[key] = keys.result(row["result_id"])
        pipeline = self._client.pipeline(transaction=False)
        for name in asked.values():
            pipeline.exists(name)
        return {key for key, exists in zip(asked, pipeline.execute(), strict=True) if exists}


def _again(hot: HotHash, at_us: int, aged_us: int) -> int:
    """When one that has to stay is looked at again: in ten minutes if it is old enough, else as if it were new."""
    return aged_us + AGAIN_US if hot.time_us <= aged_us else at_us


def unreadable(table: Table, hot: HotHash) -> str:
    """Why the hash cannot be compared with a row at all; "" when it can."""
    known = {column.name.encode() for column in table.columns} | {BREAKS_FIELD.encode()}
    if not is_uuid(keys.id_of(hot.name)) or HASH_COLUMN.encode() not in hot.fields:
        return "not taken in yet"
    if not known.issuperset(hot.fields):
        return "fields that no store has"
    try:
        row_of_hash(table, hot.name, keys.id_of(hot.name), hot.fields)
    except WireError:
        return "not taken in yet"
    return ""


def same(table: Table, hot: HotHash, row: Row, known: Confirmed) -> bool:
    """Whether every field says what the newest durable version says, and every store has that version."""
    told = hot.fields.get(HASH_COLUMN.encode(), b"").decode(errors="replace")
    return (
        told == str(known.row[HASH_COLUMN])
        and all(row[column.name] == known.row[column.name] for column in table.columns if column.name != HASH_COLUMN)
        and all(store == (known.row["version"], known.row[HASH_COLUMN]) for store in known.stores.values())
    )
