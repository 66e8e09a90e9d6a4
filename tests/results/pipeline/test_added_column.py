"""A column that came after rows had been written: they go on as they are, in every store."""

from results.domain.canonical import row_hash, sealed
from results.stores.schema import TABLES
from tests.results.pipeline.made import Side
from tests.results.stores.made import row
from trading.stores.outbox import row_text

TABLE = TABLES["funding_payment"]


def test_a_row_that_was_written_before_is_taken_and_keeps_its_hash(side: Side) -> None:
    before = [column for column in TABLE.columns if not column.added]
    assert {column.name for column in TABLE.columns} - {column.name for column in before} == {"basis"}
    texts = {column.name: "short" for column in before if column.kind == "text"}
    old = sealed(before, {**{column.name: row(TABLE, 1)[column.name] for column in before}, **texts})
    side.add({"table": TABLE.name, "id": old["id"], "version": "1", "row": row_text(old)})
    side.emit(TABLE.name, 2)
    assert side.settle().is_level
    assert [fields[b"reason"] for _, fields in side.entries("paperdesk:dead_letters")] == []
    marks = side.marks(TABLE.name)
    assert marks["duckdb"] == marks["django"] == marks["clickhouse"]
    assert marks["duckdb"][old["id"]].stored == marks["duckdb"][old["id"]].recomputed == old["row_hash"]
    assert len(marks["duckdb"]) == 2


def test_the_hash_covers_the_column_once_it_has_a_value() -> None:
    new = row(TABLE, 1)
    hashes = {row_hash(TABLE.columns, {**new, "basis": basis}) for basis in (None, "settled", "estimated")}
    assert len(hashes) == 3
