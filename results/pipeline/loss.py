"""A stream that lost its history: how that is noticed, and what has to hold from then on.

    paperdesk:outbox:read   epoch and stream id up to which the log has read
    paperdesk:outbox:loss   {"epoch": …, "before": …, "began_us": …, "read_until": "…-3", "from_ms": …, …}

Redis lost its tail, an older copy of it was restored, or it was emptied: the last entry that the log has read is no
longer in the stream, or Redis's own note of it is older. The note is written before the log commits, and tells of an
older copy even where ids repeat, as they do once a clock was ahead: ids then go on from the last one. Then, in one
step, a new epoch begins, floors are set above every durable version, and every portfolio is held. What our writers
wrote between the loss and that step stands in the stream up to `read_until`, with versions that the log may have given
to what was lost; it is taken in above them. Source: ruling 29.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import cast

import duckdb
import msgspec
import pyarrow
from redis import Redis

from results.domain.canonical import HASH_COLUMN, sealed
from results.pipeline.stream import START, OutboxStream, StreamState, order_of
from results.stores.duck import Watermark
from results.stores.rows import Entry
from results.stores.schema import TABLES, Table, duckdb_type, quoted
from trading.stores import keys
from trading.stores.outbox import row_of_text, row_text
from trading.stores.step import Step, StepRunner

SLACK = 1_000  # versions that may be given between the count of the entries and the step
COMPARING = "Redis lost its newest changes; what it has is being compared with the durable stores"
WANTED = "wanted"


class Loss(msgspec.Struct, frozen=True):
    """One loss. `last_read` is the last entry that the log had read of what Redis still has, `read_until` the last one
    that may have been written before the loss was noticed ("": not known yet), `from_ms` the time of the oldest entry
    that Redis still has (0: it has none of before), `durable` the highest version of each table then; `is_settled` once
    the hot records were compared with the log."""

    epoch: str
    before: str
    began_us: int
    from_ms: int
    durable: dict[str, int]
    last_read: str = START
    read_until: str = ""
    is_settled: bool = False

    def is_before(self, epoch: str, stream_id: str) -> bool:
        """Whether an entry of this epoch may have been written before the loss was noticed."""
        return self.epoch == epoch and order_of(stream_id) <= order_of(self.read_until)


class Losses:
    """Begins epochs, and knows the last one."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._stream = OutboxStream(client)
        self._runner = StepRunner(client)

    def last(self) -> Loss | None:
        """The last loss; None: there was none, or Redis knows of none any more."""
        raw = cast("bytes | None", self._client.get(keys.OUTBOX_LOSS))
        return None if raw is None else msgspec.json.decode(raw, type=Loss)

    def happened(self, connection: duckdb.DuckDBPyConnection, stream: StreamState, mark: Watermark) -> bool:
        """Whether the stream is not the one that the log has read: another epoch, or without the last entry read."""
        if not mark.epoch:
            return False  # nothing was read yet
        if stream.epoch != mark.epoch or order_of(stream.last_id) < order_of(mark.stream_id):
            return True
        if mark.stream_id == START:
            return False
        noted = self._stream.noted_read()
        if noted and (noted.epoch != mark.epoch or order_of(noted.last_id) < order_of(mark.stream_id)):
            return True
        fields = self._stream.at(mark.stream_id)
        return fields is None or not self._is_that_row(connection, fields, mark)

    def begin(
        self, connection: duckdb.DuckDBPyConnection, stream: StreamState, mark: Watermark, at_us: int
    ) -> StreamState:
        """Begin a new epoch, or go on with one whose beginning broke off; the stream as it is then.

        Raises StepConflict when somebody else changed the epoch: look again.
        """
        loss = self.last()
        if loss is None or (loss.epoch, loss.before) != (stream.epoch, mark.epoch):
            loss = self._begin(connection, stream.epoch, mark, at_us)
        if not loss.read_until:
            self._write(msgspec.structs.replace(loss, read_until=self._stream.state().last_id))
        return self._stream.state()

    def settle(self, loss: Loss) -> None:
        """Note that the hot records were compared."""
        self._write(msgspec.structs.replace(loss, is_settled=True))

    def _begin(self, connection: duckdb.DuckDBPyConnection, known: str, mark: Watermark, at_us: int) -> Loss:
        durable = durable_versions(connection)
        above = self._stream.length() + SLACK
        first = order_of(self._stream.first_id())
        from_ms = first[0] if (0, 0) < first <= order_of(mark.stream_id) else 0
        noted = self._stream.noted_read()
        last_read = min(mark.stream_id, noted.last_id if noted else mark.stream_id, key=order_of)
        loss = Loss(str(uuid.uuid4()), mark.epoch, at_us, from_ms, durable, last_read)
        floors = {name: version + above for name, version in durable.items()}
        held = dict.fromkeys(sorted(portfolios_of(connection) | self._portfolios()), COMPARING)
        step = Step(f"epoch:{loss.epoch}").expect(keys.OUTBOX_EPOCH, known).set(keys.OUTBOX_EPOCH, loss.epoch)
        step.set(keys.VERSION_FLOORS, msgspec.json.encode(floors)).set(keys.OUTBOX_LOSS, msgspec.json.encode(loss))
        self._runner.run(step.hset(keys.LOSS_HOLDS, held) if held else step)
        return loss

    def _portfolios(self) -> set[str]:
        return {prefix.decode() for prefix in cast("list[bytes]", self._client.hkeys(keys.PORTFOLIOS))}

    def _write(self, loss: Loss) -> None:
        self._client.set(keys.OUTBOX_LOSS, msgspec.json.encode(loss))

    def _is_that_row(
        self, connection: duckdb.DuckDBPyConnection, fields: Mapping[bytes, bytes], mark: Watermark
    ) -> bool:
        """Whether the entry is the one that the log has. One that is no row cannot be compared, nor one that was taken
        in under another version."""
        table = TABLES.get(fields.get(b"table", b"").decode(errors="replace"))
        loss = self.last()
        if table is None or (loss is not None and order_of(mark.stream_id) <= order_of(loss.read_until)):
            return True
        query = f"SELECT row_hash FROM {quoted(table.log_name)} WHERE seq = ? AND stream_id = ?"
        found = connection.execute(query, [mark.seq, mark.stream_id]).fetchall()
        return not found or _hash_in(fields.get(b"row", b"")) == found[0][0]


def durable_versions(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The highest version of each table that has rows in the log."""
    found = {
        name: connection.execute(f"SELECT max(version) FROM {quoted(table.log_name)}").fetchall()[0][0]
        for name, table in TABLES.items()
    }
    return {name: version for name, version in found.items() if version is not None}


def portfolios_of(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The portfolios whose trades the log has."""
    found = connection.execute("SELECT DISTINCT portfolio FROM paper_trade_log WHERE portfolio IS NOT NULL").fetchall()
    return {portfolio for (portfolio,) in found}


class Survivors:
    """Takes in what still stands in a stream that lost its history."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def sorted_out(self, connection: duckdb.DuckDBPyConnection, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that the log does not have: with the version that they say where it is a new one, else with one
        above all that the log had when the history was lost. An older version that was read before the loss is not
        there because a compaction has removed it."""
        given = [(entry, _identity(TABLES[entry.table], entry)) for entry in entries]
        newest: dict[tuple[str, str], int] = {}
        known: set[tuple[str, str, int, int]] = set()
        for name in {entry.table for entry in entries}:
            wanted = sorted({key for entry, (key, _, _) in given if entry.table == name})
            for key, version, hashed in _versions(connection, TABLES[name], wanted):
                known.add((name, key, version, hashed))
                newest[name, key] = max(version, newest.get((name, key), version))
        fresh = []
        for entry, (key, version, hashed) in given:
            subject = (entry.table, key)
            if (*subject, version, hashed) in known:
                continue
            if version <= newest.get(subject, version - 1):
                if order_of(entry.stream_id) <= order_of(self._loss.last_read):
                    continue
                if not TABLES[entry.table].is_born:  # those have their versions from SQL
                    version = max(newest[subject], self._loss.durable.get(entry.table, 0)) + 1
                    entry = _at_version(TABLES[entry.table], entry, version)
            newest[subject] = max(version, newest.get(subject, version))
            fresh.append(entry)
        return fresh


def _hash_in(row: bytes) -> object:
    try:
        return msgspec.json.decode(row, type=dict[str, object]).get(HASH_COLUMN)
    except msgspec.MsgspecError:
        return None


def _at_version(table: Table, entry: Entry, version: int) -> Entry:
    row = {**row_of_text(table.columns, entry.row), "version": version}
    row.pop(HASH_COLUMN, None)
    return Entry(entry.stream_id, entry.table, row_text(sealed(table.columns, row)).encode())


def _identity(table: Table, entry: Entry) -> tuple[str, int, int]:
    row: Mapping[str, object] = msgspec.json.decode(entry.row, type=dict[str, object])
    return str(row[table.key]), int(str(row["version"])), int(str(row[HASH_COLUMN]))


def _versions(connection: duckdb.DuckDBPyConnection, table: Table, wanted: Sequence[str]) -> list[tuple[str, int, int]]:
    key = quoted(table.key)
    kind = next(duckdb_type(column) for column in table.columns if column.name == table.key)
    connection.register(WANTED, pyarrow.table({"id": list(wanted)}))
    query = (
        f"SELECT CAST({key} AS VARCHAR), version, row_hash FROM {quoted(table.log_name)} "
        f"WHERE {key} IN (SELECT CAST(id AS {kind}) FROM {WANTED})"
    )
    found = connection.execute(query).fetchall()
    connection.unregister(WANTED)
    return found
