"""What other programs write with plain commands, on real stores: everything arrives, or is set aside with a reason."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from results.models import DeadLetterState
from results.pipeline.log_writer import Written
from results.pipeline.stream import StreamState
from results.stores.duck import Watermark
from tests.results.pipeline.foreign import DOCUMENTS, RESULT_ID, RESULT_KEY, Program, counted, later, letters, settle
from tests.results.pipeline.foreign import versions as versions_of
from tests.results.pipeline.made import Side
from trading.stores import keys

D = Decimal


@pytest.fixture
def program(side: Side) -> Program:
    """Another program beside the desk."""
    return Program(side)


@pytest.mark.both_databases
def test_the_documented_commands_arrive_in_every_store(side: Side, program: Program) -> None:
    for document in DOCUMENTS:
        program.types(document)
    report = settle(side)
    assert (report.is_level, report.swept, report.appended) == (True, 3, 3 + 2)  # a case, and that it was opened
    result = versions_of(side)[0]
    assert (result["lot_size"], result["state"], result["version"], result["origin"]) == (
        D("1.5"),
        "executed",
        1,
        "foreign",
    )
    assert versions_of(side, "result_metrics")[0]["broker_latency_ms"] == 50
    assert versions_of(side, "trade_reconciliation")[0]["rejection_reason"] == "Slippage too high"
    assert counted(side) == (3, 3, 0, 0)


def test_the_documented_state_update_is_a_new_version(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    program.types("result_state_update")
    settle(side)
    assert [(row["version"], row["state"]) for row in versions_of(side)] == [(1, "executed"), (2, "partially_filled")]
    assert side.client.hget(RESULT_KEY, "version") == b"2"


def test_what_the_other_program_wrote_stays_as_it_wrote_it(side: Side, program: Program) -> None:
    program.types("result")
    program.sets(pnl="1.2348000000001775", note="ours")
    settle(side)
    fields: Any = side.client.hgetall(RESULT_KEY)
    assert (fields[b"pnl"], fields[b"execution_price"], fields[b"note"]) == (b"1.2348000000001775", b"1.12340", b"ours")
    assert versions_of(side)[0]["pnl"] == D("1.2348")


def test_a_second_sync_changes_nothing_and_neither_does_one_of_another_process(side: Side, program: Program) -> None:
    for document in DOCUMENTS:
        program.types(document)
    settle(side)
    before: Any = side.client.hgetall(RESULT_KEY)
    side.sync = side.new_sync()
    report = settle(side)
    assert (report.swept, report.appended, side.client.hgetall(RESULT_KEY)) == (0, 0, before)


def test_what_was_written_while_nothing_ran_is_found_after_the_restart(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    program.sets(pnl="76")
    program.types("result_metrics")
    side.sync = side.new_sync()
    settle(side)
    assert versions_of(side)[-1]["pnl"] == D(76)
    assert len(versions_of(side, "result_metrics")) == 1


def test_a_hash_of_ours_that_another_program_changed_is_a_new_version_of_theirs(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    program.sets(commission="2")
    settle(side)
    last = versions_of(side)[-1]
    assert (last["version"], last["commission"], last["origin"]) == (2, D(2), "foreign")


def test_changing_a_value_there_and_back_between_two_sweeps_is_no_version(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    program.sets(pnl="76")
    program.sets(pnl="75.00")  # another text, the same number
    settle(side)
    assert len(versions_of(side)) == 1


def test_an_optional_field_that_is_removed_becomes_null(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    side.client.hdel(RESULT_KEY, "pnl")
    settle(side)
    assert versions_of(side)[-1]["pnl"] is None


def test_an_incomplete_hash_is_set_aside_after_two_seconds_and_taken_back_when_completed(
    side: Side, program: Program
) -> None:
    words = program.types("result")
    side.client.hdel(RESULT_KEY, "execution_price", "executed_at")
    assert settle(side).followers["sweep"].lag == 0
    assert (letters(), counted(side), side.sync.intake.sweep.waiting) == ([], (0, 0, 0, 0), 1)
    later(side, 1.9)
    assert letters() == []
    later(side, 0.1)
    (letter,) = letters()
    assert (letter.kind, letter.key, letter.table, letter.state) == ("hash", RESULT_KEY, "trade_result", "open")
    assert letter.reason == f"{RESULT_KEY}: fields execution_price, executed_at missing"
    assert '"symbol":"EURUSD"' in letter.content
    later(side)
    assert len(letters()) == 1
    side.client.execute_command(*words)
    later(side)
    (letter,) = letters()
    assert (letter.state, letter.outcome) == (DeadLetterState.DONE, "accepted as version 1 of trade_result")
    assert len(versions_of(side)) == 1
    assert counted(side) == (2, 1, 1, 0)


def test_a_hash_that_somebody_is_still_writing_is_not_set_aside(side: Side, program: Program) -> None:
    program.sets(symbol="EURUSD")
    settle(side)
    program.sets(direction="buy")
    later(side, 1.5)
    program.sets(state="executed")
    later(side, 1.5)
    assert letters() == []


def test_a_partial_change_of_a_removed_hash_is_laid_over_the_newest_durable_version(
    side: Side, program: Program
) -> None:
    program.types("result")
    settle(side)
    side.client.delete(RESULT_KEY)
    program.types("result_state_update")
    settle(side)
    last = versions_of(side)[-1]
    assert (last["version"], last["state"], last["pnl"], last["symbol"]) == (2, "partially_filled", D(75), "EURUSD")
    assert side.client.hget(RESULT_KEY, "symbol") == b"EURUSD"
    assert letters() == []


def test_a_removed_hash_that_is_written_anew_goes_on_with_its_versions(side: Side, program: Program) -> None:
    program.types("result")
    program.types("result_state_update")
    settle(side)
    program.sets(pnl="1")
    settle(side)
    side.client.delete(RESULT_KEY)
    program.types("result")
    side.sync = side.new_sync()
    settle(side)
    assert [(row["version"], row["pnl"]) for row in versions_of(side)] == [(1, D(75)), (2, D(1)), (3, D(75))]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("pnl", "much", "field pnl is 'much', not a decimal"),
        ("pnl", "1e40", "field pnl is '1e40', not a decimal"),
        ("executed_at", "yesterday", "field executed_at is 'yesterday', not a time"),
        ("state", "resting", "field state is 'resting', not a text: it must be one of"),
        ("symbol", "x" * 65, "symbol is 'xxx"),
        ("symbol", "BTC\0USDT", "symbol is 'BTC"),
        ("executed_at", "1022-03-22T10:16:00Z", "day is '1022-03-22', which not every store can hold"),
    ],
)
def test_what_is_malformed_is_a_dead_letter_and_not_in_the_way(
    side: Side, program: Program, field: str, value: str, reason: str
) -> None:
    program.types("result")
    program.types("result_metrics")
    program.sets(**{field: value})
    report = settle(side)
    assert (report.is_level, report.appended) == (True, 1)
    (letter,) = letters()
    assert reason in letter.reason
    assert value[:60].replace("\0", "\\u0000") in letter.content
    assert counted(side) == (2, 1, 1, 1)
    assert later(side).swept == 0
    assert len(letters()) == 1


def test_keys_of_another_type_and_ids_that_are_none_are_dead_letters(side: Side, program: Program) -> None:
    program.types("result")
    side.client.set("result:123", "a text")
    side.client.hset("result:order-1", "state", "executed")
    side.client.hset(b"result:\xff\xfe", "state", "executed")
    side.client.hset(keys.result(RESULT_ID.upper()), "state", "executed")
    assert settle(side).appended == 1
    assert len(letters()) == 4
    later(side)
    assert len(letters()) == 4


def test_an_illegal_transition_is_set_aside_and_changes_nothing(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    program.sets(state="failed")
    settle(side)
    program.sets(state="executed", pnl="9")
    settle(side)
    assert [row["state"] for row in versions_of(side)] == ["executed", "failed"]
    (letter,) = letters()
    assert letter.reason == f"result {RESULT_ID} is failed, it cannot become executed"
    program.sets(state="failed")
    settle(side)
    assert [(row["version"], row["pnl"]) for row in versions_of(side)] == [(1, D(75)), (2, D(75)), (3, D(9))]
    assert letters()[0].state == DeadLetterState.DONE


def test_a_content_that_is_set_aside_anew_replaces_the_letter_of_before(side: Side, program: Program) -> None:
    program.types("result")
    program.sets(pnl="much")
    settle(side)
    program.sets(pnl="more")
    settle(side)
    first, second = letters()
    assert (first.state, second.state) == (DeadLetterState.DONE, DeadLetterState.OPEN)
    assert second.id in first.outcome
    assert counted(side) == (2, 0, 2, 1)


def test_a_sync_killed_between_taking_and_appending_loses_and_doubles_nothing(side: Side, program: Program) -> None:
    def die(passed: str, _count: int) -> None:
        if passed == "sweep":
            raise KeyboardInterrupt

    program.types("result")
    with pytest.raises(KeyboardInterrupt):
        side.sync.once(die)
    side.sync = side.new_sync()
    settle(side)
    assert len(versions_of(side)) == 1
    assert counted(side) == (1, 1, 0, 0)


def test_the_sweep_is_told_of_in_the_sync_of_the_desk(side: Side, program: Program) -> None:
    program.types("result")
    program.sets(state="resting")
    program.types("result_metrics")
    settle(side)
    told: Any = side.client.hget(keys.SYNC, "sweep")
    assert b'"seen":2,"accepted":1,"set_aside":1,"open":1,"incomplete":0' in told


def test_what_was_taken_agrees_with_the_stores_and_what_was_set_aside_is_only_counted(
    side: Side, program: Program
) -> None:
    for document in DOCUMENTS:
        program.types(document)
    program.has_a_portfolio()
    program.opens()
    settle(side)
    report = side.verifier().run()
    assert (report.verdict, report.foreign, report.rows) == ("agree", 0, 4 + 2)  # a case, and that it was opened
    program.sets(state="failed")
    settle(side)
    program.sets(state="executed")
    settle(side)
    report = side.verifier().run()
    assert (report.verdict, report.foreign) == ("agree", 1)


def test_a_record_is_not_judged_beside_a_log_that_is_behind(side: Side, program: Program) -> None:
    behind = Written(0, 0, False, StreamState("epoch", "5-0"), Watermark("epoch", "4-0", 0, 0))
    program.types("result")
    taken = side.sync.intake.once(lambda _: behind, side.now_us)
    assert (taken.decided, taken.postponed, counted(side)) == (0, 1, (0, 0, 0, 0))
    settle(side)
    assert len(versions_of(side)) == 1


def test_records_that_are_gone_are_forgotten(side: Side, program: Program) -> None:
    program.types("result")
    program.types("result_metrics")
    settle(side)
    side.client.delete(RESULT_KEY)
    assert side.sync.intake.sweep.store.forget_gone() == 1
    assert side.client.hlen(keys.SWEPT) == 1
