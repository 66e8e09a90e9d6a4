"""From the stream into the durable log, committed, against a bare XREAD to Arrow to DuckDB append of the same rows; and
the same with 20 million rows in the table.

Ours is what a sync does: it opens the file, appends four batches of 2,000 entries, closes the file, and begins again,
until it is level with the stream. Every row's hash, version and fit is checked, dead letters are looked for, and the
watermark moves with the rows. The bare one keeps its file open, and checks, numbers and remembers nothing. Its rate
against the one that is promised is by processor seconds of this process and Redis together, one after the other: what
an idle machine does at least.
"""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow
import pyarrow.json
import redis

from bench.made_results import entries_of, made_results
from bench.measure import Ratio, ratio_of, seconds_of_both
from bench.processor import processor_seconds
from paperdesk.embedded.redis_server import running_redis
from results.pipeline.entries import DeadLetterBox
from results.pipeline.log_writer import LogWriter
from results.pipeline.loss import Losses
from results.pipeline.stream import BATCH_ENTRIES, START, OutboxStream
from results.pipeline.sync import BATCHES_PER_TURN
from results.stores import duck
from results.stores.gate import CONFIGURATION, Gate
from results.stores.schema import ARROW_TYPE, DUCKDB_TYPE, TABLES, Table, column_list, quoted
from trading.stores import keys
from trading.stores.step import StepRunner

ENTRIES = 40_000
ROWS_PER_SECOND_MIN = 25_000
ROW_GROUP = 122_880
BIG_ROWS = 163 * ROW_GROUP  # 20,029,440: the first to have whole row groups
BIG_PART = 16 * ROW_GROUP
NOW_US = 1_731_000_000_000_000
MADE = {
    "uuid": "uuid()",
    "decimal": "(n % 100000) / 100",
    "integer": "n",
    "time": "make_timestamp(1731000000000000 + n * 1000)",
    "date": "DATE '2024-11-07'",
    "text": "'strategy'",
}


def run(turns: int) -> list[Ratio]:
    """Two ratios of rates, in rows a second: against the bare append, and against the least that is promised."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis") as url:
        client = filled(url)
        pairs, shares = [], []
        for turn in range(turns + 1):
            ours, bare = Log(Path(folder) / f"ours-{turn}", client), Log(Path(folder) / f"bare-{turn}", client)
            pairs.append(rates(ours.drain, bare.append_barely, turn))
            again = Log(Path(folder) / f"again-{turn}", client)
            shares.append((ENTRIES / processor_seconds(client, again.drain), ROWS_PER_SECOND_MIN))
    words = f"{ENTRIES:,} results and metrics, checked and committed"
    against = "XREAD to Arrow to DuckDB, committed"
    rate = ("Redis to DuckDB, by the processor", words, "what is promised")
    return [
        ratio_of("Redis to DuckDB", words, against, pairs[1:], 0.6, at_least=True, unit="rows/s"),
        ratio_of(*rate, shares[1:], 1.0, at_least=True, unit="rows/s"),
    ]


def run_big(turns: int) -> list[Ratio]:
    """The rate with 20 million rows in the table against the rate with none, in rows a second."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis") as url:
        client = filled(url)
        big, empty = Log(Path(folder) / "big", client), Log(Path(folder) / "empty", client)
        big.fill(TABLES["trade_result"], BIG_ROWS)
        pairs = []
        for turn in range(turns + 1):
            pairs.append(rates(big.drain, empty.drain, turn))
            big.forget()
            empty.forget()
    words = f"{BIG_ROWS:,} rows in the table"
    return [ratio_of("Redis to DuckDB, 20 million", words, "none", pairs[1:], 0.8, at_least=True, unit="rows/s")]


def filled(url: str, entries: int = ENTRIES) -> redis.Redis:
    """A Redis with so many entries in its outbox."""
    client = redis.Redis.from_url(url)
    for start in range(0, entries, BATCH_ENTRIES):
        pipeline = client.pipeline(transaction=False)
        for result, metrics in made_results(start // 2, BATCH_ENTRIES // 2):
            for entry in entries_of(result, metrics):
                fields: Any = entry
                pipeline.xadd(keys.OUTBOX, fields)
        pipeline.execute()
    return client


def rates(ours: Any, other: Any, turn: int) -> tuple[float, float]:
    """Rows a second of both."""
    mine, others = seconds_of_both(ours, other, turn % 2 == 0)
    return ENTRIES / mine, ENTRIES / others


class Log:
    """A durable log, and the stream that it is fed from."""

    def __init__(self, path: Path, client: redis.Redis) -> None:
        self.gate, self.client = Gate(path), client
        with self.gate.write() as connection:
            duck.migrate(connection)

    def drain(self) -> None:
        """Turns of the writer until the log is level with the stream."""
        letters = DeadLetterBox(StepRunner(self.client))
        writer = LogWriter(OutboxStream(self.client), Losses(self.client), letters, lambda _point, _count: None)
        rows, is_level = 0, False
        while not is_level:
            with self.gate.write() as connection:
                written = writer.write(connection, BATCHES_PER_TURN, NOW_US)
            rows, is_level = rows + written.rows, written.is_level
        assert rows == ENTRIES, rows

    def append_barely(self) -> None:
        """The same rows into the same tables with a bare loop."""
        position, rows = START, 0
        with duckdb.connect(str(self.gate.path), config=CONFIGURATION) as connection:
            while found := cast(Any, self.client.xread({keys.OUTBOX: position}, BATCH_ENTRIES)):
                batch = found[0][1]
                connection.begin()
                for table in (TABLES["trade_result"], TABLES["result_metrics"]):
                    of_table = [each for each in batch if each[1][b"table"] == table.name.encode()]
                    _insert_barely(connection, table, of_table, rows)
                    rows += len(of_table)
                connection.commit()
                position = batch[-1][0].decode()
        assert rows == ENTRIES, rows

    def forget(self) -> None:
        """Forget how far the log is, so that it can be fed again."""
        with self.gate.write() as connection:
            connection.execute("DELETE FROM watermark").fetchall()

    def fill(self, table: Table, count: int) -> None:
        """Rows that DuckDB makes by itself."""
        own = {"stream_id": "(1731000000000 + n) || '-0'", "order_id": "CAST(uuid() AS VARCHAR)"}
        made = ", ".join(
            f"CAST({own.get(column.name, MADE[column.kind])} AS {DUCKDB_TYPE[column.kind]})"
            for column in table.log_columns
        )
        query = f"INSERT INTO {quoted(table.log_name)} ({column_list(table)}) SELECT {made} FROM range(?, ?) AS made(n)"
        for start in range(0, count, BIG_PART):
            with self.gate.write() as connection:
                connection.execute(query, [start, min(count, start + BIG_PART)]).fetchall()


def _insert_barely(connection: duckdb.DuckDBPyConnection, table: Table, batch: list[Any], seq: int) -> None:
    wire = {**ARROW_TYPE, "time": pyarrow.int64(), "date": pyarrow.string()}
    schema = pyarrow.schema([(column.name, wire[column.kind]) for column in table.columns])
    options = pyarrow.json.ParseOptions(explicit_schema=schema)
    rows = BytesIO(b"\n".join([fields[b"row"] for _, fields in batch]))
    parsed = pyarrow.json.read_json(rows, parse_options=options)
    parsed = parsed.cast(pyarrow.schema([(column.name, ARROW_TYPE[column.kind]) for column in table.columns]))
    parsed = parsed.append_column("seq", pyarrow.array(range(seq, seq + len(batch)), pyarrow.int64()))
    parsed = parsed.append_column("stream_id", pyarrow.array([stream_id.decode() for stream_id, _ in batch]))
    parsed = parsed.append_column("ingested_at", pyarrow.array([NOW_US] * len(batch), pyarrow.timestamp("us")))
    names = column_list(table)
    connection.register("parsed", parsed)
    connection.execute(f"INSERT INTO {quoted(table.log_name)} ({names}) SELECT {names} FROM parsed").fetchall()
    connection.unregister("parsed")
