"""Tables as files: exactly the newest rows of the period, nothing that a spreadsheet would calculate, in slices."""

from __future__ import annotations

import csv
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command

from results.pipeline.keep import export
from results.pipeline.keep.export import ExportRefused, export_table
from results.stores.gate import Gate
from results.stores.schema import TABLES
from results.stores.table_files import CSV, PARQUET
from tests.results.pipeline.made import Side
from tests.results.stores.made import DAY

RESULT = TABLES["trade_result"]
EVER = (datetime.date.min, datetime.date.max)
NEXT_DAY = DAY + datetime.timedelta(days=1)


def quiet(_rows: int, _of: int) -> None:
    """Nobody watches."""


def rows_of(file: Path) -> list[dict[str, Any]]:
    """What a program reads."""
    found: list[dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
    return found


@pytest.fixture
def filled(side: Side) -> Side:
    """Twelve results of two days, two of them with a second version."""
    for number in range(12):
        side.emit("trade_result", number, day=DAY if number < 8 else NEXT_DAY, execution_price=Decimal("0.1") * number)
    for number in (3, 9):
        day = DAY if number < 8 else NEXT_DAY
        side.emit("trade_result", number, 2, day=day, execution_price=Decimal("-1.000000000001"))
    side.settle()
    return side


def test_the_newest_version_of_every_row_exactly_as_the_stores_have_it(filled: Side, tmp_path: Path) -> None:
    target = tmp_path / "results.parquet"
    done = export_table(filled.gate, RESULT, EVER, PARQUET, target, quiet)
    assert (done.rows, done.first_day, done.last_day) == (12, DAY, NEXT_DAY)
    rows = {row["result_id"]: row for row in rows_of(target)}
    assert len(rows) == 12
    marks = filled.marks("trade_result")["duckdb"]
    of_day = {key: row["row_hash"] for key, row in rows.items() if row["day"] == DAY}
    assert of_day == {key: mark.stored for key, mark in marks.items()}
    prices = sorted(row["execution_price"] for row in rows.values() if row["version"] == 2)
    assert prices == [Decimal("-1.000000000001")] * 2
    schema = pyarrow.parquet.read_schema(target)
    assert str(schema.field("executed_at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("execution_price").type) == "decimal128(38, 12)"


def test_a_period_has_its_first_and_its_last_day(filled: Side, tmp_path: Path) -> None:
    counts = []
    for first, last in ((DAY, DAY), (NEXT_DAY, NEXT_DAY), (DAY, NEXT_DAY), (NEXT_DAY + (NEXT_DAY - DAY), EVER[1])):
        target = tmp_path / f"{first}-{last}"
        counts.append(export_table(filled.gate, RESULT, (first, last), PARQUET, target, quiet).rows)
        assert len(rows_of(target)) == counts[-1]
    assert counts == [8, 4, 12, 0]


def test_slices_and_parts_leave_no_row_out_and_none_twice(
    filled: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "ROWS_PER_SLICE", 2)
    monkeypatch.setattr(export, "KEYS_PER_QUESTION", 3)
    target, told = tmp_path / "results.parquet", []
    export_table(filled.gate, RESULT, EVER, PARQUET, target, lambda rows, of: told.append((rows, of)))
    ids = [row["result_id"] for row in rows_of(target)]
    assert (len(ids), len(set(ids))) == (12, 12)
    assert told[-1] == (12, 14) and len(told) >= 6
    groups = pyarrow.parquet.ParquetFile(target).metadata
    assert max(groups.row_group(number).num_rows for number in range(groups.num_row_groups)) <= 2


def test_the_sync_has_its_turns_while_a_file_is_written(
    filled: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "ROWS_PER_SLICE", 1)
    target, lengths = tmp_path / "results.parquet", []

    def sync_meanwhile(rows: int, _of: int) -> None:
        filled.emit("trade_result", 100 + rows)
        filled.settle()
        lengths.append(filled.log_length("trade_result"))

    export_table(filled.gate, RESULT, EVER, PARQUET, target, sync_meanwhile)
    assert lengths == list(range(15, 27))
    assert len(rows_of(target)) == 12  # of the moment when it began


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"]


def test_in_csv_no_text_is_a_formula_and_every_number_is_one(side: Side, tmp_path: Path) -> None:
    texts = [*FORMULAS, "BTCUSDT", 'a "b", c', "ü=1"]
    for number, text in enumerate(texts):
        side.emit("trade_result", number, symbol=text, pnl=Decimal("-0.000000000001"), requested_price=None)
    side.settle()
    target = tmp_path / "results.csv"
    export_table(side.gate, RESULT, EVER, CSV, target, quiet)
    with open(target, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["symbol"] for row in rows) == sorted([f"'{text}" for text in FORMULAS] + texts[len(FORMULAS) :])
    assert {Decimal(row["pnl"]) for row in rows} == {Decimal("-0.000000000001")}
    assert {row["requested_price"] for row in rows} == {""}
    times = {datetime.datetime.fromisoformat(row["executed_at"]) for row in rows}
    assert {time.tzinfo for time in times} == {datetime.UTC}
    assert {row["day"] for row in rows} == {DAY.isoformat()}
    assert "'-0.0" not in target.read_text()


@pytest.mark.parametrize("name", sorted(TABLES))
@pytest.mark.parametrize("file_format", [PARQUET, CSV])
def test_every_table_can_be_exported_even_when_it_is_empty(
    gate: Gate, tmp_path: Path, name: str, file_format: str
) -> None:
    target = tmp_path / "file"
    assert export_table(gate, TABLES[name], EVER, file_format, target, quiet).rows == 0
    assert target.stat().st_size > 0


def test_what_is_there_is_not_replaced_and_what_fails_leaves_nothing(filled: Side, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "mine").write_text("x")
    with pytest.raises(ExportRefused, match="mine exists already"):
        export_table(filled.gate, RESULT, EVER, PARQUET, folder / "mine", quiet)
    with pytest.raises(ExportRefused, match="nowhere is not a folder"):
        export_table(filled.gate, RESULT, EVER, PARQUET, folder / "nowhere" / "x", quiet)

    def stop(_rows: int, _of: int) -> None:
        raise KeyboardInterrupt

    for file_format in (PARQUET, CSV):
        with pytest.raises(KeyboardInterrupt):
            export_table(filled.gate, RESULT, EVER, file_format, folder / "stopped", stop)
    assert [file.name for file in folder.iterdir()] == ["mine"]


def test_the_command_names_the_tables_it_knows_and_refuses_a_period_that_ends_before_it_begins() -> None:
    with pytest.raises(CommandError, match=r"'no_table' \(choose from .*trade_result"):
        call_command("export", "no_table", "--out", "x")
    with pytest.raises(CommandError, match="--from 2024-08-09 is after --to 2024-08-08"):
        call_command("export", "trade_result", "--from", "2024-08-09", "--to", "2024-08-08", "--out", "x")
