"""Which entries of the stream are rows: many at once come out as one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results.domain.canonical import Column, row_hash
from results.pipeline.entries import FEW, fault_of, sorted_out
from results.pipeline.stream import StreamEntry
from results.stores.schema import TABLES, Table
from tests.results.stores.made import DAY, START_US, value
from trading.stores.outbox import row_text

COUNT = 2 * FEW + 3
EDGES = ("0", "-0", "1E-12", "-1E-12", "-0.5", "0.000000123", "1E+25", "-99999999999999999999.5")
DECIMALS = st.decimals(min_value=-(10**26) + 1, max_value=10**26 - 1, places=12) | st.sampled_from(
    [Decimal(text) for text in EDGES]
)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=6)
VALUES = {
    "decimal": DECIMALS,
    "text": TEXTS,
    "json": TEXTS,
    "integer": st.integers(-(2**31), 2**31 - 1),
    "time": st.integers(-(10**15), 4 * 10**15),
    "boolean": st.booleans(),
}


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        yield made


def entry_of(of: Table, number: int, values: Mapping[str, Any], **changes: bytes) -> StreamEntry:
    hashed = {**values, "row_hash": row_hash(of.columns, values)}
    fields = {
        b"table": of.name.encode(),
        b"id": str(values[of.key]).encode(),
        b"version": str(values["version"]).encode(),
        b"row": row_text(hashed).encode(),
    }
    return StreamEntry(f"1-{number}", fields | {name.encode(): given for name, given in changes.items()})


def plain_row(table: Table, number: int, **changes: Any) -> dict[str, Any]:
    made = {column.name: value(column, number) for column in table.columns if column.name != "row_hash"}
    texts = {column.name: f"ü'{number}"[:8] for column in table.columns if column.kind == "text"}
    return {**made, **texts, "version": 1, "day": DAY, **changes}


def any_value(column: Column, number: int) -> st.SearchStrategy[Any]:
    made = VALUES.get(column.kind, st.just(value(column, number)))
    return made | st.none() if column.nullable else made


@pytest.mark.parametrize("name", list(TABLES))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_rows_of_any_values_are_taken_all_at_once(name: str, data: st.DataObject) -> None:
    table = TABLES[name]
    free = [column for column in table.columns if column.name not in ("row_hash", "version", "day", table.key)]
    entries = []
    for number in range(FEW + 1):
        values = {column.name: data.draw(any_value(column, number)) for column in free} if number < 3 else {}
        entries.append(entry_of(table, number, plain_row(table, number, **values)))
    with duckdb.connect() as connection:
        found = sorted_out(connection, entries, TABLES)
    assert [fault_of(entry.fields, TABLES) for entry in entries] == [None] * len(entries)
    assert (found.dead, list(found.columns)) == ([], [name])
    assert [row.stream_id for row in found.rows] == [entry.stream_id for entry in entries]


def bad_entries() -> list[tuple[str, StreamEntry]]:
    table = TABLES["trade_result"]
    good = plain_row(table, 7)
    text = entry_of(table, 7, good).fields[b"row"]
    return [
        ("another hash", entry_of(table, 7, good, row=text.replace(b'"lot_size":"7.', b'"lot_size":"8.'))),
        ("another id", entry_of(table, 7, good, id=b"00000000-0000-0000-0000-000000000008")),
        ("another version", entry_of(table, 7, good, version=b"2")),
        ("no version", StreamEntry("1-7", {b"table": b"trade_result", b"id": b"7", b"row": text})),
        ("no JSON", entry_of(table, 7, good, row=b"{")),
        ("an unknown column", entry_of(table, 7, good, row=text.replace(b'"symbol"', b'"symbols"'))),
        ("no value", entry_of(table, 7, good, row=text.replace(b'"lot_size":"7.000000000001",', b""))),
        ("too long", entry_of(table, 7, {**good, "direction": "sideways "})),
        ("a NUL", entry_of(table, 7, {**good, "symbol": "BTC\0USDT"})),
        ("a time that no store has", entry_of(table, 7, {**good, "executed_at": 2**62})),
        ("a time after all years", entry_of(table, 7, {**good, "executed_at": START_US * 10})),
        ("no table", entry_of(table, 7, good, table=b"trades")),
        ("a table that is no text", entry_of(table, 7, good, table=b"\xff")),
    ]


@pytest.mark.parametrize("bad", [entry for _, entry in bad_entries()], ids=[name for name, _ in bad_entries()])
@pytest.mark.parametrize("places", [{0}, {COUNT - 1}, {3, 20, 21}])
def test_a_fault_among_many_is_found_and_told_as_if_it_were_alone(
    connection: duckdb.DuckDBPyConnection, bad: StreamEntry, places: set[int]
) -> None:
    tables = ("trade_result", "result_metrics")
    entries = [
        StreamEntry(f"1-{number}", bad.fields)
        if number in places
        else entry_of(TABLES[tables[number % 2]], number, plain_row(TABLES[tables[number % 2]], number))
        for number in range(2 * COUNT)
    ]
    reason = fault_of(bad.fields, TABLES)
    found = sorted_out(connection, entries, TABLES)
    assert reason
    assert [(letter.entry.stream_id, letter.reason) for letter in found.dead] == [
        (f"1-{number}", reason) for number in sorted(places)
    ]
    assert [row.stream_id for row in found.rows] == [f"1-{n}" for n in range(2 * COUNT) if n not in places]
