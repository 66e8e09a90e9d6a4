"""Rows that are born in Django reach DuckDB and ClickHouse once, whatever is killed or repeated in between."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from paperdesk.models import OutboxRow
from results.pipeline import relay as relay_module
from results.pipeline.invariants.check import check_invariants
from results.pipeline.relay import Relay
from results.stores.schema import TABLES
from tests.results.pipeline.made import Side
from tests.results.stores.made import START_US
from tests.results.stores.test_schema import BORN
from trading.models import Strategy
from trading.settings_service import settings_save, settings_seed
from trading.stores import keys
from trading.stores.step import StepRunner

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
ROWS = 20  # 3 venues, 15 instruments, 2 strategies


@pytest.fixture(autouse=True)
def seeded(db: None) -> None:
    settings_seed("synthetic", START_US)


def change(**changes: Any) -> Strategy:
    row = Strategy.objects.get(pk="strategy")
    for name, value in changes.items():
        setattr(row, name, value)
    settings_save([row], "ann", START_US + 1)
    return row


def stored_in_clickhouse(side: Side) -> list[tuple[Any, ...]]:
    query = "SELECT prefix, entry_threshold_bps, changed_by FROM strategy ORDER BY prefix"
    return [tuple(row) for row in side.clickhouse.rows(query)]


def test_settings_reach_duckdb_and_clickhouse_and_all_stores_agree(side: Side) -> None:
    report = side.settle()
    assert (report.relayed, report.appended, report.dead_letters, report.is_level) == (ROWS, ROWS, 0, True)
    row = change(entry_threshold_bps=Decimal("17.5"))
    assert side.settle().relayed == 1
    assert stored_in_clickhouse(side) == [
        ("strategy", Decimal("17.5"), "ann"),
        ("strategy_complete", Decimal(16), "shipped defaults"),
    ]
    with side.gate.read() as connection:
        found = connection.execute("SELECT version, pairs FROM strategy_log WHERE prefix = 'strategy' ORDER BY seq")
        assert found.fetchall() == [(START_US, row.pairs), (row.version, row.pairs)]
    verified = side.verifier().run()
    assert (verified.verdict, verified.difference_count) == ("agree", 0)
    assert Strategy.objects.count() == 2  # the follower of Django's tables left them alone


def test_a_second_turn_relays_nothing(side: Side) -> None:
    side.settle()
    report = side.settle()
    assert (report.relayed, report.appended) == (0, 0)
    assert not OutboxRow.objects.filter(relayed_epoch="").exists()


def test_a_relay_that_dies_before_it_marks_its_rows_adds_none_twice(side: Side) -> None:
    side.settle()
    OutboxRow.objects.update(relayed_epoch="")  # as if the process had died before this was written
    for key in side.client.keys("paperdesk:operation:relay:*"):  # and had come back after the operations were forgotten
        side.client.delete(key)
    report = side.settle()
    assert (report.relayed, report.appended) == (0, 0)
    assert not OutboxRow.objects.filter(relayed_epoch="").exists()


def test_two_relays_at_once_add_a_row_once(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = side.sync.stream.state().epoch
    run = StepRunner.run

    def overtaken(runner: StepRunner, step: Any) -> Any:
        run(runner, step)  # the other relay was here first
        return run(runner, step)

    monkeypatch.setattr(StepRunner, "run", overtaken)
    Relay(side.client).once(epoch)
    assert side.client.xlen(keys.OUTBOX) == ROWS


def test_rows_go_in_bounded_batches_and_the_rest_is_told_as_waiting(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "ROWS_PER_TURN", 8)
    first = side.sync.once()
    assert (first.relayed, first.followers["relay"].lag, first.is_settled) == (
        16,
        4,
        False,
    )  # before the followers, and after
    assert side.settle().followers["relay"].lag == 0
    assert len(side.marks("instrument")["clickhouse"]) == 15


def test_a_stream_that_lost_its_history_gets_every_row_anew(side: Side) -> None:
    side.settle()
    side.client.flushall()
    change(leg_out_ms=700)
    assert side.settle().relayed == 2 * (ROWS + 1)  # the loss is noticed behind the relay: into that stream, then anew
    for table in ("venue", "instrument", "strategy"):
        marks = side.marks(table)
        assert len(marks["clickhouse"]) == len(marks["duckdb"]) > 0
        assert marks["clickhouse"] == marks["duckdb"]
    assert side.verifier().run().verdict == "agree"


def test_an_older_version_behind_a_newer_one_is_a_violation_unless_a_loss_had_all_told_anew(side: Side) -> None:
    def backwards() -> list[str]:
        found = check_invariants(side.client, side.gate).violations
        return [each.sentence for each in found if each.rule == "version monotony"]

    side.settle()
    change(leg_out_ms=700)
    side.settle()
    assert backwards() == []
    side.client.delete(keys.OUTBOX_EPOCH)
    assert side.settle().epoch_began
    assert backwards() == []
    side.client.delete(keys.OUTBOX_LOSS)  # as if there had been none
    assert {sentence.partition(" follows ")[0].partition(" of ")[2] for sentence in backwards()} == {
        "strategy strategy"
    }


def test_what_django_has_and_the_log_lacks_is_behind_while_it_waits_and_a_difference_when_it_was_lost(
    side: Side,
) -> None:
    side.settle()
    change(leg_out_ms=700)
    assert side.verifier().run(["strategy"]).difference_count == 0
    OutboxRow.objects.update(relayed_epoch="lost")
    (lost,) = side.verifier().run(["strategy"]).differences
    assert (lost.store, lost.key, lost.kind.value) == ("django", "strategy", "newer")


def test_a_row_that_somebody_edited_in_sql_is_named(side: Side) -> None:
    side.settle()
    Strategy.objects.filter(pk="strategy").update(leg_out_ms=1)
    (edited,) = side.verifier().run(["strategy"]).differences
    assert (edited.store, edited.key, edited.kind.value) == ("django", "strategy", "corrupt")


def test_every_born_table_is_in_the_schema_of_all_stores() -> None:
    assert {name for name, table in TABLES.items() if table.is_born} == BORN
