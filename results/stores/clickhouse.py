"""ClickHouse over HTTP, by clickhouse-connect only: a server, a cluster, or the embedded one, all the same.

A batch of rows is frozen before it is sent: the same Arrow bytes in every attempt, and as its deduplication token a
hash of what makes its rows: their places in log and stream, and their own hashes. (One that grows before it is tried
again is another batch: its rows may lie on disk twice until the next merge, and are seen once.) An INSERT counts as
done when a question afterwards found every key of it at its version or a newer one, so correctness does not hang on
what the server remembers of tokens. The follower's marks lie in the table `follower_mark` here, so that they are
restored or lost together with the rows (see `marks`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import pyarrow
import pyarrow.compute
from clickhouse_connect.driver import Client
from clickhouse_connect.driver.exceptions import Error

from results.domain.units import us_of_datetime
from results.stores import clickhouse_plan
from results.stores.changes import Plan
from results.stores.clickhouse_ddl import MARKS_TABLE, local_name, on_cluster
from results.stores.clickhouse_wire import UNKNOWN_DATABASE, address_of, connected, failure_of
from results.stores.failures import ClickHouseRefused, RowsMissing
from results.stores.marks import Mark
from results.stores.schema import TABLES, Table, arrow_schema, quoted

INSERT_SETTINGS: dict[str, Any] = {
    "async_insert": 0,
    "distributed_foreground_insert": 1,
    "max_partitions_per_insert_block": 1_000,
}
ROWS_PER_MARK = 100_000  # of each so many rows the last mark is kept, for a log that was restored
MARKS_MAX = 1_000
KEYS_PER_QUESTION = 2_000  # 80 kB of UUIDs; a statement has at most 256 kB
IDENTITY = ["seq", "stream_id", "row_hash"]  # what makes a row of the log this one; 4 % of its bytes
KEYS_BETWEEN = """SELECT '{table.name}', uniqExact("{table.key}") FROM "{table.log_name}"
WHERE day >= {{min_day_{place}:Date32}} AND day <= {{max_day_{place}:Date32}}
AND seq >= {{min_seq_{place}:Int64}} AND seq <= {{max_seq_{place}:Int64}}"""
FORGET = f"""INSERT INTO {MARKS_TABLE} SELECT bucket, {{seq:Int64}}, {{mark:String}}, at + INTERVAL 1 MICROSECOND
FROM {MARKS_TABLE} FINAL WHERE seq > {{seq:Int64}}"""

Answered = TypeVar("Answered")


class ClickHouse:
    """One ClickHouse. Nothing is connected before the first call; a lost connection is made anew by the next one."""

    def __init__(self, url: str, cluster: str = "") -> None:
        """`url` is CLICKHOUSE_URL, `cluster` the cluster's name or empty for one server."""
        self.address = address_of(url)
        self._cluster = cluster or None
        self._client: Client | None = None
        self._marked_at_us = 0
        self.started_at = 0.0  # of the server, as `marks` found it, in our `running_seconds`; up to 1 s late

    def close(self) -> None:
        """Close the connections, if there are any."""
        if self._client is not None:
            self._client.close_connections()
            self._client = None

    def version(self) -> str:
        """The server's version; also the way to see whether it is there. Raises ClickHouseAway."""
        return str(self._ask(lambda client: client.command("SELECT version()", use_database=False)))

    def plan(self) -> Plan:
        """What the database lacks of the schema."""
        parameters = {"database": self.address.database}
        try:
            columns = self.rows(clickhouse_plan.COLUMNS_QUERY, parameters)
        except ClickHouseRefused as error:
            if error.code != UNKNOWN_DATABASE:
                raise
            columns = []
        return clickhouse_plan.plan(columns, self._cluster)

    def migrate(self) -> list[str]:
        """Make all additions and return them as sentences; a second call returns none.

        Raises DestructiveChange, and changes nothing, when the models ask for anything else.
        """
        wanted = self.plan()
        wanted.check()
        create = clickhouse_plan.database_ddl(self.address.database, self._cluster)
        self._ask(lambda client: client.command(create, use_database=False))
        for change in wanted.changes:
            self.command(change.statement)
        return wanted.lines

    def insert(self, batches: Mapping[str, pyarrow.Table], token: str = "") -> int:
        """Insert rows of the log by table (`duck.read_between`) and return their number, once all were seen there.

        `token` identifies the batches; empty takes a hash of each. May be repeated at will. Raises RowsMissing when
        the server acknowledged them and does not have them, ClickHouseAway, ClickHouseRefused.
        """
        for name, rows in batches.items():
            if rows.num_rows:
                self._insert_block(name, rows, {"insert_deduplication_token": token or batch_token(rows)})
        again = {name: batches[name] for name in self.lacking(batches)}
        for name, rows in again.items():
            # The server remembers the token of rows that it no longer has (a dropped partition, a truncated table).
            self._insert_block(name, rows, {"insert_deduplicate": 0})
        for name, missing in self.lacking(again).items():
            raise RowsMissing(f"ClickHouse took {again[name].num_rows} rows of {name} and lacks {missing} keys")
        return sum(rows.num_rows for rows in batches.values())

    def marks(self) -> list[Mark]:
        """The follower's marks, newest position first; none in a database that nobody has fed."""
        query = f"SELECT seq, mark, at, uptime() FROM {MARKS_TABLE} FINAL ORDER BY seq DESC LIMIT {MARKS_MAX}"
        found = self._ask(lambda client: _rows(client, query, {}))
        if found:
            self.started_at = running_seconds() - found[0][3]
            self._marked_at_us = max(us_of_datetime(at) for _, _, at, _ in found)
        return [Mark(seq, row) for seq, row, _, _ in found]

    def confirm(self, mark: Mark, at_us: int) -> None:
        """Keep the mark, once everything up to it was inserted. `at_us` is now: of one bucket the latest counts.

        A clock that was set back does not make it count less than the marks that were read.
        """
        self._marked_at_us = max(at_us, self._marked_at_us + 1)
        row = pyarrow.table(
            {
                "bucket": pyarrow.array([mark.seq // ROWS_PER_MARK], pyarrow.int64()),
                "seq": pyarrow.array([mark.seq], pyarrow.int64()),
                "mark": pyarrow.array([mark.row]),
                "at": pyarrow.array([self._marked_at_us], pyarrow.timestamp("us", "UTC")),
            }
        )
        block = _arrow_stream(row)
        settings = {**INSERT_SETTINGS, "insert_deduplicate": 0}
        self._ask(lambda client: client.raw_insert(MARKS_TABLE, row.column_names, block, settings, fmt="ArrowStream"))

    def forget(self, mark: Mark) -> None:
        """Put this mark in place of all that are ahead of it, because ClickHouse has lost rows behind them."""
        parameters = {"seq": mark.seq, "mark": mark.row}
        settings = {**INSERT_SETTINGS, "insert_deduplicate": 0}
        self._ask(lambda client: client.command(FORGET, parameters, settings=settings))

    def lacking(self, batches: Mapping[str, pyarrow.Table]) -> dict[str, int]:
        """How many keys of these rows of the log (key, version, day, seq) ClickHouse lacks, at their version or a
        newer one, by table; a table that lacks none is not named."""
        asked = {name: rows for name, rows in batches.items() if rows.num_rows}
        counted = self._keys_between(asked) if asked else {}
        keys = {name: pyarrow.compute.count_distinct(rows[TABLES[name].key]).as_py() for name, rows in asked.items()}
        unsure = [name for name in asked if counted[name] != keys[name]]
        missing = {name: self._missing_keys(TABLES[name], asked[name]) for name in unsure}
        return {name: number for name, number in missing.items() if number}

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a SELECT; values go in as `{name:Type}` parameters. Decimals come exact, times aware."""
        return self._ask(lambda client: _rows(client, query, parameters or {}))

    def merge(self, table: Table, months: Iterable[tuple[int, int]]) -> None:
        """Merge the partitions of these months to one part each, in which every key is there once."""
        name = table.log_name if self._cluster is None else local_name(table.log_name)
        for year, month in sorted(months):
            partition = f"{year}{month:02}"
            self.command(f"OPTIMIZE TABLE {quoted(name)}{on_cluster(self._cluster)} PARTITION {partition} FINAL")

    def newest(self, table: Table) -> pyarrow.Table:
        """The newest version of every row by key, in the types that DuckDB gives too. For tests and small tables."""
        uuids = [quoted(column.name) for column in table.log_columns if column.kind == "uuid"]
        replaced = f" REPLACE ({', '.join(f'toString({name}) AS {name}' for name in uuids)})" if uuids else ""
        query = f"SELECT *{replaced} FROM {quoted(table.name)} ORDER BY {quoted(table.key)}"
        rows = self._ask(lambda client: client.query_arrow(query))
        return rows.cast(pyarrow.schema([field.with_nullable(True) for field in arrow_schema(table)]))

    def command(self, statement: str) -> None:
        """Run a statement that returns no rows."""
        self._ask(lambda client: client.command(statement))

    def _insert_block(self, name: str, rows: pyarrow.Table, settings: dict[str, Any]) -> None:
        log, names, block = quoted(TABLES[name].log_name), rows.column_names, _arrow_stream(rows)
        given = {**INSERT_SETTINGS, **settings}
        self._ask(lambda client: client.raw_insert(log, names, block, given, fmt="ArrowStream"))

    def _keys_between(self, batches: Mapping[str, pyarrow.Table]) -> dict[str, int]:
        """By table how many keys ClickHouse has in the days and seqs of the batch, in one question: as many as the
        batch has, unless merges took rows of it for newer ones that were sent before."""
        queries: list[str] = []
        parameters: dict[str, Any] = {}
        for place, (name, rows) in enumerate(batches.items()):
            days, numbers = pyarrow.compute.min_max(rows["day"]), pyarrow.compute.min_max(rows["seq"])
            for side in ("min", "max"):
                parameters |= {f"{side}_day_{place}": days[side].as_py(), f"{side}_seq_{place}": numbers[side].as_py()}
            queries.append(KEYS_BETWEEN.format(table=TABLES[name], place=place))
        return dict(self.rows(" UNION ALL ".join(queries), parameters))

    def _missing_keys(self, table: Table, rows: pyarrow.Table) -> int:
        """How many keys of the batch ClickHouse lacks, at their version of the batch or a newer one."""
        newest = rows.group_by(table.key).aggregate([("version", "max")])
        wanted = dict(zip(newest[table.key].to_pylist(), newest["version_max"].to_pylist(), strict=True))
        found = dict(self._versions(table, list(wanted)))
        return sum(found.get(key, -1) < version for key, version in wanted.items())

    def _versions(self, table: Table, keys: list[str]) -> Iterator[tuple[Any, ...]]:
        """The newest version of each of these keys that ClickHouse has."""
        key = quoted(table.key)
        select = f"SELECT toString({key}), max(version) FROM {quoted(table.log_name)}"
        query = f"{select} WHERE {key} IN %(keys)s GROUP BY {key}"
        for start in range(0, len(keys), KEYS_PER_QUESTION):
            yield from self.rows(query, {"keys": keys[start : start + KEYS_PER_QUESTION]})

    def _ask(self, question: Callable[[Client], Answered]) -> Answered:
        try:
            if self._client is None:
                self._client = connected(self.address)
            return question(self._client)
        except Error as error:
            raise failure_of(error, self.address) from error


def running_seconds() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def batch_token(rows: pyarrow.Table) -> str:
    """The token of a frozen batch: a hash of its rows' places in the log and stream, and of their own hashes."""
    return hashlib.blake2b(_arrow_stream(rows.select(IDENTITY)), digest_size=16).hexdigest()


def _rows(client: Client, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(query, parameters=dict(parameters)).result_rows]


def _arrow_stream(rows: pyarrow.Table) -> pyarrow.Buffer:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return sink.getvalue()
