"""The durable log in DuckDB: every version of every row, appended exactly once, in the order of the outbox stream.

    <table>_log     canonical columns, seq, stream_id, ingested_at          <table>   view of newest versions
    watermark       one row: epoch, stream_id (what was read last), seq (the last one given), moved_at
    rejected_entry  entries that are no row of their table: stream_id, table_name, row (text), reason, rejected_at

Invariants: rows and watermark are committed together; an entry at or below the watermark of its epoch is ignored;
`seq` only grows, over the whole file; nothing is updated but the watermark, or deleted but by the compaction. All
functions take a connection from `gate`, leave no transaction open, and fetch every result to its end (an open one owns
the connection).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import msgspec
import pyarrow
import pyarrow.compute

from results.domain.readable import readable
from results.stores.duck_plan import migrate as migrate
from results.stores.failures import CommitUnknown, WarehouseMissing
from results.stores.marks import Mark
from results.stores.rows import Entry, MalformedRow, columns_of
from results.stores.schema import TABLES, Table, arrow_schema, column_list, duckdb_type, quoted

INCOMING, WANTED = "incoming", "wanted"
ROWS_OF_MARKS = "SELECT seq, seq || '/' || stream_id || '/' || row_hash FROM {log}"


class Watermark(msgspec.Struct, frozen=True):
    """How far the log is: the last stream entry read, of which epoch of the stream, and the last seq given."""

    epoch: str
    stream_id: str
    seq: int
    at_us: int


class Rejected(msgspec.Struct, frozen=True):
    """An entry that is no row of its table. It is kept in `rejected_entry`."""

    entry: Entry
    reason: str


class Appended(msgspec.Struct, frozen=True):
    """What one append did: rows written, entries ignored because they were there, entries set aside, the last seq."""

    rows: int
    ignored: int
    rejected: tuple[Rejected, ...]
    seq: int


def watermark(connection: duckdb.DuckDBPyConnection) -> Watermark:
    """How far the log is; epoch and stream id are empty before the first append. Raises WarehouseMissing."""
    try:
        found = connection.execute("SELECT epoch, stream_id, seq, epoch_us(moved_at) FROM watermark").fetchall()
    except duckdb.CatalogException as error:
        raise WarehouseMissing("the warehouse has no tables yet; `manage.py warehouse migrate` makes them") from error
    return Watermark(*found[0]) if found else Watermark("", "", 0, 0)


def head(connection: duckdb.DuckDBPyConnection) -> int:
    """The last seq given; followers that confirmed it have everything."""
    return watermark(connection).seq


def append(
    connection: duckdb.DuckDBPyConnection,
    entries: Sequence[Entry],
    epoch: str,
    last_stream_id: str,
    *,
    at_us: int,
    columns: Mapping[str, pyarrow.Table] | None = None,
) -> Appended:
    """Append the entries that are not there yet, and move the watermark to `last_stream_id`, in one transaction.

    `entries` are in stream order; `epoch` names the stream's life (a new one begins from nothing); `at_us` is now.
    `columns` has by table what `columns_of` gave for all its entries, where the caller has asked already.
    A malformed entry is kept in `rejected_entry` and returned. Raises CommitUnknown: reopen, and append the same again.
    """
    mark = watermark(connection)
    is_all_fresh = bool(entries) and _is_after(entries[0].stream_id, mark, epoch)
    fresh = entries if is_all_fresh else [entry for entry in entries if _is_after(entry.stream_id, mark, epoch)]
    if not fresh and not _is_after(last_stream_id, mark, epoch):
        return Appended(0, len(entries), (), mark.seq)
    connection.begin()
    try:
        rejected = _append_rows(connection, fresh, mark.seq, at_us, columns or {})
        moved = Watermark(epoch, last_stream_id, mark.seq + len(fresh), at_us)
        _move_watermark(connection, moved)
    except BaseException:
        connection.rollback()
        raise
    _commit(connection)
    return Appended(len(fresh) - len(rejected), len(entries) - len(fresh), rejected, moved.seq)


def read_after(connection: duckdb.DuckDBPyConnection, table: Table, seq: int, limit: int) -> pyarrow.Table:
    """At most `limit` rows of the log with a higher seq than `seq`, by seq, in the types of `arrow_schema(table)`."""
    query = _select_log(table) + " WHERE seq > $1 ORDER BY seq LIMIT $2"
    return _in_schema(table, connection.sql(query, params=[seq, limit]).to_arrow_table())


def read_between(connection: duckdb.DuckDBPyConnection, table: Table, after_seq: int, last_seq: int) -> pyarrow.Table:
    """The rows of the log with after_seq < seq <= last_seq, by seq, in the types of `arrow_schema(table)`."""
    query = _select_log(table) + " WHERE seq > $1 AND seq <= $2"  # comes as it was inserted; a sort doubles the time
    rows = _in_schema(table, connection.sql(query, params=[after_seq, last_seq]).to_arrow_table())
    numbers = rows["seq"].combine_chunks()
    in_order = pyarrow.compute.all(pyarrow.compute.less(numbers[:-1], numbers[1:])).as_py()
    return rows if in_order is not False else rows.sort_by("seq")


def read_newest(
    connection: duckdb.DuckDBPyConnection, table: Table, keys: Sequence[str], column: str = ""
) -> pyarrow.Table:
    """The newest version of each of these keys that the log has, in the types of `arrow_schema(table)`; with `column`,
    of each row of which any version has one of `keys` there.

    The log has no index: a question reads the asked column of the whole table once, however many keys it names.
    """
    key, asked = quoted(table.key), quoted(column or table.key)
    kind = next(duckdb_type(each) for each in table.columns if each.name == (column or table.key))
    connection.register(WANTED, pyarrow.table({"id": pyarrow.array(keys, pyarrow.string())}))
    named = f"{asked} IN (SELECT CAST(id AS {kind}) FROM {WANTED})"
    chosen = named if asked == key else f"{key} IN (SELECT {key} FROM {quoted(table.log_name)} WHERE {named})"
    query = (
        f"{_select_log(table)} WHERE {chosen} "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY version DESC, seq DESC) = 1"
    )
    found = connection.sql(query).to_arrow_table()
    connection.unregister(WANTED)
    return _in_schema(table, found)


def changed_days(connection: duckdb.DuckDBPyConnection, table: Table, after_seq: int) -> set[datetime.date]:
    """The days of which a row of the table came into the log behind `after_seq`."""
    query = f"SELECT DISTINCT day FROM {quoted(table.log_name)} WHERE seq > ?"
    return {day for (day,) in connection.execute(query, [after_seq]).fetchall()}


def tables_between(connection: duckdb.DuckDBPyConnection, after_seq: int, last_seq: int) -> list[Table]:
    """The tables of which the log has rows with after_seq < seq <= last_seq."""
    has_rows = "SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {log} WHERE seq > $1 AND seq <= $2)"
    found = connection.execute(_of_all_logs(has_rows), [after_seq, last_seq]).fetchall()
    return [TABLES[name] for (name,) in found]


def mark_of(connection: duckdb.DuckDBPyConnection, seq: int) -> Mark:
    """The mark of a follower that has everything up to `seq`."""
    last = ROWS_OF_MARKS + " WHERE seq = (SELECT max(seq) FROM {log} WHERE seq <= $1)"
    return Mark(seq, max(connection.execute(_of_all_logs(last), [seq]).fetchall(), default=(0, ""))[1])


def resume(connection: duckdb.DuckDBPyConnection, marks: Iterable[Mark]) -> int:
    """The seq after which a follower with these marks goes on: that of the newest which this log bears out, or 0."""
    top = head(connection)
    for mark in sorted(marks, key=lambda mark: mark.seq, reverse=True):
        if mark.seq <= top and _bears_out(connection, mark):
            return mark.seq
    return 0


def _bears_out(connection: duckdb.DuckDBPyConnection, mark: Mark) -> bool:
    """Whether this is its mark: what `mark_of` says, without a look at anything before the row that the mark names."""
    if not mark.row:
        return mark_of(connection, mark.seq) == mark
    between = ROWS_OF_MARKS + " WHERE seq >= $1 AND seq <= $2"
    found = connection.execute(_of_all_logs(between), [int(mark.row.partition("/")[0]), mark.seq]).fetchall()
    return max(found, default=(0, ""))[1] == mark.row


def _of_all_logs(query: str) -> str:
    return " UNION ALL ".join(query.format(name=table.name, log=quoted(table.log_name)) for table in TABLES.values())


def _is_after(stream_id: str, mark: Watermark, epoch: str) -> bool:
    return mark.epoch != epoch or _order(stream_id) > _order(mark.stream_id)


def _order(stream_id: str) -> tuple[int, int]:
    """`1742638560000-3` as two numbers: text order would put 10 before 9."""
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds or 0), int(number or 0)


def _append_rows(
    connection: duckdb.DuckDBPyConnection,
    entries: Sequence[Entry],
    seq: int,
    at_us: int,
    known: Mapping[str, pyarrow.Table],
) -> tuple[Rejected, ...]:
    by_table: dict[str, list[tuple[int, Entry]]] = {}
    for number, entry in enumerate(entries, start=seq + 1):
        by_table.setdefault(entry.table, []).append((number, entry))
    rejected: list[Rejected] = []
    for name, numbered in by_table.items():
        if name not in TABLES:
            rejected += [Rejected(entry, f"there is no table {name!r}") for _, entry in numbered]
            continue
        good, columns, bad = _sorted_out(TABLES[name], numbered, known.get(name))
        rejected += bad
        if good:
            _insert(connection, TABLES[name], good, columns, at_us)
    for refused in rejected:
        text = readable(refused.entry.row)
        values = [refused.entry.stream_id, refused.entry.table, text, refused.reason, at_us]
        connection.execute("INSERT INTO rejected_entry VALUES (?, ?, ?, ?, make_timestamp(?))", values).fetchall()
    return tuple(rejected)


def _sorted_out(
    table: Table, numbered: list[tuple[int, Entry]], known: pyarrow.Table | None
) -> tuple[list[tuple[int, Entry]], pyarrow.Table, list[Rejected]]:
    """Those that are rows of the table, their columns, and the others with the reason."""
    if known is not None and known.num_rows == len(numbered):
        return numbered, known, []
    try:
        return numbered, columns_of(table, [entry.row for _, entry in numbered]), []
    except MalformedRow:
        good: list[tuple[int, Entry]] = []
        parts: list[pyarrow.Table] = []
        bad: list[Rejected] = []
    for number, entry in numbered:
        try:
            parts.append(columns_of(table, [entry.row]))
            good.append((number, entry))
        except MalformedRow as error:
            bad.append(Rejected(entry, str(error)))
    return good, pyarrow.concat_tables(parts) if parts else None, bad


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    numbered: list[tuple[int, Entry]],
    columns: pyarrow.Table,
    at_us: int,
) -> None:
    count = len(numbered)
    columns = columns.append_column("seq", pyarrow.array([number for number, _ in numbered], pyarrow.int64()))
    columns = columns.append_column("stream_id", pyarrow.array([entry.stream_id for _, entry in numbered]))
    columns = columns.append_column("ingested_at", pyarrow.array([at_us] * count, pyarrow.timestamp("us")))
    names = column_list(table)
    connection.register(INCOMING, columns)
    connection.execute(f"INSERT INTO {quoted(table.log_name)} ({names}) SELECT {names} FROM {INCOMING}").fetchall()
    connection.unregister(INCOMING)


def _move_watermark(connection: duckdb.DuckDBPyConnection, mark: Watermark) -> None:
    connection.execute("DELETE FROM watermark").fetchall()
    values = [mark.epoch, mark.stream_id, mark.seq, mark.at_us]
    connection.execute("INSERT INTO watermark VALUES (?, ?, ?, make_timestamp(?))", values).fetchall()


def _commit(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.commit()
    except duckdb.Error as error:
        raise CommitUnknown(f"DuckDB failed at COMMIT ({error}); whether the rows are there is unknown") from error


def _select_log(table: Table) -> str:
    return f"SELECT {column_list(table)} FROM {quoted(table.log_name)}"


def _in_schema(table: Table, rows: pyarrow.Table) -> pyarrow.Table:
    """The rows in exactly our types. Any column may be null: rows from before it was added have nothing there."""
    return rows.cast(pyarrow.schema([field.with_nullable(True) for field in arrow_schema(table)]))
