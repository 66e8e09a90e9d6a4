"""The ClickHouse client against the embedded, real engine."""

import signal
from decimal import Decimal
from typing import Any

import pyarrow
import pytest

from paperdesk.embedded.ports import free_port
from results.domain.canonical import row_hash
from results.stores import clickhouse as module
from results.stores import clickhouse_wire, duck
from results.stores.clickhouse import ClickHouse
from results.stores.failures import ClickHouseAway, ClickHouseRefused
from results.stores.gate import Gate
from results.stores.marks import Mark
from results.stores.schema import TABLES, Table
from tests.results.stores.made import EmbeddedProcess, entry, row, rows_of

RESULT = TABLES["trade_result"]


def logged(gate: Gate, table: Table, *versions: tuple[int, int], **changes: object) -> pyarrow.Table:
    """Append rows (number, version) to the log, and read those just appended."""
    with gate.write() as connection:
        before = duck.head(connection)
        entries = [
            entry(table, number, version, stream_id=f"1-{place}", **changes)
            for place, (number, version) in enumerate(versions, start=before + 1)
        ]
        last = duck.append(connection, entries, "first", entries[-1].stream_id, at_us=1_731_000_000_000_000).seq
        return duck.read_between(connection, table, before, last)


def count(store: ClickHouse, name: str) -> int:
    return int(store.rows(f"SELECT count() FROM {name}")[0][0])


@pytest.mark.parametrize("name", sorted(TABLES))
def test_rows_of_every_table_are_the_same_in_both_stores(gate: Gate, clickhouse: ClickHouse, name: str) -> None:
    table = TABLES[name]
    full = logged(gate, table, (1, 1), (2, 1), (3, 2))
    nulls: dict[str, Any] = {column.name: None for column in table.columns if column.nullable}
    empty = logged(gate, table, (4, 1), **nulls)
    assert clickhouse.insert({table.name: full}) == 3
    assert clickhouse.insert({table.name: empty}) == 1
    with gate.read() as connection:
        here = connection.sql(f"SELECT * FROM {name} ORDER BY {table.key}").to_arrow_table()
    there = clickhouse.newest(table)
    assert there.to_pylist() == here.to_pylist()
    assert rows_of(there, table) == [
        row(table, 1), row(table, 2), row(table, 3, 2), row(table, 4, **nulls),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["99999999999999999999999999.999999999999", "-0.000000000001", "42500.123456789012"])
def test_decimal_is_exact_and_its_hash_can_be_recomputed(gate: Gate, clickhouse: ClickHouse, text: str) -> None:
    clickhouse.insert({RESULT.name: logged(gate, RESULT, (1, 1), lot_size=Decimal(text))})
    stored = rows_of(clickhouse.newest(RESULT), RESULT)[0]
    assert stored["lot_size"] == Decimal(text)
    assert row_hash(RESULT.columns, stored) == stored["row_hash"]


def test_the_same_batch_twice_is_one_row_each(gate: Gate, clickhouse: ClickHouse) -> None:
    batch = logged(gate, RESULT, (1, 1), (2, 1))
    for _ in range(3):
        assert clickhouse.insert({RESULT.name: batch}) == 2
    assert count(clickhouse, "trade_result") == 2


def test_the_same_rows_in_other_batches_are_one_row_each(gate: Gate, clickhouse: ClickHouse) -> None:
    batch = logged(gate, RESULT, (1, 1), (2, 1), (3, 1))
    clickhouse.insert({RESULT.name: batch.slice(0, 2)})
    clickhouse.insert({RESULT.name: batch.slice(1, 2)})
    clickhouse.insert({RESULT.name: batch}, token="a token of my own")
    assert count(clickhouse, "trade_result") == 3


def test_newest_version_wins_whatever_comes_last(gate: Gate, clickhouse: ClickHouse) -> None:
    batch = logged(gate, RESULT, (1, 1), (1, 10), (1, 9), (2, 1))
    clickhouse.insert({RESULT.name: batch.slice(1)})
    clickhouse.insert({RESULT.name: batch.slice(0, 1)})
    clickhouse.insert({RESULT.name: logged(gate, RESULT, (1, 8))})
    assert clickhouse.newest(RESULT)["version"].to_pylist() == [10, 1]
    clickhouse.command("OPTIMIZE TABLE trade_result_log FINAL")
    assert clickhouse.newest(RESULT)["version"].to_pylist() == [10, 1]


def test_batch_whose_rows_were_merged_into_newer_ones_is_still_confirmed(gate: Gate, clickhouse: ClickHouse) -> None:
    old, new = logged(gate, RESULT, (1, 1), (2, 1)), logged(gate, RESULT, (1, 2), (2, 2))
    clickhouse.insert({RESULT.name: new})
    clickhouse.insert({RESULT.name: old})
    clickhouse.command("OPTIMIZE TABLE trade_result_log FINAL")
    assert clickhouse.insert({RESULT.name: old}, token="again") == 2
    assert count(clickhouse, "trade_result_log FINAL") == 2


def test_rows_that_are_gone_are_sent_anew_though_their_token_is_known(gate: Gate, clickhouse: ClickHouse) -> None:
    batch = logged(gate, RESULT, (1, 1), (2, 1))
    clickhouse.insert({RESULT.name: batch})
    clickhouse.command("ALTER TABLE trade_result_log DELETE WHERE seq = 2 SETTINGS mutations_sync = 2")
    assert count(clickhouse, "trade_result") == 1
    clickhouse.insert({RESULT.name: batch})
    assert count(clickhouse, "trade_result") == 2


def test_rows_that_are_gone_from_one_table_of_several_are_sent_anew(gate: Gate, clickhouse: ClickHouse) -> None:
    metrics = TABLES["result_metrics"]
    batches = {RESULT.name: logged(gate, RESULT, (1, 1), (2, 1)), metrics.name: logged(gate, metrics, (3, 1), (4, 1))}
    assert clickhouse.insert(batches) == 4
    for table, seq in ((metrics, 3), (RESULT, 2)):
        clickhouse.command(f"ALTER TABLE {table.log_name} DELETE WHERE seq = {seq} SETTINGS mutations_sync = 2")
        assert clickhouse.lacking(batches) == {table.name: 1}
        assert clickhouse.insert(batches) == 4
        assert clickhouse.lacking(batches) == {}
    assert [count(clickhouse, name) for name in batches] == [2, 2]


def test_token_of_a_batch_comes_from_what_makes_its_rows(gate: Gate) -> None:
    batch, changed = logged(gate, RESULT, (1, 1), (2, 1)), logged(gate, RESULT, (1, 1), (2, 1), symbol="OTHER")
    with gate.read() as connection:
        again = duck.read_between(connection, RESULT, 0, 2)
    assert module.batch_token(batch) == module.batch_token(again) != module.batch_token(batch.slice(1))
    for name in ("seq", "stream_id", "row_hash"):
        other = batch.set_column(batch.column_names.index(name), name, changed[name])
        assert module.batch_token(other) != module.batch_token(batch)


def test_empty_batch_is_nothing_to_do(gate: Gate, clickhouse: ClickHouse) -> None:
    with gate.read() as connection:
        assert clickhouse.insert({RESULT.name: duck.read_after(connection, RESULT, 0, 10)}) == 0


def test_newest_mark_of_each_bucket_is_kept(clickhouse: ClickHouse) -> None:
    assert clickhouse.marks() == []
    for at_us, seq in enumerate([5, 7, 100_001, 100_003, 6]):
        clickhouse.confirm(Mark(seq, f"{seq}/1-1/0"), at_us)
    assert clickhouse.marks() == [Mark(100_003, "100003/1-1/0"), Mark(6, "6/1-1/0")]


def test_follower_of_a_restored_log_sends_the_rows_that_got_the_old_numbers(gate: Gate, clickhouse: ClickHouse) -> None:
    clickhouse.insert({RESULT.name: logged(gate, RESULT, (1, 1), (2, 1))})
    with gate.read() as connection:
        clickhouse.confirm(duck.mark_of(connection, 2), 1)
    restored = Gate(gate.path.with_name("restored.duckdb"))
    with restored.write() as connection:
        duck.migrate(connection)
    rows = logged(restored, RESULT, (3, 1), (4, 1))
    with restored.read() as connection:
        assert duck.resume(connection, clickhouse.marks()) == 0
    clickhouse.insert({RESULT.name: rows})
    assert count(clickhouse, "trade_result") == 4


def test_killed_server_has_every_confirmed_row_and_mark(gate: Gate, embedded: EmbeddedProcess) -> None:
    store = ClickHouse(embedded.url("desk"))
    store.migrate()
    batch = logged(gate, RESULT, *[(number, 1) for number in range(1, 501)])
    store.insert({RESULT.name: batch})
    store.confirm(Mark(500, "500/1-500/0"), 1)
    embedded.kill()
    with pytest.raises(ClickHouseAway):
        store.insert({RESULT.name: batch})
    again = EmbeddedProcess(gate.path.parent / "clickhouse", embedded.port)
    try:
        assert again.ready, again.errors
        assert count(store, "trade_result") == 500
        assert store.marks() == [Mark(500, "500/1-500/0")]
        assert store.insert({RESULT.name: batch}) == 500
        assert count(store, "trade_result") == 500
        assert store.plan().lines == []
    finally:
        store.close()
        again.stop()


def test_server_that_is_not_there_is_away_and_worth_another_try() -> None:
    port = free_port()
    with pytest.raises(ClickHouseAway) as away:
        ClickHouse(f"http://user:secret@127.0.0.1:{port}/desk").version()
    assert str(away.value) == f"ClickHouse at 127.0.0.1:{port} is away: Connection refused"
    assert away.value.retryable


def test_frozen_server_is_away_after_the_timeout(embedded: EmbeddedProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_wire, "ANSWER_SECONDS_MAX", 1)
    store = ClickHouse(embedded.url())
    assert store.version()
    embedded.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(ClickHouseAway, match="no answer in time"):
            store.version()
    finally:
        embedded.process.send_signal(signal.SIGCONT)
        store.close()


def test_refusal_has_clickhouses_code_and_is_not_worth_another_try(fresh_clickhouse_url: str) -> None:
    store = ClickHouse(fresh_clickhouse_url)
    with pytest.raises(ClickHouseRefused, match="warehouse migrate") as refusal:
        store.rows("SELECT 1")
    assert (refusal.value.code, refusal.value.retryable) == (81, False)
