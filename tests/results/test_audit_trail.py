"""The audit trail: nothing changes it in silence; what goes around the database's refusal is found by the chain."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from results import tasks, wiring
from results.audit.trail import Deed, audit_add, audit_broken, audit_head, audit_walk
from results.domain.audit import START
from results.pipeline.verify.verified import verified
from results.review_models import AuditEntry, AuditHead
from tests.results.pipeline.conftest import clickhouse, embedded, fresh_clickhouse_url, gate, side
from tests.results.pipeline.made import Side
from trading.domain.units import DAY_US
from trading.engine.alarms import alarms

__all__ = ["clickhouse", "embedded", "fresh_clickhouse_url", "gate", "side"]
NOW_US = 1_763_000_000_000_000
REFUSED = "an entry of the audit trail is never changed or removed"
OTHERS = "version, day, row_hash, changed_at, changed_by, at, action, subject, chain"
NAMES = f"number, {OTHERS}"
REPLACE = f"REPLACE INTO audit_entry (who, {NAMES}) SELECT 'eve', {NAMES} FROM audit_entry"
PUT_BEFORE = f"INSERT INTO audit_entry (who, number, {OTHERS}) SELECT 'eve', -1, {OTHERS} FROM audit_entry LIMIT 1"
STATEMENTS = {
    "sqlite": [REPLACE, "UPDATE OR REPLACE audit_entry SET number = 1 WHERE number = 2"],
    "postgresql": ["TRUNCATE audit_entry", "TRUNCATE audit_entry CASCADE"],
}


def written(count: int, who: str = "mara", at_us: int = NOW_US) -> None:
    deeds = [Deed("commented", f"review_case {number}", None, {"text": f"word {number}"}) for number in range(count)]
    with transaction.atomic():
        audit_add(deeds, at_us, who)


def run_around(statement: str) -> None:
    """A statement with the triggers switched off, as the owner of the database may."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement)
            cursor.execute("SET LOCAL session_replication_role = DEFAULT")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_entry'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        cursor.execute(statement)
        for _, made in triggers:
            cursor.execute(made)


@pytest.mark.both_databases
@pytest.mark.django_db
def test_the_database_refuses_every_way_to_change_the_trail() -> None:
    written(3)
    every = [
        "UPDATE audit_entry SET who = 'eve' WHERE number = 2",
        "UPDATE audit_entry SET number = 9 WHERE number = 2",
    ]
    every += ["DELETE FROM audit_entry WHERE number = 3", "DELETE FROM audit_entry", *STATEMENTS[connection.vendor]]
    for statement in every:
        with pytest.raises(DatabaseError, match=REFUSED), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert audit_broken() is None
    assert AuditEntry.objects.count() == 3


@pytest.mark.both_databases
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "number", "how"),
    [
        ("UPDATE audit_entry SET who = 'eve' WHERE number = 2", 2, "entry 2 is not what was written"),
        ("UPDATE audit_entry SET after = NULL WHERE number = 4", 4, "entry 4 is not what was written"),
        ("UPDATE audit_entry SET chain = 'x' WHERE number = 1", 1, "entry 1 is not what was written"),
        ("DELETE FROM audit_entry WHERE number = 3", 3, "entry 3 is missing, 4 follows"),
        ("DELETE FROM audit_entry WHERE number > 3", 4, "the trail ends with entry 3, 5 were written"),
        ("DELETE FROM audit_entry", 1, "the trail ends with entry 0, 5 were written"),
        ("UPDATE audit_head SET number = 4", 5, "entry 5 was put beside the trail, 4 were written"),
        (PUT_BEFORE, -1, "entry -1 was put beside the trail, which begins with entry 1"),
    ],
)
def test_what_was_done_around_the_refusal_is_found_by_the_chain(statement: str, number: int, how: str) -> None:
    written(5)
    if "audit_head" in statement:
        AuditHead.objects.update(number=4, chain=AuditEntry.objects.get(number=4).chain)
    else:
        run_around(statement)
    found = audit_broken()
    assert found is not None
    assert (found.number, how in found.how) == (number, True), found


@pytest.mark.both_databases
@pytest.mark.django_db
def test_a_trail_that_grows_while_it_is_verified_is_whole() -> None:
    written(3)
    head = audit_head()
    written(2)
    assert audit_walk(START, head) == (head, None, True)


@pytest.mark.django_db
def test_a_long_trail_is_read_some_entries_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.audit.trail.ENTRIES_PER_READ", 2)
    written(5)
    place, ends = START, []
    for _ in range(3):
        place, found, is_over = audit_walk(place, audit_head())
        ends.append((place[0], found, is_over))
    assert ends == [(2, None, False), (4, None, False), (5, None, True)]


@pytest.fixture
def desk(side: Side, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    """Command and worker on the side's own servers."""
    monkeypatch.setattr(wiring, "redis_client", lambda: side.client)
    monkeypatch.setattr(wiring, "gate", lambda: side.gate)
    yield side


def told(*words: str) -> tuple[int, str, str]:
    out, errors = io.StringIO(), io.StringIO()
    try:
        call_command("verify_audit", *words, stdout=out, stderr=errors)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue(), errors.getvalue()
    return 0, out.getvalue(), errors.getvalue()


def test_the_command_names_the_first_broken_entry_and_what_differs(desk: Side) -> None:
    written(4)
    desk.settle()
    status, output, _ = told()
    assert (status, output.startswith("the audit trail is whole: 4 entries, chain ")) == (0, True)
    assert json.loads(told("--json")[1])["ok"] is True
    run_around("UPDATE audit_entry SET who = 'eve' WHERE number >= 2")
    status, _, errors = told()
    assert status == 1
    assert errors.startswith("the audit trail is broken at entry 2: entry 2 is not what was written")
    assert "; who is eve, was mara" in errors
    report = json.loads(told("--json")[1])
    assert (report["ok"], report["entries"], report["broken"]["number"]) == (False, 1, 2)
    assert [(cell["column"], cell["here"], cell["there"]) for cell in report["cells"]] == [("who", "eve", "mara")]


@pytest.mark.parametrize(
    ("from_entry", "how"),
    [
        (None, "entry 3 is in the durable log, and not here any more"),
        (3, "entry 3 is not what the durable log has"),
    ],
)
def test_a_trail_that_was_chained_anew_has_the_durable_log_against_it(
    desk: Side, from_entry: int | None, how: str
) -> None:
    written(5)
    desk.settle()
    run_around("DELETE FROM audit_entry WHERE number > 2")
    AuditHead.objects.update(number=2, chain=AuditEntry.objects.get(number=2).chain)
    if from_entry:
        written(4, "eve", NOW_US + 1)
    assert audit_broken() is None  # the chain itself is whole
    status, _, errors = told()
    assert (status, how in errors, "who is eve, was mara" in errors) == (1, True, from_entry is not None), errors


def test_it_needs_neither_redis_nor_the_log(
    gate: Any, db: None, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(wiring, "gate", lambda: gate)
    settings.REDIS_URL = ""
    written(2)
    assert told()[0] == 0
    run_around("DELETE FROM audit_entry WHERE number = 1")
    assert (told()[0], "entry 1 is missing, 2 follows" in told()[2]) == (1, True)


def test_it_is_verified_once_a_day_and_an_alarm_says_where_it_is_broken(
    desk: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [NOW_US]
    monkeypatch.setattr(wiring, "now_us", lambda: clock[0])
    written(3)

    def state() -> Any:
        return verified(desk.client, "trail")

    tasks.verify_trail()
    assert (state().at_us, state().error, state().rows) == (NOW_US, None, 3)
    run_around("UPDATE audit_entry SET subject = 'nothing' WHERE number = 2")
    clock[0] += 60_000_000
    tasks.verify_trail()
    assert state().at_us == NOW_US  # today's is over
    clock[0] = NOW_US + DAY_US
    tasks.verify_trail()
    assert (state().at_us, state().since_us) == (clock[0], clock[0])
    assert "entry 2 is not what was written" in state().error
    sentences = alarms({"age_ms": 40}, {}, {"trail": {"error": state().error, "lag": 0}}, {})
    assert sentences == [f"The audit trail is broken: {state().error}; see manage.py verify_audit."]
    clock[0] += DAY_US
    tasks.verify_trail()
    assert state().since_us == NOW_US + DAY_US


def test_a_days_pass_goes_on_where_the_last_turn_ended(desk: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.audit.trail.ENTRIES_PER_READ", 2)
    monkeypatch.setattr(tasks, "TRAIL_SECONDS_MAX", 0.0)
    monkeypatch.setattr(wiring, "now_us", lambda: NOW_US)
    written(5)
    seen = []
    for _ in range(4):
        tasks.verify_trail()
        seen.append(verified(desk.client, "trail") is not None)
    assert seen == [False, False, True, True]


def test_the_stores_are_compared_with_the_trail_and_name_what_was_changed_in_django(desk: Side) -> None:
    written(3)
    desk.settle()
    assert desk.verifier().run().verdict == "agree"
    run_around("UPDATE audit_entry SET who = 'eve' WHERE number = 2")
    report = desk.verifier().run()
    assert report.verdict == "differ"
    (difference,) = [each for each in report.differences if each.store == "django"]
    assert (difference.table, difference.key) == ("audit_entry", "2")
    assert [(cell.column, cell.here, cell.there) for cell in difference.cells] == [("who", "eve", "mara")]
