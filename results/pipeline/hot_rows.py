"""What is still hot in Redis, as canonical rows: result hashes, reconciliations, open and closed trades.

A hash keeps the hash of its row; a trade's record does not, its row is computed. Records of other programs that no
sweep has adopted, or that it has set aside, are counted and not compared. Source: rulings 27 and 28.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from redis import Redis

from results.domain.canonical import row_hash
from results.pipeline.fingerprints import RowMark
from results.stores.schema import TABLES, Table
from trading.stores import keys
from trading.stores.errors import WireError
from trading.stores.hashes import row_of_hash
from trading.stores.rows import PAPER_TRADE, RESULT_METRICS, TRADE_RESULT, trade_row
from trading.stores.wire import decode_trade
from trading.stores.wire.trade import FOREIGN

NAME = "redis"
KEYS_PER_READ = 500
RECONCILIATION = "trade_reconciliation"

Marks = dict[str, RowMark]

HASH_PATTERNS = {
    TRADE_RESULT: keys.RESULT_PATTERN,
    RESULT_METRICS: keys.RESULT_METRICS_PATTERN,
    RECONCILIATION: keys.RECONCILIATION_PATTERN,
}


class HotRows:
    """Everything of Redis that should be in the log, read once. `unreadable` has a sentence for each key."""

    name = NAME

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._marks: dict[tuple[str, datetime.date], Marks] = {}
        self._set_aside: frozenset[bytes] = frozenset()
        self.unreadable: list[str] = []
        self.foreign = 0

    def read(self, wanted: Iterable[str]) -> None:
        """Read the hot rows of the tables named."""
        names = set(wanted)
        self._set_aside = frozenset(cast("list[bytes]", self._client.hkeys(keys.SET_ASIDE)))
        for table, pattern in HASH_PATTERNS.items():
            if table in names:
                self._read(pattern, "hash", self._read_hashes, TABLES[table])
        if PAPER_TRADE in names:
            for prefix in portfolio_prefixes(self._client):
                for pattern in (keys.PortfolioKeys(prefix).active_pattern, keys.PortfolioKeys(prefix).closed_pattern):
                    self._read(pattern, "string", self._read_trades, prefix)

    def days(self, table: Table) -> set[datetime.date]:
        """The days of which there is something hot."""
        return {day for name, day in self._marks if name == table.name}

    def marks(self, table: Table, day: datetime.date) -> Marks:
        """The marks of a day's hot rows, by key."""
        return self._marks.get((table.name, day), {})

    def _read(self, pattern: str, kind: str, read: Callable[[list[str], Any], None], about: Any) -> None:
        batch: list[str] = []
        for key in scanned(self._client, pattern, kind):
            batch.append(key)
            if len(batch) == KEYS_PER_READ:
                read(batch, about)
                batch = []
        if batch:
            read(batch, about)

    def _read_hashes(self, batch: list[str], table: Table) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for key in batch:
            pipeline.hgetall(key)
        answers = cast("list[dict[bytes, bytes]]", pipeline.execute())
        for key, fields in zip(batch, answers, strict=True):
            if b"version" not in fields or key.encode() in self._set_aside:
                self.foreign += bool(fields)  # an empty one has just been removed
                continue
            with self._noting_unreadable():
                row = row_of_hash(table, key, keys.id_of(key), fields)
                self._note(table, row, int(fields.get(b"row_hash", b"0")))

    def _read_trades(self, batch: list[str], prefix: str) -> None:
        raws = cast("list[bytes | None]", self._client.mget(batch))
        for key, raw in zip(batch, raws, strict=True):
            if raw is None:
                continue  # it was closed in between
            with self._noting_unreadable():
                trade = decode_trade(raw, key, prefix)
                if trade.origin == FOREIGN:
                    self.foreign += key.encode() in self._set_aside or not self._client.hexists(keys.SWEPT, key)
                else:
                    self._note(TABLES[PAPER_TRADE], trade_row(trade), None)

    def _note(self, table: Table, row: Mapping[str, Any], stored: int | None) -> None:
        hashed = row_hash(table.columns, row)
        mark = RowMark(str(row[table.key]), row["version"], hashed if stored is None else stored, hashed)
        self._marks.setdefault((table.name, row["day"]), {})[mark.key] = mark

    @contextlib.contextmanager
    def _noting_unreadable(self) -> Iterator[None]:
        try:
            yield
        except (WireError, ValueError) as error:
            self.unreadable.append(str(error))


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
