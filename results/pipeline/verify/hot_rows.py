"""What is still hot in Redis, as canonical rows: result hashes, reconciliations, trades with their leg-outs, past days'
metrics, and whatever else the outbox stream still holds.

A hash keeps the hash of its row; the other records do not, their rows are computed. Some records do not keep their
version either (a leg-out, a past day, what another program set): they are compared at the log's. A portfolio's
snapshots and today's metrics have no record of the same instant, only their stream entries. Records of other programs
that no sweep has adopted, or that it has set aside, are counted and not compared. Source: rulings 19, 22, 27 and 28.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from redis import Redis

from results.domain.canonical import HASH_COLUMN, row_hash
from results.pipeline.batches import in_batches
from results.pipeline.canonical_rows import Row
from results.pipeline.entries import fault_of
from results.pipeline.verify.fingerprints import RowMark
from results.pipeline.verify.sources import Marks, Part
from results.stores.schema import TABLES, Table
from trading.domain.trades import Trade
from trading.stores import keys
from trading.stores.errors import WireError
from trading.stores.hashes import row_of_hash
from trading.stores.outbox import row_of_text
from trading.stores.rows import (
    DAILY_METRICS,
    LEG_OUT_EVENT,
    PAPER_TRADE,
    RESULT_METRICS,
    TRADE_RESULT,
    daily_row,
    leg_out_row,
    trade_row,
)
from trading.stores.wire import decode_daily, decode_trade
from trading.stores.wire.trade import FOREIGN

NAME = "redis"
KEYS_PER_READ = 500
ENTRIES_MAX = 20_000  # of the stream, the newest: half a minute of a busy desk, a second to hash
RECONCILIATION = "trade_reconciliation"

HASH_PATTERNS = {
    TRADE_RESULT: keys.RESULT_PATTERN,
    RESULT_METRICS: keys.RESULT_METRICS_PATTERN,
    RECONCILIATION: keys.RECONCILIATION_PATTERN,
}
HASH_KEYS = {
    TRADE_RESULT: keys.result,
    RESULT_METRICS: keys.result_metrics,
    RECONCILIATION: keys.reconciliation,
}
ALL = (*HASH_PATTERNS, PAPER_TRADE, LEG_OUT_EVENT, DAILY_METRICS)
Identity = tuple[str, datetime.date]


class HotSlice(msgspec.Struct, frozen=True):
    """Keys of some records, and which tables' rows they tell; `prefix` is that of their portfolio (None: hashes)."""

    keys: list[str]
    tables: frozenset[str]
    prefix: str | None

    def read(self, client: Redis) -> HotRows:
        """The rows that they tell now."""
        rows = HotRows(client)
        rows.read_slice(self)
        return rows


class HotRows:
    """Everything of Redis that should be in the log, read once. `unreadable` has a sentence for each key."""

    name = NAME

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._marks: dict[Identity, Marks] = {}
        self._unversioned: dict[Identity, dict[str, Row]] = {}
        self._entries: dict[Identity, Marks] = {}
        self._set_aside: frozenset[bytes] = frozenset()
        self.unreadable: list[str] = []
        self.foreign = 0

    def read(self, wanted: Iterable[str]) -> None:
        """Read the hot rows of the tables named."""
        names = set(wanted)
        for some in hot_slices(self._client, names):
            self.read_slice(some)
        self._read_stream(names)

    def read_slice(self, some: HotSlice) -> None:
        """Read these records."""
        self._set_aside = frozenset(cast("list[bytes]", self._client.hkeys(keys.SET_ASIDE)))
        if some.prefix is None:
            (name,) = some.tables
            self._read_hashes(some.keys, TABLES[name])
        elif some.tables == {DAILY_METRICS}:
            self._read_days(some.keys, some.prefix)
        else:
            self._read_trades(some.keys, some.prefix, some.tables)

    def parts(self) -> list[Part]:
        """The tables and days of the records that were read."""
        return [Part(TABLES[name], day) for name, day in sorted({*self._marks, *self._unversioned})]

    def keys(self, table: Table) -> set[str]:
        """The keys of the table's records that were read."""
        return {
            key
            for read in (self._marks, self._unversioned)
            for (name, _), of in read.items()
            if name == table.name
            for key in of
        }

    def stands_as_in(self, other: HotRows, table: str, key: str) -> bool:
        """Whether a record is the same in another reading."""
        return self._of_key(table, key) == other._of_key(table, key)

    def _of_key(self, table: str, key: str) -> list[Any]:
        read: list[tuple[Identity, Mapping[str, Any]]] = [*self._marks.items(), *self._unversioned.items()]
        return [of[key] for (name, _), of in read if name == table and key in of]

    def days(self, table: Table) -> set[datetime.date]:
        """The days of which there is something hot."""
        read = (*self._marks, *self._unversioned, *self._entries)
        return {day for name, day in read if name == table.name}

    def has(self, part: Part) -> bool:
        """Whether anything of the part's table and day is hot."""
        identity = (part.table.name, part.day)
        return any(identity in read for read in (self._marks, self._unversioned, self._entries))

    def marks(self, part: Part, log: Marks) -> Marks:
        """The marks of a part's records, by key; those without a version of their own are given the log's."""
        identity = (part.table.name, part.day)
        found = _of_part(part, self._marks.get(identity, {}))
        for key, row in _of_part(part, self._unversioned.get(identity, {})).items():
            if key in log:
                found[key] = _mark(part.table, _at_version(row, log[key].version))
            elif row.get("origin") != FOREIGN:  # what the sweep has yet to adopt is not lost
                found[key] = _mark(part.table, row)
        return found

    def stream_marks(self, part: Part) -> Marks:
        """The marks of the newest stream entries of a part's rows, by key."""
        return _of_part(part, self._entries.get((part.table.name, part.day), {}))

    def _read_hashes(self, batch: list[str], table: Table) -> None:
        for key, fields in zip(batch, hashes_of(self._client, batch), strict=True):
            if b"version" not in fields or key.encode() in self._set_aside:
                self.foreign += bool(fields)  # an empty one has just been removed
                continue
            with self._noting_unreadable():
                row = row_of_hash(table, key, keys.id_of(key), fields)
                self._note(_mark(table, row, int(fields.get(b"row_hash", b"0"))), table, row["day"])

    def _read_trades(self, batch: list[str], prefix: str, names: frozenset[str]) -> None:
        raws = cast("list[bytes | None]", self._client.mget(batch))
        for key, raw in zip(batch, raws, strict=True):
            if raw is None:
                continue  # it was closed in between
            with self._noting_unreadable():
                self._read_trade(key, prefix, decode_trade(raw, key, prefix), names)

    def _read_trade(self, key: str, prefix: str, trade: Trade, names: frozenset[str]) -> None:
        row = trade_row(trade)
        if trade.origin == FOREIGN:
            swept = key.encode() not in self._set_aside and self._client.hexists(keys.SWEPT, key)
            self.foreign += not swept
            if swept and PAPER_TRADE in names:
                self._hold(TABLES[PAPER_TRADE], {**row, "portfolio": prefix})
            return
        if PAPER_TRADE in names:
            self._note(_mark(TABLES[PAPER_TRADE], row), TABLES[PAPER_TRADE], row["day"])
        if trade.leg_out is not None and LEG_OUT_EVENT in names:
            self._hold(TABLES[LEG_OUT_EVENT], leg_out_row(trade, trade.leg_out))

    def _read_days(self, batch: list[str], prefix: str) -> None:
        raws = cast("list[bytes | None]", self._client.mget(batch))
        for key, raw in zip(batch, raws, strict=True):
            if raw is not None:
                with self._noting_unreadable():
                    self._hold(TABLES[DAILY_METRICS], daily_row(decode_daily(raw, key), prefix, 0))

    def _read_stream(self, names: set[str]) -> None:
        for table, row in stream_rows(self._client, names):
            marks = self._entries.setdefault((table.name, row["day"]), {})
            mark = _mark(table, row, row[HASH_COLUMN])
            if mark.key not in marks or marks[mark.key].version < mark.version:
                marks[mark.key] = mark

    def _note(self, mark: RowMark, table: Table, day: datetime.date) -> None:
        self._marks.setdefault((table.name, day), {})[mark.key] = mark

    def _hold(self, table: Table, row: Row) -> None:
        self._unversioned.setdefault((table.name, row["day"]), {})[str(row[table.key])] = row

    @contextlib.contextmanager
    def _noting_unreadable(self) -> Iterator[None]:
        try:
            yield
        except (WireError, ValueError) as error:
            self.unreadable.append(str(error))


def hot_slices(client: Redis, wanted: Collection[str] = ALL) -> Iterator[HotSlice]:
    """The records of these tables, KEYS_PER_READ at a time; each that stands from beginning to end is there."""

    def slices(pattern: str, kind: str, prefix: str | None, *names: str) -> Iterator[HotSlice]:
        tables = frozenset(names).intersection(wanted)
        if tables:
            for batch in in_batches(scanned(client, pattern, kind), KEYS_PER_READ):
                yield HotSlice(batch, tables, prefix)

    for name, pattern in HASH_PATTERNS.items():
        yield from slices(pattern, "hash", None, name)
    for prefix in portfolio_prefixes(client):
        place = keys.PortfolioKeys(prefix)
        for pattern in (place.active_pattern, place.closed_pattern):
            yield from slices(pattern, "string", prefix, PAPER_TRADE, LEG_OUT_EVENT)
        yield from slices(place.daily_of("*"), "string", prefix, DAILY_METRICS)


def hashes_of(client: Redis, names: Sequence[str]) -> list[dict[bytes, bytes]]:
    """The hashes at these keys, empty where there is none."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.hgetall(name)
    return cast("list[dict[bytes, bytes]]", pipeline.execute())


def stream_rows(client: Redis, names: set[str]) -> Iterator[tuple[Table, Row]]:
    """The rows of the newest ENTRIES_MAX stream entries that are rows of these tables, newest entry first."""
    last, left = "+", ENTRIES_MAX
    while left > 0:
        found: Any = client.xrevrange(keys.OUTBOX, last, "-", KEYS_PER_READ)
        for stream_id, fields in found:
            name = (fields or {}).get(b"table", b"").decode(errors="replace")
            if name in names and fault_of(fields, TABLES) is None:
                yield TABLES[name], row_of_text(TABLES[name].columns, fields[b"row"])
            last = f"({stream_id.decode()}"
        left -= KEYS_PER_READ
        if len(found) < KEYS_PER_READ:
            return


def _mark(table: Table, row: Row, stored: int | None = None) -> RowMark:
    hashed = row_hash(table.columns, row)
    return RowMark(str(row[table.key]), row["version"], hashed if stored is None else stored, hashed)


def _at_version(row: Row, version: int) -> Row:
    """The row at the log's version; a day's metrics are as of their version."""
    return {**row, "version": version, **({"updated_at": version} if "updated_at" in row else {})}


def _of_part(part: Part, found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key.startswith(part.prefix)}


def scanned(client: Redis, pattern: str, kind: str) -> Iterator[str]:
    """The keys of a pattern and type, each once."""
    seen: set[bytes] = set()
    for key in client.scan_iter(pattern, count=1_000, _type=kind):
        if key not in seen:
            seen.add(key)
            yield key.decode()


def portfolio_prefixes(client: Redis) -> list[str]:
    """The prefixes of all portfolios that the desk knows."""
    found = cast("list[bytes]", client.hkeys(keys.PORTFOLIOS))
    return sorted(prefix.decode() for prefix in found)
