"""Rows of every durable table, made from their columns, and embedded ClickHouse processes, for the stores' tests."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow

from paperdesk.embedded.ports import free_port
from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR
from results.domain.canonical import Column, sealed
from results.stores.clickhouse import ClickHouse
from results.stores.rows import Entry
from results.stores.schema import Table

DAY = datetime.date(2024, 8, 8)
START_US = 1_723_161_240_000_001  # 2024-08-08 23:54:00.000001 UTC


def value(column: Column, number: int) -> Any:
    """A canonical value of the column, different for each number."""
    match column.kind:
        case "uuid":
            return str(uuid.UUID(int=number))
        case "decimal":
            return Decimal(number) + Decimal("0.000000000001")
        case "integer":
            return number
        case "time":
            return START_US + number
        case "date":
            return DAY
        case "boolean":
            return number % 2 == 0
        case _:
            return f"{column.name} {number} ü\t\\ '\n"


def row(table: Table, number: int, version: int = 1, **changes: Any) -> dict[str, Any]:
    """A sealed canonical row."""
    made = {column.name: value(column, number) for column in table.columns}
    return sealed(table.columns, {**made, "version": version, "day": DAY, **changes})


def entry(table: Table, number: int, version: int = 1, stream_id: str = "", **changes: Any) -> Entry:
    """The outbox entry of such a row; its stream id is `1-number` unless given."""
    return Entry(stream_id or f"1-{number}", table.name, row_text(row(table, number, version, **changes)))


def row_text(made: dict[str, Any]) -> bytes:
    """The row as the outbox carries it."""
    return json.dumps(made, default=str).encode()


def rows_of(stored: pyarrow.Table, table: Table) -> list[dict[str, Any]]:
    """The canonical rows of what a store gave back: times as integers, decimals as they are."""
    columns = {}
    for column in table.columns:
        values = stored[column.name]
        columns[column.name] = (values.cast(pyarrow.int64()) if column.kind == "time" else values).to_pylist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def drop_database(store: ClickHouse) -> None:
    """Drop the database that the store is in."""
    store.command(f"DROP DATABASE IF EXISTS {store.address.database} SYNC")


class EmbeddedProcess:
    """An embedded ClickHouse that serves when the constructor returns, or has ended with its words in `errors`."""

    def __init__(self, folder: Path, port: int = 0, environment: dict[str, str] | None = None) -> None:
        self.port = port or free_port()
        command = [sys.executable, "-m", "results.stores.embedded", "--data", str(folder), "--port", str(self.port)]
        self.process = subprocess.Popen(
            tied(command), cwd=BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.ready = self.process.stdout.readline().strip() == "ready"
        self.errors = "" if self.ready else self.process.stderr.read()

    def url(self, database: str = "default") -> str:
        """Its address."""
        return f"http://default@127.0.0.1:{self.port}/{database}"

    def stop(self) -> int:
        """End it with SIGTERM, unless it has ended; returns its exit status."""
        self.process.terminate()
        status = self.process.wait(10)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return status

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.stop()
