"""The detector finds each kind of fault, and nothing where nothing is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.acknowledged import (
    AcknowledgementList,
    Change,
    Contradiction,
    Operation,
    Outcome,
    operations_in,
    read_list,
)
from tests.faults.checker import Kind
from tests.faults.contents import Contents, Held

TABLE = "trade_result"
OPENED = (Change(TABLE, "a", 1, 11), Change(TABLE, "b", 1, 21))
MOVED = (Change(TABLE, "a", 2, 12),)


def operation(changes: tuple[Change, ...], outcome: Outcome = Outcome.ACKNOWLEDGED, name: str = "first") -> Operation:
    return Operation(name, changes, outcome, "7.jsonl")


def contents(*rows: Held, store: str = "duckdb") -> Contents:
    return Contents(store, {TABLE: list(rows)})


def kinds(operations: list[Operation], *rows: Held) -> list[Kind]:
    """What is found in a log of these rows, in which only clients write."""
    return [found.kind for found in checker.compare_with_log(operations, contents(*rows), [TABLE])]


def test_what_was_acknowledged_and_is_there_once_is_right() -> None:
    listed = [operation(OPENED), operation(MOVED, name="second")]
    assert kinds(listed, ("a", 1, 11), ("b", 1, 21), ("a", 2, 12)) == []


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([("a", 1, 11)], Kind.LOST),
        ([("a", 1, 11), ("b", 1, 21), ("b", 1, 21)], Kind.DUPLICATED),
        ([("a", 1, 11), ("b", 1, 22)], Kind.DIFFERENT),
        ([("a", 1, 11), ("b", 1, 21), ("b", 2, 22)], Kind.UNKNOWN),
    ],
)
def test_a_fault_in_the_log_is_found_by_its_kind(rows: list[Held], kind: Kind) -> None:
    assert kinds([operation(OPENED)], *rows) == [kind]


def test_what_was_never_answered_is_there_wholly_or_not_at_all() -> None:
    maybe = operation(OPENED, Outcome.MAYBE)
    assert kinds([maybe]) == []
    assert kinds([maybe], ("a", 1, 11), ("b", 1, 21)) == []
    assert kinds([maybe], ("b", 1, 21)) == [Kind.HALF]


def test_what_was_refused_is_nowhere_unless_another_operation_made_it() -> None:
    refused = operation(OPENED, Outcome.REFUSED)
    assert kinds([refused]) == []
    assert kinds([refused], ("a", 1, 11)) == [Kind.REFUSED]
    assert kinds([refused, operation(OPENED, name="second")], ("a", 1, 11), ("b", 1, 21)) == []


def test_one_version_is_acknowledged_to_one_client_only() -> None:
    listed = [operation(MOVED), operation(MOVED, name="second")]
    assert kinds(listed, ("a", 2, 12)) == [Kind.CONTESTED]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a", 2, 12)], {Kind.LOST}),
        ([("a", 1, 11), ("b", 1, 21)], {Kind.OLDER, Kind.LOST}),
        ([("a", 2, 13), ("b", 1, 21)], {Kind.DIFFERENT}),
        ([("a", 2, 12), ("b", 1, 21), ("b", 1, 21)], {Kind.DUPLICATED}),
        ([("a", 2, 12), ("b", 1, 21), ("c", 1, 31)], {Kind.UNKNOWN}),
    ],
)
def test_a_fault_in_another_store_is_found_by_its_kind(rows: list[Held], expected: set[Kind]) -> None:
    log = contents(("a", 1, 11), ("b", 1, 21), ("a", 2, 12))
    listed = [operation(OPENED), operation(MOVED, name="second")]
    assert checker.compare_with_store(listed, log, contents(("a", 2, 12), ("b", 1, 21), store="django")) == []
    found = checker.compare_with_store(listed, log, contents(*rows, store="django"))
    assert {each.kind for each in found} == expected


def test_a_change_that_every_store_lost_is_found_in_every_store() -> None:
    found = checker.compare_with_store([operation(OPENED)], contents(("a", 1, 11)), contents(("a", 1, 11), store="x"))
    assert [(each.kind, each.store) for each in found] == [(Kind.LOST, "x")]


def test_what_is_hot_is_the_newest_and_may_have_been_removed() -> None:
    log = contents(("a", 1, 11), ("b", 1, 21), ("a", 2, 12))
    assert checker.compare_hot(log, contents(("b", 1, 21), store="redis")) == []
    found = checker.compare_hot(log, contents(("a", 3, 13), ("b", 1, 22), ("c", 1, 31), store="redis"))
    assert [each.kind for each in found] == [Kind.DIFFERENT, Kind.DIFFERENT, Kind.UNKNOWN]


def test_checksums_are_of_the_newest_versions_and_name_the_table() -> None:
    log = contents(("a", 1, 11), ("b", 1, 21), ("a", 2, 12))
    same, other = contents(("b", 1, 21), ("a", 2, 12), store="x"), contents(("b", 1, 21), ("a", 2, 13), store="y")
    found = checker.compare_checksums(log, [same, other])
    assert [(each.kind, each.store, each.subject) for each in found] == [(Kind.CHECKSUM, "y", TABLE)]


def test_a_list_tells_what_was_acknowledged_refused_and_never_answered(tmp_path: Path) -> None:
    told = AcknowledgementList(tmp_path / "1.jsonl")
    told.began("one", OPENED)
    told.ended("one", Outcome.ACKNOWLEDGED)
    told.began("two", MOVED)
    told.ended("two", Outcome.REFUSED)
    told.began("three", MOVED)
    assert [(each.id, each.changes, each.outcome) for each in read_list(tmp_path / "1.jsonl")] == [
        ("one", OPENED, Outcome.ACKNOWLEDGED),
        ("two", MOVED, Outcome.REFUSED),
        ("three", MOVED, Outcome.MAYBE),
    ]


def test_a_line_that_was_cut_off_is_none(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    told = AcknowledgementList(path)
    told.began("one", OPENED)
    told.ended("one", Outcome.ACKNOWLEDGED)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        expected = [] if end < first else [Outcome.MAYBE]
        assert [each.outcome for each in read_list(path)] == expected


def test_an_operation_that_a_later_life_tried_again_ended_as_that_life_says(tmp_path: Path) -> None:
    first, second = AcknowledgementList(tmp_path / "1.jsonl"), AcknowledgementList(tmp_path / "2.jsonl")
    for told in (first, second):
        told.began("one", OPENED)
    second.ended("one", Outcome.ACKNOWLEDGED)
    assert operations_in(tmp_path.iterdir())["one"].outcome is Outcome.ACKNOWLEDGED
    first.ended("one", Outcome.REFUSED)
    with pytest.raises(Contradiction):
        operations_in(tmp_path.iterdir())


def test_an_operation_has_one_content(tmp_path: Path) -> None:
    for name, changes in (("1.jsonl", OPENED), ("2.jsonl", MOVED)):
        AcknowledgementList(tmp_path / name).began("one", changes)
    with pytest.raises(Contradiction):
        operations_in(tmp_path.iterdir())
