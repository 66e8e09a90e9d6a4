"""The follower of the outbox stream that reconciles each trade of ours once it is closed.

For a `paper_trade` entry with status Closed (and for a corrected result of such a trade) it compares the trade with
its results, and writes the hash `reconciliation:{trade_id}` and the rows of `trade_reconciliation` and
`trade_reconciliation_break` in one step. Invariants: a second pass over the same facts writes nothing; a changed
outcome is a new version of the reconciliation, and of every break that stands; a reconciliation that another program
wrote is left alone. One whose hash has left Redis goes on from its durable row, and so does a trade that was archived.
Source: rulings 25, 27 and 28.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
from redis import Redis

from results.domain.breaks import Break
from results.domain.canonical import sealed
from results.domain.reconciliation import TradeReconciliation, reconcile
from results.domain.tolerances import Tolerances
from results.domain.units import day_of
from results.pipeline.durable_rows import DurableRows, entered
from results.pipeline.entries import RECONCILIATION as LETTER
from results.pipeline.entries import DeadLetter, DeadLetterBox
from results.pipeline.reconcile.facts import facts_of, facts_of_archived, outcomes_of_orders
from results.pipeline.reconcile.reconciled import BREAK, RECONCILIATION, Reconciled, last_reconciled
from results.pipeline.stream import START, OutboxStream, StreamEntry, StreamState, order_of
from results.stores.gate import Gate
from results.stores.schema import TABLES
from trading.domain.trades import Trade, TradeStatus
from trading.stores import keys
from trading.stores.errors import StepConflict, WireError
from trading.stores.floors import Floors, floors_of
from trading.stores.hashes import hash_of_row, is_ours, row_of_hash
from trading.stores.outbox import Outbox
from trading.stores.rows import PAPER_TRADE, TRADE_RESULT
from trading.stores.step import Step, StepRunner
from trading.stores.wire import decode_trade
from trading.stores.wire.trade import ENGINE, FOREIGN

BREAKS_FIELD = "breaks"  # ours beside the columns: what the breaks were, so that a second pass can tell
OWN_TIME = frozenset({"reconciled_at", "version", "row_hash", "day"})
ATTEMPTS_MAX = 3

Row = dict[str, Any]
Fields = dict[bytes, bytes]


class Candidate(msgspec.Struct, frozen=True):
    """A trade to look at."""

    trade_id: str
    portfolio: str


class Reconciler:
    """Follows the stream with a position of its own in Redis."""

    def __init__(self, client: Redis, tolerances: Callable[[], Tolerances], gate: Gate) -> None:
        self._client = client
        self._tolerances = tolerances  # asked anew for each batch: people change them
        self._durable = DurableRows(gate)
        self._stream = OutboxStream(client)
        self._runner = StepRunner(client)
        self._dead_letters = DeadLetterBox(self._runner)
        self._outbox = Outbox(TABLES)
        self._position: tuple[str, str] | None = None

    def position(self, epoch: str) -> str:
        """The last entry dealt with; the stream's start in an epoch that it has not seen."""
        if self._position is None:
            raw = cast("bytes | None", self._client.get(keys.RECONCILE_POSITION))
            known, _, stream_id = raw.decode().partition(" ") if raw else ("", "", "")
            self._position = (known, stream_id or START)
        return self._position[1] if self._position[0] == epoch else START

    def follow(self, stream: StreamState, at_us: int, deadline: float) -> int:
        """Deal with the entries up to the stream's end, or until `deadline` (monotonic); reconciliations written.

        Raises StepConflict when others keep changing what it reads; RedisAway; django.db.DatabaseError.
        """
        position, written = self.position(stream.epoch), 0
        if order_of(position) > order_of(stream.last_id):
            position = START  # the stream lost its history
        while order_of(position) < order_of(stream.last_id):
            batch = self._stream.after(position)
            if not batch:
                break
            written += self._reconcile_batch(batch, stream.epoch, at_us)
            position = batch[-1].stream_id
            self._client.set(keys.RECONCILE_POSITION, f"{stream.epoch} {position}")
            self._position = (stream.epoch, position)
            if time.monotonic() > deadline:
                break
        return written

    def _reconcile_batch(self, batch: Sequence[StreamEntry], epoch: str, at_us: int) -> int:
        named = {candidate: entry for entry in batch for candidate in candidates_of(entry)}
        if not named:
            return 0
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return self._reconcile_all(named, epoch, at_us)
            except StepConflict:
                if attempt == ATTEMPTS_MAX:
                    raise
        return 0

    def _reconcile_all(self, named: Mapping[Candidate, StreamEntry], epoch: str, at_us: int) -> int:
        """Read in a few round trips; one by one only when something among them cannot be read."""
        try:
            return self.compare(list(named), at_us)
        except WireError as error:
            if len(named) > 1:
                return sum(self._reconcile_all({candidate: entry}, epoch, at_us) for candidate, entry in named.items())
            letters = [DeadLetter(entry, _refusal([*named], error), LETTER) for entry in named.values()]
            self._dead_letters.put(letters, epoch)
            return 0

    def again(self, entry: StreamEntry, at_us: int) -> str | None:
        """Reconcile the trade of a dead letter once more; why that cannot be, or None. Raises like `follow`."""
        candidates = candidates_of(entry)
        try:
            self.compare(candidates, at_us)
        except WireError as error:
            return _refusal(candidates, error)
        return None if candidates else "the entry names no trade that is closed or corrected"

    def compare(self, candidates: Sequence[Candidate], at_us: int) -> int:
        """Reconcile them; how many outcomes are new. Raises WireError, before anything is written, when one cannot be
        read; StepConflict; and like `follow`."""
        trades = self._closed_trades(candidates)
        archived, archived_on = facts_of_archived(self._archived(candidates, trades), self._durable)
        told, of = [*map(facts_of, trades), *archived], {**entered(trades), **archived_on}
        orders = {facts.trade_id: [order.order_id for order in facts.orders] for facts in told}
        outcomes = outcomes_of_orders(self._client, orders, of, self._durable)
        before, floors = self._before(of), floors_of(self._client)
        known = last_reconciled({each: day for each, day in of.items() if not before[each]}, self._durable)
        tolerances, written = self._tolerances(), 0
        for facts in told:
            each = facts.trade_id
            found = reconcile(facts, list(outcomes[each].results.values()), outcomes[each].metrics, tolerances, at_us)
            written += self._write(*found, before[each], known.get(each), floors)
        return written

    def _closed_trades(self, candidates: Sequence[Candidate]) -> list[Trade]:
        """The candidates that are closed and ours, of those that Redis has."""
        named = [
            (candidate.portfolio, keys.PortfolioKeys(candidate.portfolio).closed_trade(candidate.trade_id))
            for candidate in candidates
        ]
        raws = cast("list[bytes | None]", self._client.mget([key for _, key in named]))
        trades = [decode_trade(raw, key, portfolio) for (portfolio, key), raw in zip(named, raws, strict=True) if raw]
        return [trade for trade in trades if trade.origin != FOREIGN and trade.status is TradeStatus.CLOSED]

    def _archived(self, candidates: Sequence[Candidate], trades: Sequence[Trade]) -> list[str]:
        """The candidates that left Redis. Any other that is not there is still open, or was removed by hand."""
        there = {trade.id for trade in trades}
        absent = [candidate for candidate in candidates if candidate.trade_id not in there]
        asking = self._client.pipeline(transaction=False)
        for candidate in absent:
            asking.zscore(keys.PortfolioKeys(candidate.portfolio).archived_index, candidate.trade_id)
        return [each.trade_id for each, score in zip(absent, asking.execute(), strict=True) if score is not None]

    def _before(self, trade_ids: Iterable[str]) -> dict[str, Fields]:
        pipeline = self._client.pipeline(transaction=False)
        asked = list(trade_ids)
        for trade_id in asked:
            pipeline.hgetall(keys.reconciliation(trade_id))
        return dict(zip(asked, pipeline.execute(), strict=True))

    def _write(
        self,
        found: TradeReconciliation,
        breaks: Sequence[Break],
        fields: Fields,
        known: Reconciled | None,
        floors: Floors,
    ) -> int:
        key = keys.reconciliation(found.trade_id)
        table = TABLES[RECONCILIATION]
        before = row_of_hash(table, key, found.trade_id, fields) if fields else known and known.row
        if before and (before["origin"] == FOREIGN or (fields and not is_ours(table, before, fields))):
            return 0
        version, day = (before["version"] + 1, before["day"]) if before else (1, day_of(found.reconciled_us))
        version = max(floors.above(table, version) for table in (RECONCILIATION, BREAK))
        row = reconciliation_row(found, version, day)
        digest = digest_of(breaks)
        rows = [break_row(each, version, day) for each in breaks]
        stands = known.has(rows) if known else fields.get(BREAKS_FIELD.encode()) == digest.encode()
        if before and _same(before, row) and stands:
            return 0
        operation = f"reconcile:{found.trade_id}:{version}:{digest}"
        step = floors.guard(Step(operation)).expect_hash(key, fields or None)
        self._hash(step, key, row, digest, fields)
        step.emit(self._outbox.entry(RECONCILIATION, row))
        for each in rows:
            step.emit(self._outbox.entry(BREAK, each))
        self._runner.run(step)
        return 1

    def _hash(self, step: Step, key: str, row: Row, digest: str, fields: Fields) -> None:
        """Write the row into its hash; fields of other programs stay, those of ours that became null go."""
        table = TABLES[RECONCILIATION]
        hashed = {**hash_of_row(table, sealed(table.columns, row)), BREAKS_FIELD: digest}
        step.hset(key, hashed)
        gone = [name for name in fields if name.decode() in row and name.decode() not in hashed]
        if gone:
            step.hdel(key, *gone)


def _refusal(candidates: Sequence[Candidate], error: WireError) -> str:
    return f"trade {candidates[0].trade_id} cannot be reconciled: {error}"


def candidates_of(entry: StreamEntry) -> list[Candidate]:
    """The trade that an entry gives reason to reconcile: it was closed, or a result of it was corrected."""
    table = entry.fields.get(b"table", b"").decode(errors="replace")
    if table not in (PAPER_TRADE, TRADE_RESULT):
        return []
    try:
        row = msgspec.json.decode(entry.fields.get(b"row", b""), type=Row)
    except msgspec.DecodeError:
        return []  # the log makes a dead letter of it
    is_closed = table == PAPER_TRADE and row.get("status") == TradeStatus.CLOSED
    is_corrected = table == TRADE_RESULT and row.get("version") not in (None, 1)
    if not (is_closed or is_corrected) or not row.get("portfolio"):
        return []
    return [Candidate(str(row.get("id" if is_closed else "trade_id")), str(row["portfolio"]))]


def reconciliation_row(found: TradeReconciliation, version: int, day: datetime.date) -> Row:
    """A row of `trade_reconciliation`; `day` is the UTC day of its first version."""
    row = msgspec.structs.asdict(found)
    row["reconciled_at"] = row.pop("reconciled_us")
    row["reconciliation_status"] = found.reconciliation_status.value
    return {**row, "origin": ENGINE, "version": version, "day": day}


def break_row(each: Break, version: int, day: datetime.date) -> Row:
    """A row of `trade_reconciliation_break`, of the version and day of its reconciliation."""
    row = msgspec.structs.asdict(each)
    row["found_at"] = row.pop("found_us")
    row["kind"] = each.kind.value
    return {**row, "version": version, "day": day}


def digest_of(breaks: Sequence[Break]) -> str:
    """What tells two sets of breaks apart, whenever they were found."""
    told = [msgspec.structs.replace(each, found_us=0) for each in breaks]
    return hashlib.blake2b(msgspec.json.encode(told), digest_size=8).hexdigest()


def _same(before: Row, after: Row) -> bool:
    return all(before[name] == value for name, value in after.items() if name not in OWN_TIME)
