"""The differing rows with their values: what each store has of a row, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from redis import Redis

from results.domain.canonical import HASH_COLUMN, row_hash
from results.pipeline.canonical_rows import Row
from results.pipeline.verify.comparison import LOG, Cell, Difference, Kind, cells_of
from results.pipeline.verify.hot_copies import hot_copies
from results.pipeline.verify.hot_rows import NAME as REDIS
from results.pipeline.verify.look import Keeper
from results.pipeline.verify.sources import DuckRows
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table

Copies = Mapping[str, Mapping[str, Row]]
HAVING_BOTH = frozenset({Kind.OLDER, Kind.NEWER, Kind.DIFFERENT, Kind.CORRUPT})


def copies_of(table: Table, keys: Sequence[str], gate: Gate, keepers: Sequence[Keeper], client: Redis) -> Copies:
    """The newest copy of each row by store and key: redis, duckdb, and the followers that answer. A copy has the hash
    that its store keeps. Raises WarehouseMissing, WarehouseBusy, redis.RedisError."""
    found: dict[str, Mapping[str, Row]] = {REDIS: hot_copies(client, table, keys)}
    for keeper in keepers:
        try:
            found[keeper.source.name] = keeper.source.rows(table, keys)
        except keeper.follower.failures:
            found[keeper.source.name] = {}
    with gate.read() as connection:
        found[LOG] = DuckRows(connection).rows(table, keys)
    return found


def is_sound(table: Table, row: Row | None) -> bool:
    """Whether the row is there and its hash is that of its values."""
    return row is not None and row_hash(table.columns, row) == row[HASH_COLUMN]


def detailed(
    differences: Sequence[Difference], gate: Gate, keepers: Sequence[Keeper], client: Redis
) -> list[Difference]:
    """The differences, with the columns in which the copies differ. Raises like `copies_of`."""
    wanted: dict[str, list[str]] = {}
    for each in differences:
        if each.kind in HAVING_BOTH:
            wanted.setdefault(each.table, []).append(each.key)
    copies = {name: copies_of(TABLES[name], sorted(set(keys)), gate, keepers, client) for name, keys in wanted.items()}
    return [_with_cells(each, copies[each.table]) if each.kind in HAVING_BOTH else each for each in differences]


def _with_cells(difference: Difference, copies: Copies) -> Difference:
    table, key = TABLES[difference.table], difference.key
    here = copies[difference.store].get(key)
    if here is None:
        return difference  # it was repaired meanwhile
    other = _other(table, key, difference.store, copies)
    if other is None:
        computed = Cell(HASH_COLUMN, str(here[HASH_COLUMN]), str(row_hash(table.columns, here)))
        return msgspec.structs.replace(difference, other="its values", cells=(computed,))
    cells = cells_of(table, here, copies[other][key])
    return msgspec.structs.replace(difference, other=other, cells=cells)


def _other(table: Table, key: str, store: str, copies: Copies) -> str | None:
    """The store whose copy tells what is wrong: the log's, unless it is the one that is corrupt."""
    for name in (LOG, REDIS, *copies):
        if name != store and is_sound(table, copies[name].get(key)):
            return name
    return None
