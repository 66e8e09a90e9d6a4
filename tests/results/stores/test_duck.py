"""The durable log in a real DuckDB file."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperdesk.environment import BASE_DIR
from results.stores import duck
from results.stores.failures import CommitUnknown, WarehouseMissing
from results.stores.gate import Gate
from results.stores.marks import Mark
from results.stores.rows import Entry, MalformedRow, columns_of
from results.stores.schema import TABLES
from tests.results.stores.made import entry, row, row_text, rows_of

RESULT = TABLES["trade_result"]
NOW_US = 1_731_000_000_000_000


def append(gate: Gate, *entries: Entry, epoch: str = "first", last: str = "") -> duck.Appended:
    with gate.write() as connection:
        return duck.append(connection, entries, epoch, last or entries[-1].stream_id, at_us=NOW_US)


def log(gate: Gate) -> list[tuple[int, str, int]]:
    with gate.read() as connection:
        return connection.execute("SELECT seq, stream_id, version FROM trade_result_log ORDER BY seq").fetchall()


@pytest.mark.parametrize("name", sorted(TABLES))
def test_rows_of_every_table_come_back_as_they_were_sent(gate: Gate, name: str) -> None:
    table = TABLES[name]
    sent = [row(table, number) for number in (1, 2, 3)]
    nothing: dict[str, Any] = {column.name: None for column in table.columns if column.nullable}
    sent.append(row(table, 4, **nothing))
    entries = [Entry(f"1-{number}", name, row_text(made)) for number, made in enumerate(sent, start=1)]
    assert append(gate, *entries) == duck.Appended(4, 0, (), 4)
    with gate.read() as connection:
        read = duck.read_after(connection, table, 0, 10)
    assert rows_of(read, table) == sent
    assert read["seq"].to_pylist() == [1, 2, 3, 4]
    assert read["stream_id"].to_pylist() == ["1-1", "1-2", "1-3", "1-4"]
    assert {moment.timestamp() for moment in read["ingested_at"].to_pylist()} == {
        read["ingested_at"].to_pylist()[0].timestamp()
    }


@pytest.mark.parametrize(
    "text",
    ["99999999999999999999999999.999999999999", "-99999999999999999999999999.999999999999", "0.000000000001", "-0"],
)
def test_decimal_is_exact_to_38_digits(gate: Gate, text: str) -> None:
    append(gate, entry(RESULT, 1, lot_size=Decimal(text)))
    with gate.read() as connection:
        assert connection.execute("SELECT lot_size FROM trade_result").fetchall() == [(Decimal(text),)]


@settings(max_examples=50, deadline=None)
@given(
    st.decimals(min_value=-(10**20), max_value=10**20, places=12),
    st.integers(min_value=-(10**15), max_value=10**16),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
)
def test_any_number_time_and_text_survive_the_way_to_arrow(number: Decimal, time_us: int, text: str) -> None:
    sent = row(RESULT, 1, lot_size=number, executed_at=time_us, symbol=text)
    assert rows_of(columns_of(RESULT, [row_text(sent)]), RESULT) == [sent]


def test_the_same_entries_twice_are_appended_once(gate: Gate) -> None:
    entries = [entry(RESULT, number) for number in range(1, 6)]
    assert append(gate, *entries).rows == 5
    assert append(gate, *entries) == duck.Appended(0, 5, (), 5)
    assert append(gate, *entries[3:], entry(RESULT, 6)) == duck.Appended(1, 2, (), 6)
    assert [seq for seq, _, _ in log(gate)] == [1, 2, 3, 4, 5, 6]


def test_stream_ids_are_compared_as_numbers(gate: Gate) -> None:
    append(gate, entry(RESULT, 1, stream_id="9-9"))
    assert append(gate, entry(RESULT, 2, stream_id="9-10"), entry(RESULT, 3, stream_id="10-0")).rows == 2
    assert append(gate, entry(RESULT, 4, stream_id="9-11")).ignored == 1


def test_new_epoch_of_the_stream_starts_from_nothing_and_seq_goes_on(gate: Gate) -> None:
    append(gate, entry(RESULT, 1, stream_id="100-1"))
    assert append(gate, entry(RESULT, 2, stream_id="5-1"), epoch="second").rows == 1
    assert log(gate) == [(1, "100-1", 1), (2, "5-1", 1)]
    with gate.read() as connection:
        assert duck.watermark(connection) == duck.Watermark("second", "5-1", 2, NOW_US)


def test_watermark_moves_past_entries_that_are_no_rows(gate: Gate) -> None:
    with gate.write() as connection:
        assert duck.append(connection, [], "first", "7-0", at_us=NOW_US).rows == 0
        assert duck.watermark(connection).stream_id == "7-0"


def test_view_shows_the_newest_version_even_when_an_older_one_comes_later(gate: Gate) -> None:
    entries = [
        entry(RESULT, 1, version=1, stream_id="1-1"),
        entry(RESULT, 1, version=10, stream_id="1-2"),
        entry(RESULT, 1, version=9, stream_id="1-3"),
        entry(RESULT, 2, version=1, stream_id="1-4"),
    ]
    append(gate, *entries)
    with gate.read() as connection:
        assert connection.execute("SELECT version, seq FROM trade_result ORDER BY seq").fetchall() == [(10, 2), (1, 4)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (b'{"version": 1}', "no value for day"),
        (b"no json", "JSON parse error"),
        (b"{} {}", "2 JSON objects in 1 rows"),
        (b"", "Empty JSON file"),
    ],
)
def test_what_is_no_row_is_set_aside_with_its_reason(gate: Gate, change: bytes, reason: str) -> None:
    done = append(gate, entry(RESULT, 1), Entry("1-2", "trade_result", change), entry(RESULT, 3))
    assert (done.rows, done.seq) == (2, 3)
    assert [refused.entry.stream_id for refused in done.rejected] == ["1-2"]
    assert [seq for seq, _, _ in log(gate)] == [1, 3]
    with gate.read() as connection:
        kept = connection.execute('SELECT stream_id, "row", reason FROM rejected_entry').fetchall()
    assert kept[0][:2] == ("1-2", change.decode())
    assert reason in kept[0][2]


@pytest.mark.parametrize(
    "changes",
    [
        {"lot_size": "1.0000000000001"},
        {"lot_size": "123456789012345678901234567.1"},
        {"lot_size": "NaN"},
        {"executed_at": "2024-01-01"},
        {"executed_at": 1.5},
        {"row_hash": 2**63},
        {"day": "2024-02-30"},
        {"result_id": "not-a-uuid"},
        {"trade_id": "{" + "0" * 32 + "}"},
        {"symbol": None},
        {"surplus": 1},
    ],
)
def test_value_that_a_column_cannot_hold_exactly_is_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedRow):
        columns_of(RESULT, [row_text({**row(RESULT, 1), **changes})])


def test_entry_of_an_unknown_table_is_set_aside(gate: Gate) -> None:
    done = append(gate, Entry("1-1", "nothing", b"{}"))
    assert done.rejected[0].reason == "there is no table 'nothing'"


def test_failure_between_the_tables_leaves_neither_rows_nor_watermark(gate: Gate) -> None:
    with gate.write() as connection:
        connection.execute("ALTER TABLE result_metrics_log DROP COLUMN origin").fetchall()
    with pytest.raises(duckdb.BinderException):
        append(gate, entry(RESULT, 1), entry(TABLES["result_metrics"], 2))
    assert log(gate) == []
    with gate.read() as connection:
        assert duck.head(connection) == 0


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import django
django.setup()
from results.stores.failures import CommitUnknown
from tests.results.stores import test_duck
from tests.results.stores.made import entry
gate = test_duck.Gate(Path(sys.argv[1]))
entries = [entry(test_duck.RESULT, number) for number in range(1, 3001)]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with gate.write() as connection:
    resource.setrlimit(resource.RLIMIT_FSIZE, (gate.path.stat().st_size // 4, resource.RLIM_INFINITY))
    try:
        test_duck.duck.append(connection, entries, "first", "1-3000", at_us=1)
    except CommitUnknown:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("unknown", flush=True)
        import os
        os._exit(0)
print("committed")
"""


def test_after_a_failed_commit_the_same_append_makes_it_whole(gate: Gate) -> None:
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(gate.path)],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.stdout == "unknown\n", child.stderr
    entries = [entry(RESULT, number) for number in range(1, 3001)]
    append(gate, *entries)
    assert [seq for seq, _, _ in log(gate)] == list(range(1, 3001))
    assert CommitUnknown.retryable


def test_file_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    with (
        Gate(tmp_path / "empty.duckdb").write() as connection,
        pytest.raises(WarehouseMissing, match="warehouse migrate"),
    ):
        duck.head(connection)


def test_followers_read_in_slices_by_seq(gate: Gate) -> None:
    metrics = TABLES["result_metrics"]
    append(gate, *[entry(metrics if number % 2 else RESULT, number) for number in range(1, 9)])
    with gate.read() as connection:
        assert duck.read_after(connection, RESULT, 2, 2)["seq"].to_pylist() == [4, 6]
        assert duck.read_between(connection, metrics, 1, 5)["seq"].to_pylist() == [3, 5]
        assert duck.read_after(connection, RESULT, 8, 2).num_rows == 0
        assert duck.head(connection) == 8


def test_slice_is_in_order_of_seq_even_where_the_file_is_not(gate: Gate) -> None:
    append(gate, *[entry(RESULT, number) for number in range(1, 6)])
    with gate.write() as connection:
        connection.execute("CREATE TEMP TABLE moved AS FROM trade_result_log WHERE seq = 2").fetchall()
        connection.execute("DELETE FROM trade_result_log WHERE seq = 2").fetchall()
        connection.execute("INSERT INTO trade_result_log FROM moved").fetchall()
        assert duck.read_between(connection, RESULT, 0, 5)["seq"].to_pylist() == [1, 2, 3, 4, 5]


def test_follower_goes_on_from_its_newest_mark_that_the_log_bears_out(gate: Gate) -> None:
    append(gate, *[entry(RESULT, number) for number in range(1, 6)])
    with gate.read() as connection:
        at_two, at_five = duck.mark_of(connection, 2), duck.mark_of(connection, 5)
        assert at_two.row == f"2/1-2/{row(RESULT, 2)['row_hash']}"
        assert duck.resume(connection, [at_two, at_five]) == 5
        assert duck.resume(connection, [at_two, Mark(5, "5/1-5/0"), Mark(9, "9/1-9/0")]) == 2
        assert duck.resume(connection, [Mark(2, "2/9-2/0")]) == 0
        assert duck.resume(connection, []) == 0


def test_mark_of_a_set_aside_entry_is_the_row_before_it(gate: Gate) -> None:
    append(gate, entry(RESULT, 1), Entry("1-2", "nothing", b"{}"))
    with gate.read() as connection:
        mark = duck.mark_of(connection, 2)
        assert (mark.seq, mark.row.split("/")[0]) == (2, "1")
        assert duck.resume(connection, [mark]) == 2
        assert duck.mark_of(connection, 0) == Mark(0, "")
