"""After a loss of history: what Redis still has, compared with the durable stores and brought up to them.

    a result hash that is older       gets the newest durable row
    a trade that says the same        gets the durable version
    anything else that is older, or missing: its portfolio stays held, until somebody accepts what Redis has

A trade's record has more in it than its durable row (orders, queue positions), and the portfolio's state was computed
from all of them; neither can be made again from rows. So no trade is changed: what the durable stores have stays there,
and is told. A portfolio of which nothing is older or missing goes on by itself. Source: ruling 29.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from typing import cast

import msgspec
from redis import Redis

from results.domain.canonical import HASH_COLUMN
from results.domain.errors import PaperDeskError
from results.pipeline.batches import in_batches
from results.pipeline.canonical_rows import Row
from results.pipeline.loss import Loss, Losses
from results.pipeline.newest import newest_rows
from results.pipeline.verify.hot_rows import HASH_PATTERNS, portfolio_prefixes, scanned
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import iso_of
from trading.stores import keys, wire
from trading.stores.errors import StepConflict, WireError
from trading.stores.floors import floors_of
from trading.stores.hashes import hash_of_row, is_ours, row_of_hash
from trading.stores.holds import Holds
from trading.stores.keys import PortfolioKeys
from trading.stores.outbox import Outbox
from trading.stores.rows import PAPER_TRADE, trade_row
from trading.stores.step import Step, StepRunner
from trading.stores.wire.trade import FOREIGN

KEYS_PER_SLICE = 2_000  # one look at the log for each
MOVES_MAX = 20  # of a trade that is being accepted: an engine that steps it writes a newer version with its next move
MISSING_MAX = 10_000  # of a portfolio; more are told as this many
UNCOMPARED = frozenset({"version", HASH_COLUMN})

Fields = dict[bytes, bytes]


class NotHeld(PaperDeskError):
    """A portfolio goes on already, or is not known."""


class Older(msgspec.Struct, frozen=True):
    """A trade in Redis that the durable stores know newer, with its record."""

    key: str
    raw: bytes
    trade: Trade
    durable: Row

    @property
    def says_the_same(self) -> bool:
        """Whether the newest durable version differs in nothing but its number."""
        row = trade_row(self.trade)
        return all(self.durable[name] == value for name, value in row.items() if name not in UNCOMPARED)


class Rebuild:
    """Goes once through the records after each loss, in as many turns as it takes."""

    def __init__(self, client: Redis, gate: Gate) -> None:
        self._client = client
        self._losses = Losses(client)
        self._hot = HotTrades(client, gate)
        self._hashes = HotHashes(client, gate)
        self._holds = Holds(client)
        self._settled = ""
        self._pass: tuple[str, Iterator[int]] | None = None

    def once(self, epoch: str, deadline: float) -> int:
        """Go on until `deadline` (monotonic), in an epoch of which the log has every entry; the records brought up.

        Raises RedisAway, WarehouseBusy, duckdb.Error.
        """
        if epoch == self._settled:
            return 0
        loss = self._losses.last()
        if loss is None or loss.epoch != epoch or loss.is_settled:
            self._settled = epoch
            return 0
        if self._pass is None or self._pass[0] != epoch:
            self._pass = (epoch, self._all(loss))
        rebuilt = 0
        try:
            for some in self._pass[1]:
                rebuilt += some
                if time.monotonic() > deadline:
                    return rebuilt
        except BaseException:
            self._pass = None  # from the beginning, next time: a second pass changes nothing
            raise
        self._losses.settle(loss)
        self._settled, self._pass = epoch, None
        return rebuilt

    def _all(self, loss: Loss) -> Iterator[int]:
        yield from self._hashes.brought_up()
        for prefix in sorted({*portfolio_prefixes(self._client), *self._holds.of_loss()}):
            behind = 0
            for batch in self._hot.older(prefix):
                same = [older for older in batch if older.says_the_same]
                yield sum(self._hot.restamp(older) for older in same)
                behind += len(batch) - len(same)
            open_ones, closed = self._hot.missing(prefix, loss)
            self._holds.set_loss(prefix, told(loss, prefix, behind, open_ones, closed))

    def accept(self, prefix: str) -> int:
        """Go on from what Redis has: trades that are older than their durable rows become their newest versions, and
        the portfolio is no longer held; how many trades. Raises NotHeld; as `once`; StepConflict when one moved."""
        held = self._holds.of_loss()
        if prefix not in held:
            others = ", ".join(sorted(held)) or "none"
            raise NotHeld(f"portfolio {prefix!r} is not held for a loss of Redis's history; held are: {others}")
        written = sum(self._hot.emit_anew(older) for batch in self._hot.older(prefix) for older in batch)
        self._holds.set_loss(prefix, None)
        return written


def told(loss: Loss, prefix: str, behind: int, open_ones: int, closed: int) -> str | None:
    """Why the portfolio stays held; None when there is no reason."""
    if not (behind or open_ones or closed):
        return None
    return (
        f"Redis lost its newest changes (noticed {iso_of(loss.began_us)}): {_counted(behind)} trades there are older "
        f"than in the durable stores, {_counted(open_ones)} open and {_counted(closed)} closed ones are missing; see "
        f"manage.py verify_stores, then go on from what Redis has with manage.py accept_loss {prefix}"
    )


def _counted(count: int) -> str:
    return f"more than {MISSING_MAX}" if count > MISSING_MAX else str(count)


class HotHashes:
    """Result hashes, metrics and reconciliations."""

    def __init__(self, client: Redis, gate: Gate) -> None:
        self._client = client
        self._gate = gate
        self._runner = StepRunner(client)

    def brought_up(self) -> Iterator[int]:
        """Slice by slice, how many hashes got the newest durable row. One that another program changed is left to the
        sweep."""
        for name, pattern in HASH_PATTERNS.items():
            for batch in in_batches(scanned(self._client, pattern, "hash"), KEYS_PER_SLICE):
                yield self._bring_up(TABLES[name], batch)

    def _bring_up(self, table: Table, batch: list[str]) -> int:
        reading = self._client.pipeline(transaction=False)
        for key in batch:
            reading.hgetall(key)
        found = dict(zip(batch, cast("list[Fields]", reading.execute()), strict=True))
        ours = {key: fields for key, fields in found.items() if _is_ours(table, key, fields)}
        with self._gate.read() as connection:
            newest = newest_rows(connection, {table.name: map(keys.id_of, ours)})[table.name]
        return sum(self._replace(table, key, fields, newest.get(keys.id_of(key))) for key, fields in ours.items())

    def _replace(self, table: Table, key: str, fields: Fields, durable: Row | None) -> bool:
        if durable is None or durable["version"] <= int(fields[b"version"]):
            return False
        texts = hash_of_row(table, durable)
        step = Step(f"rebuild:{uuid.uuid4()}").expect_hash(key, fields).hset(key, texts)
        gone = [column.name for column in table.columns if column.name.encode() in fields and column.name not in texts]
        return _ran(self._runner, step.hdel(key, *gone) if gone else step)


class HotTrades:
    """Trades that our engine wrote, open and closed."""

    def __init__(self, client: Redis, gate: Gate) -> None:
        self._client = client
        self._gate = gate
        self._runner = StepRunner(client)
        self._outbox = Outbox(TABLES)

    def older(self, prefix: str) -> Iterator[list[Older]]:
        """Slice by slice, those that the durable stores know newer."""
        place = PortfolioKeys(prefix)
        for pattern in (place.active_pattern, place.closed_pattern):
            for batch in in_batches(scanned(self._client, pattern, "string"), KEYS_PER_SLICE):
                yield self._compared(prefix, batch)

    def missing(self, prefix: str, loss: Loss) -> tuple[int, int]:
        """How many trades that the durable stores have are not in Redis: open ones, and those closed lately."""
        query = (
            "SELECT CAST(id AS VARCHAR), status FROM paper_trade WHERE portfolio = $1 AND origin <> $2 "
            "AND (status <> $3 OR CAST(split_part(stream_id, '-', 1) AS BIGINT) >= $4) LIMIT $5"
        )
        about = [prefix, FOREIGN, TradeStatus.CLOSED.value, loss.from_ms, MISSING_MAX + 1]
        with self._gate.read() as connection:
            found = connection.execute(query, about).fetchall()
        lost = [status for status, is_there in zip(found, self._are_there(prefix, found), strict=True) if not is_there]
        open_ones = sum(status != TradeStatus.CLOSED.value for _, status in lost)
        return open_ones, len(lost) - open_ones

    def restamp(self, older: Older) -> bool:
        """Give a trade the version that the durable stores know; false if it moved on meanwhile."""
        trade = msgspec.structs.replace(older.trade, version=older.durable["version"])
        step = Step(f"restamp:{uuid.uuid4()}").expect(older.key, older.raw)
        return _ran(self._runner, step.set(older.key, wire.encode_trade(trade, older.raw)))

    def emit_anew(self, older: Older) -> bool:
        """Make what Redis has of a trade its newest version everywhere; false if it moved on meanwhile, and is newer.

        Raises StepConflict for one that never stands still.
        """
        for moves in range(MOVES_MAX + 1):
            try:
                self._emit_anew(older)
                return True
            except StepConflict:
                if moves == MOVES_MAX:
                    raise
            still = self._compared(older.trade.portfolio, [older.key])
            if not still:
                break
            older = still[0]
        return False

    def _emit_anew(self, older: Older) -> None:
        floors = floors_of(self._client)
        version = floors.above(PAPER_TRADE, older.durable["version"] + 1)
        trade = msgspec.structs.replace(older.trade, version=version)
        row = {**trade_row(trade), "day": older.durable["day"]}
        step = floors.guard(Step(f"accept:{uuid.uuid4()}")).expect(older.key, older.raw)
        step.set(older.key, wire.encode_trade(trade, older.raw)).emit(self._outbox.entry(PAPER_TRADE, row))
        self._runner.run(step)

    def _compared(self, prefix: str, batch: list[str]) -> list[Older]:
        raws = cast("list[bytes | None]", self._client.mget(batch))
        trades: dict[str, tuple[str, bytes, Trade]] = {}
        for key, raw in zip(batch, raws, strict=True):
            trade = _decoded(raw, key, prefix)
            if raw is not None and trade is not None and trade.origin != FOREIGN:
                trades[trade.id] = (key, raw, trade)
        with self._gate.read() as connection:
            newest = newest_rows(connection, {PAPER_TRADE: trades})[PAPER_TRADE]
        return [
            Older(*trades[trade_id], row)
            for trade_id, row in newest.items()
            if trades[trade_id][2].version < row["version"]
        ]

    def _are_there(self, prefix: str, found: Iterable[tuple[str, str]]) -> list[bool]:
        place = PortfolioKeys(prefix)
        asking = self._client.pipeline(transaction=False)
        for trade_id, _ in found:
            asking.exists(place.active_trade(trade_id), place.closed_trade(trade_id))
        return [bool(count) for count in asking.execute()]


def _is_ours(table: Table, key: str, fields: Fields) -> bool:
    if b"version" not in fields or HASH_COLUMN.encode() not in fields:
        return False
    try:
        return is_ours(table, row_of_hash(table, key, keys.id_of(key), fields), fields)
    except WireError:
        return False


def _decoded(raw: bytes | None, key: str, prefix: str) -> Trade | None:
    try:
        return None if raw is None else wire.decode_trade(raw, key, prefix)
    except WireError:
        return None


def _ran(runner: StepRunner, step: Step) -> bool:
    try:
        runner.run(step)
    except StepConflict:
        return False
    return True
