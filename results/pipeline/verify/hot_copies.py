"""The newest copies of rows that Redis still has, in its records or in its stream."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import cast

from redis import Redis

from results.domain.canonical import HASH_COLUMN, sealed
from results.pipeline.canonical_rows import Row
from results.pipeline.verify.hot_rows import HASH_KEYS, hashes_of, portfolio_prefixes, stream_rows
from results.stores.schema import Table
from trading.stores import keys
from trading.stores.errors import WireError
from trading.stores.hashes import row_of_hash
from trading.stores.rows import PAPER_TRADE, trade_row
from trading.stores.wire import decode_trade
from trading.stores.wire.trade import FOREIGN


def hot_copies(client: Redis, table: Table, row_ids: Sequence[str]) -> dict[str, Row]:
    """By key the copy with the highest version, with the hash that it keeps; one that cannot be read is left out.

    Raises redis.RedisError.
    """
    if not row_ids:
        return {}
    found = _hashes(client, table, row_ids) if table.name in HASH_KEYS else {}
    if table.name == PAPER_TRADE:
        found = _trades(client, table, row_ids)
    wanted = set(row_ids)
    for of_table, row in stream_rows(client, {table.name}):
        key = str(row[of_table.key])
        if key in wanted and (key not in found or found[key]["version"] < row["version"]):
            found[key] = row
    return found


def _hashes(client: Redis, table: Table, row_ids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    names = [HASH_KEYS[table.name](row_id) for row_id in row_ids]
    for row_id, name, fields in zip(row_ids, names, hashes_of(client, names), strict=True):
        if b"version" in fields:
            with contextlib.suppress(WireError, ValueError):
                found[row_id] = {**row_of_hash(table, name, row_id, fields), HASH_COLUMN: int(fields[b"row_hash"])}
    return found


def _trades(client: Redis, table: Table, row_ids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for prefix in portfolio_prefixes(client):
        place = keys.PortfolioKeys(prefix)
        for key_of in (place.active_trade, place.closed_trade):
            names = [key_of(row_id) for row_id in row_ids]
            raws = cast("list[bytes | None]", client.mget(names))
            for row_id, name, raw in zip(row_ids, names, raws, strict=True):
                if raw is not None:
                    with contextlib.suppress(WireError, ValueError):
                        trade = decode_trade(raw, name, prefix)
                        if trade.origin != FOREIGN:
                            found[row_id] = sealed(table.columns, trade_row(trade))
    return found
