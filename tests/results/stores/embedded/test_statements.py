"""Heads of INSERT statements and formats of answers, as text."""

import pytest

from results.stores.embedded.statements import InsertHead, answer_format, insert_head


def test_bytes_of_an_insert_begin_after_the_line_of_its_head() -> None:
    start = b"INSERT INTO `desk`.`log` (`a`, `b`) FORMAT Native\n\x02\x01"
    assert insert_head(start) == InsertHead("INSERT INTO `desk`.`log` (`a`, `b`)", "Native", len(start) - 2)


def test_bytes_that_look_like_white_space_stay_with_the_insert() -> None:
    start = b"insert into log format Native\n\n \t"
    found = insert_head(start)
    assert found is not None
    assert start[found.length_bytes :] == b"\n \t"


def test_column_named_format_is_not_the_format() -> None:
    found = insert_head(b"INSERT INTO log (`FORMAT x`, `a)`) SETTINGS async_insert=0 FORMAT ArrowStream\n")
    assert found is not None
    assert (found.format, found.statement) == (
        "ArrowStream",
        "INSERT INTO log (`FORMAT x`, `a)`) SETTINGS async_insert=0",
    )


@pytest.mark.parametrize(
    "statement",
    [
        b"INSERT INTO log VALUES ('FORMAT Native\n')",
        b"INSERT INTO log SELECT 1 FORMAT Native\n",
        b"INSERT INTO log FORMAT Values (1)",
        b"SELECT 'INSERT INTO log FORMAT Native\n'",
        b"",
    ],
)
def test_other_statements_go_to_the_engine_whole(statement: bytes) -> None:
    assert insert_head(statement) is None


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", "TabSeparated"),
        ("SELECT 1\n FORMAT Native", "Native"),
        ("  with 1 as x select x format JSON ;", "JSON"),
        ("CREATE TABLE x (a Int8) ENGINE = Memory", None),
        ("INSERT INTO x SELECT 1", None),
    ],
)
def test_only_statements_that_return_rows_have_an_answer_format(statement: str, expected: str | None) -> None:
    assert answer_format(statement, "TabSeparated") == expected
