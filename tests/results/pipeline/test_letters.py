"""Dead letters: filed once, tried again when staff ask, and what comes of that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection

from results.letter_services import RetryForbidden, dead_letters_retry
from results.models import DeadLetter, DeadLetterState, FollowerWatermark
from results.pipeline.entries import DeadLetter as Letter
from results.pipeline.entries import DeadLetterBox
from results.pipeline.stream import StreamEntry
from tests.results.pipeline.foreign import RESULT_ID, RESULT_KEY, TRADE_ID, Program, counted, letters, settle, versions
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import Portfolio
from trading.stores import keys
from trading.stores.step import StepRunner

OPEN, DONE = DeadLetterState.OPEN, DeadLetterState.DONE


@pytest.fixture
def program(side: Side) -> Program:
    """Another program beside the desk."""
    return Program(side)


def ask(*found: DeadLetter) -> None:
    """A superuser wants another try."""
    user = User.objects.filter(username="root").first() or User.objects.create_superuser("root")
    dead_letters_retry([letter.id for letter in found], user)


def test_a_retry_that_fails_again_says_why_and_when(side: Side, program: Program) -> None:
    program.types("result")
    program.sets(pnl="much")
    settle(side)
    ask(*letters())
    assert letters()[0].state == DeadLetterState.ASKED
    side.now_us += 7_000_000
    settle(side)
    (letter,) = letters()
    assert (letter.state, letter.tries, letter.asked_by) == (OPEN, 1, "root")
    assert "field pnl is 'much', not a decimal" in letter.reason
    assert letter.tried_at is not None
    assert int(letter.tried_at.timestamp() * 1_000_000) == side.now_us
    assert counted(side) == (1, 0, 1, 1)


@pytest.mark.both_databases
def test_a_retry_that_succeeds_marks_the_letter_done(side: Side, program: Program) -> None:
    words = program.types("result")
    program.sets(state="failed")
    settle(side)
    side.client.delete(RESULT_KEY)
    side.client.hset(RESULT_KEY, "state", "executed")
    settle(side)
    (letter,) = letters()
    assert (letter.state, "cannot become executed" in letter.reason) == (OPEN, True)
    with side.gate.write() as log:  # the log was mended by hand: it has another row now
        log.execute("UPDATE trade_result_log SET state = 'pending'").fetchall()
    ask(letter)
    report = settle(side)
    (letter,) = letters()
    assert (letter.state, letter.tries) == (DONE, 1)
    assert letter.outcome == "accepted as version 2 of trade_result"
    assert report.swept == 1
    assert side.client.hget(RESULT_KEY, "symbol") == words[words.index("symbol") + 1].encode()
    assert counted(side) == (2, 2, 0, 0)


def test_a_hash_that_is_gone_is_put_back_from_its_letter(side: Side, program: Program) -> None:
    program.types("result_state_update")
    settle(side)
    side.now_us += 2_000_000
    settle(side)
    side.client.delete(RESULT_KEY)
    settle(side)
    assert letters()[0].state == OPEN
    program.types("result")
    fields: Any = side.client.hgetall(RESULT_KEY)
    side.client.delete(RESULT_KEY)
    DeadLetter.objects.update(content=msgspec.json.encode({n.decode(): v.decode() for n, v in fields.items()}).decode())
    ask(*letters())
    settle(side)
    assert (letters()[0].state, len(versions(side))) == (DONE, 1)


def test_a_trade_that_is_gone_cannot_be_tried_again(side: Side, program: Program) -> None:
    program.has_a_portfolio()
    program.opens(symbol="x" * 65)
    settle(side)
    side.client.delete(f"strategy:trades:active:{TRADE_ID}")
    ask(*letters())
    settle(side)
    (letter,) = letters()
    assert (letter.state, letter.tries) == (OPEN, 1)
    assert letter.reason == f"strategy:trades:active:{TRADE_ID} is no longer in Redis; its content is kept here"


def test_an_element_of_the_leg_out_list_is_tried_again(side: Side, program: Program) -> None:
    program.has_a_portfolio()
    side.client.lpush("strategy:leg_out_events", "no event")
    settle(side)
    ask(*letters())
    settle(side)
    (letter,) = letters()
    assert (letter.state, letter.tries, letter.kind) == (OPEN, 1, "element")
    assert "malformed" in letter.reason


def test_an_entry_of_the_outbox_is_emitted_again_once_it_is_a_row(side: Side) -> None:
    side.emit("trade_result", 1)
    settle(side)
    side.emit("trade_result", 2)
    good = side.entries()[-1]
    side.client.xdel(keys.OUTBOX, good[0])
    bad = {**good[1], b"version": b"9"}
    for fields in (good[1], bad):
        box = DeadLetterBox(StepRunner(side.client))
        box.put(
            [Letter(StreamEntry(f"{len(fields)}-{fields[b'version'].decode()}", fields), "an older version said no")],
            "e",
        )
    settle(side)
    ask(*letters())
    settle(side)
    first, second = letters()
    assert (first.state, first.tries, second.state, second.tries) == (DONE, 1, OPEN, 1)
    assert second.reason.startswith("version is b'9'")
    assert len(versions(side)) == 2


def test_a_trade_that_could_not_be_reconciled_is_tried_again(side: Side) -> None:
    portfolio = Portfolio(side.client)
    trade = portfolio.opened(1)
    settle(side)
    portfolio.closed(trade)
    (broken,) = [key for key in side.client.keys("result:*") if side.client.hget(key, "role") == b"entry"][:1]
    right: Any = side.client.hget(broken, "commission")
    side.client.hset(broken, "commission", "much")
    settle(side)
    found = {letter.kind: letter for letter in letters()}
    assert found.keys() == {"hash", "reconciliation"}
    ask(found["reconciliation"])
    settle(side)
    again = DeadLetter.objects.get(kind="reconciliation")
    assert (again.state, again.tries) == (OPEN, 1)
    side.client.hset(broken, "commission", right)
    ask(again)
    settle(side)
    assert {letter.kind: letter.state for letter in letters()} == {"hash": DONE, "reconciliation": DONE}
    assert side.client.exists(keys.reconciliation(trade.id))


def test_letters_are_filed_once_though_a_database_was_away(side: Side, program: Program) -> None:
    def refuse(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        raise OperationalError("connection refused")

    program.types("result")
    program.sets(pnl="much")
    with connection.execute_wrapper(refuse):
        report = side.sync.once()
    assert (report.followers["sweep"].error or "").startswith("OperationalError")
    assert settle(side).is_level
    side.sync = side.new_sync()
    settle(side)
    assert len(letters()) == 1
    FollowerWatermark.objects.filter(name="dead_letters").update(mark="9999999999999-0")  # Redis lost its tail
    side.sync = side.new_sync()
    settle(side)
    assert len(letters()) == 1


def test_only_staff_may_ask(side: Side, program: Program) -> None:
    program.types("result")
    program.sets(pnl="much")
    settle(side)
    with pytest.raises(RetryForbidden):
        dead_letters_retry([letters()[0].id], User.objects.create_user("analyst"))
    assert (letters()[0].state, RESULT_ID in letters()[0].key) == (OPEN, True)
