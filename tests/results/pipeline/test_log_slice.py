"""Slices of the log: as large as each follower takes them, with the mark that the log bears out."""

from __future__ import annotations

import duckdb
import pytest

from results.pipeline.log_slice import SEQS_PER_SLICE, next_slices
from results.stores import duck
from results.stores.gate import Gate
from results.stores.marks import Mark
from results.stores.rows import Entry
from results.stores.schema import TABLES
from tests.results.stores.made import entry

NAMES = ("trade_result", "paper_trade")
COUNT = SEQS_PER_SLICE + 10


def append(connection: duckdb.DuckDBPyConnection) -> None:
    entries = [entry(TABLES[NAMES[number % 2]], number) for number in range(1, COUNT + 1)]
    refused = Entry(f"1-{COUNT + 1}", "trades", b"{}")  # it takes a seq and leaves no row
    duck.append(connection, [*entries, refused], "epoch", refused.stream_id, at_us=1)


def test_each_follower_gets_slices_of_its_own_size_and_those_alike_share_one(gate: Gate) -> None:
    with gate.write() as connection:
        append(connection)
        found = next_slices(connection, {"small": [], "same": [], "large": []}, {"large": 10 * COUNT})
        small, large = found["small"], found["large"]
        assert small is not None and large is not None
        assert found["same"] is small
        assert (small.mark.seq, small.row_count) == (SEQS_PER_SLICE, SEQS_PER_SLICE)
        assert (large.mark.seq, large.row_count) == (COUNT + 1, COUNT)
        assert [small.mark, large.mark] == [duck.mark_of(connection, each) for each in (SEQS_PER_SLICE, COUNT + 1)]
        assert sorted(large.tables) == sorted(NAMES)
        later = next_slices(connection, {"small": [small.mark], "large": [large.mark]}, {"large": 10 * COUNT})
        assert later["large"] is None
        assert later["small"] is not None and later["small"].after_seq == SEQS_PER_SLICE


@pytest.mark.parametrize("row", ["", "1999/1-1999/5", "2000/1-2001/5", "3000/1-3000/5", "1/1-1/5"])
def test_a_mark_of_another_log_is_not_borne_out(gate: Gate, row: str) -> None:
    with gate.write() as connection:
        append(connection)
        good = duck.mark_of(connection, SEQS_PER_SLICE)
        assert duck.resume(connection, [Mark(SEQS_PER_SLICE, row), Mark(0, "")]) == 0
        assert duck.resume(connection, [Mark(SEQS_PER_SLICE, row), good]) == SEQS_PER_SLICE
        assert duck.resume(connection, [Mark(SEQS_PER_SLICE - 1, good.row)]) == 0
        assert duck.resume(connection, [Mark(COUNT + 1, good.row)]) == 0
        assert duck.resume(connection, [duck.mark_of(connection, COUNT + 1)]) == COUNT + 1
