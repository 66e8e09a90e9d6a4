"""The daily audit: in slices, over every row, and over every value in its turn."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from django.db import DatabaseError

from results.domain.outcomes import result_id_of
from results.models import TradeResult
from results.pipeline.mirror import DjangoTables
from results.pipeline.verify.audit import SAMPLE_DAYS, Audit, AuditPass, last_pass
from results.pipeline.verify.fingerprints import Fingerprint
from results.pipeline.verify.hot_audit import HotAudit
from results.pipeline.verify.sources import ROWS_PER_PART, DjangoRows, Part, parts_of
from results.pipeline.verify.verified import AUDITED, VERIFIED, publish_verified, state_of, state_of_pass, verified
from results.stores.clickhouse import ClickHouse
from results.stores.schema import TABLES
from tests.results.pipeline.damage import Book
from tests.results.pipeline.made import NOW_US, Side
from tests.results.pipeline.made_trades import PREFIX, Portfolio
from trading.domain.units import DAY_US, day_of
from trading.stores import keys

TODAY = day_of(NOW_US)
SAMPLED, OTHER = TODAY - datetime.timedelta(SAMPLE_DAYS - 1), TODAY - datetime.timedelta(7)
TABLE = "trade_result"


@pytest.fixture
def old(side: Side) -> Side:
    """Results of two past days, in every store, audited; one of the days has its turn again on the next."""
    for number, day in enumerate((SAMPLED, OTHER), start=1):
        side.emit(TABLE, number, day=day)
        side.emit(TABLE, number + 10, day=day)
    assert side.settle().is_level
    done = finished(audit_of(side))
    assert (done.rows, done.recomputed_rows, done.difference_count) == (4, 4, 0)
    side.now_us += DAY_US
    return side


def audit_of(side: Side) -> Audit:
    return Audit(side.client, side.verifier(), HotAudit(side.client, side.gate), lambda: side.now_us)


def finished(audit: Audit) -> AuditPass:
    """The pass, once it has ended; each turn has time for one part."""
    done = None
    for _ in range(100):
        turn = audit.turn(0.0)
        done = turn or done
        if done and done.ended_us:
            return done
    raise AssertionError(f"no end in sight: {done}")


def key(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def test_a_row_lost_long_ago_is_found_the_next_day(old: Side) -> None:
    assert old.clickhouse.rows(f"SELECT count() FROM {TABLE}") == [(4,)]
    old.clickhouse.command(f"ALTER TABLE {TABLE}_log DELETE WHERE result_id = '{key(2)}' SETTINGS mutations_sync = 2")
    done = finished(audit_of(old))
    assert (done.rows, done.recomputed_rows, done.difference_count) == (4, 2, 1)
    assert done.sentences == (
        f"trade_result {key(2)} in clickhouse: the log has version 1, clickhouse has no such row",
    )


def test_a_value_changed_under_its_hash_is_found_when_its_day_has_its_turn_or_changed(old: Side) -> None:
    TradeResult.objects.filter(pk=key(1)).update(symbol="OTHER")
    TradeResult.objects.filter(pk=key(2)).update(symbol="OTHER")
    assert "trade_result " + key(1) in " ".join(finished(audit_of(old)).sentences)
    old.now_us += DAY_US
    assert finished(audit_of(old)).difference_count == 0  # neither day's turn: the stored hashes agree
    old.emit(TABLE, 3, day=OTHER)
    old.settle()
    old.now_us += DAY_US
    done = finished(audit_of(old))
    assert [sentence.partition(":")[0] for sentence in done.sentences] == [f"trade_result {key(2)} in django"]


def test_a_pass_is_taken_up_by_another_process_and_ends_once_a_day(old: Side) -> None:
    first = audit_of(old).turn(0.0)
    assert first is not None and first.ended_us is None
    second = audit_of(old).turn(0.0)
    assert second is not None and second.began_us == first.began_us
    audit = audit_of(old)
    done = finished(audit)
    assert done.began_us == first.began_us
    assert audit.turn() is None and audit_of(old).turn() is None
    assert last_pass(old.client) == done


def test_it_waits_for_a_store_that_is_away(old: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    there, old.clickhouse = old.clickhouse, ClickHouse("http://default@127.0.0.1:1/nowhere")
    audit = audit_of(old)
    for _ in range(3):
        waiting = audit.turn(0.0)
        assert waiting is not None and waiting.ended_us is None
        assert list(waiting.away) == ["clickhouse"]
    old.clickhouse = there
    assert finished(audit).rows == 4


def test_what_is_published_lasts_until_a_later_look_agrees(old: Side) -> None:
    TradeResult.objects.filter(pk=key(1)).delete()
    done = finished(audit_of(old))
    publish_verified(old.client, AUDITED, state_of_pass(done, None))
    state = verified(old.client, AUDITED)
    assert state is not None and state.error is not None and "1 rows differ: trade_result" in state.error
    assert (state.at_us, state.since_us, state.rows) == (old.now_us, old.now_us, 4)
    old.repair()
    old.now_us += DAY_US
    under_way = audit_of(old).turn(0.0)
    assert under_way is not None
    assert state_of_pass(under_way, state).error == state.error
    assert state_of_pass(finished(audit_of(old)), state).error is None


def test_every_minute_the_changed_days_are_compared_again_while_they_differ(old: Side) -> None:
    verifier = old.verifier()
    first = verifier.run_changed(0, TODAY)
    assert (first.verdict, first.rows, first.seq) == ("agree", 4, 4)
    agreed = state_of(first, None)
    assert verifier.run_changed(agreed.seq, TODAY).rows == 0
    old.emit(TABLE, 3, day=OTHER)
    old.settle()
    TradeResult.objects.filter(pk=key(12)).delete()
    report = verifier.run_changed(agreed.seq, TODAY)
    assert (report.verdict, report.rows, report.seq) == ("differ", 3, 5)
    assert report.worst == "1 rows differ, most of them in trade_result (django)"
    differing = state_of(report, agreed)
    assert (differing.seq, differing.error) == (4, report.worst)
    publish_verified(old.client, VERIFIED, differing)
    assert verifier.run_changed(differing.seq, TODAY).verdict == "differ"


def test_what_is_hot_in_redis_is_compared_too_and_what_is_on_its_way_is_no_difference(side: Side) -> None:
    portfolio = Portfolio(side.client)
    first, second = (portfolio.closed(portfolio.opened(number)) for number in (1, 2))
    portfolio.opened(3)
    side.settle()
    done = finished(audit_of(side))
    # three trades, their ten results with as many metrics, two reconciliations
    assert (done.rows - rows_of_log(side), done.difference_count) == (3 + 2 * 10 + 2, 0)
    side.now_us += DAY_US
    portfolio.opened(4)  # nobody has synced it
    record = keys.PortfolioKeys(PREFIX).closed_trade(first.id)
    raw: Any = side.client.get(record)
    side.client.set(record, raw.replace(b'"symbol":"BTCUSDT"', b'"symbol":"ETHUSDT"'))
    metrics = result_id_of(second.long_order.id)
    with side.gate.write() as log:
        log.execute("DELETE FROM result_metrics_log WHERE result_id = CAST(? AS UUID)", [metrics]).fetchall()
    done = finished(audit_of(side))
    told = {sentence.partition(":")[0] for sentence in done.sentences}
    of_metrics = {f"result_metrics {metrics} in {store}" for store in ("django", "clickhouse", "redis")}
    assert told | of_metrics == {f"paper_trade {first.id} in redis"} | of_metrics, done.sentences
    assert done.difference_count == 4


def rows_of_log(side: Side) -> int:
    with side.gate.read() as log:
        return sum(log.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in TABLES)


def test_numbers_of_another_log_say_nothing_of_what_changed(old: Side) -> None:
    done = last_pass(old.client)
    assert done is not None
    old.client.set(keys.AUDIT, msgspec.json.encode(msgspec.structs.replace(done, seq=1_000_000)))
    assert finished(audit_of(old)).recomputed_rows == 4  # all of it is new to whoever was at home in a longer one
    assert old.verifier().run_changed(1_000_000, TODAY).rows == 4


def test_every_minute_a_follower_that_is_behind_is_told_and_compared_once_it_is_not(
    old: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = old.verifier()
    TradeResult.objects.filter(pk=key(2)).delete()
    with monkeypatch.context() as patch:
        patch.setattr(DjangoTables, "write", _away)
        old.emit(TABLE, 3, day=OTHER)
        old.settle()
    report = verifier.run_changed(4, TODAY)
    assert (report.verdict, report.behind, report.difference_count) == ("behind", {"django": 1}, 0)
    assert [sorted(day.stores) for day in report.tables if day.day == OTHER and day.table == TABLE] == [
        ["clickhouse", "duckdb"]
    ]
    old.settle()
    report = verifier.run_changed(4, TODAY)
    assert (report.verdict, report.behind, report.difference_count) == ("differ", {}, 1)


def test_every_minute_stores_that_agree_are_asked_once_for_a_day_however_large(
    old: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Part] = []
    monkeypatch.setattr("results.pipeline.verify.sources.ROWS_PER_PART", 1)
    fingerprint = DjangoRows.fingerprint

    def noted(self: DjangoRows, part: Part) -> Fingerprint:
        asked.append(part)
        return fingerprint(self, part)

    monkeypatch.setattr(DjangoRows, "fingerprint", noted)
    report = old.verifier().run_changed(0, TODAY)
    assert (report.verdict, report.rows) == ("agree", 4)
    assert {part for part in asked if part.table.name == TABLE} == {
        Part(TABLES[TABLE], day) for day in (SAMPLED, OTHER, TODAY)
    }
    assert len(asked) == len(set(asked))


def _away(*_: object) -> int:
    raise DatabaseError("the database is away")


def test_a_large_day_is_read_in_parts_that_are_the_whole(side: Side) -> None:
    table = TABLES[TABLE]
    assert parts_of(table, TODAY, ROWS_PER_PART) == [Part(table, TODAY)]
    assert len(parts_of(table, TODAY, ROWS_PER_PART + 1)) == 16
    assert len(parts_of(table, TODAY, 16 * ROWS_PER_PART + 1)) == 256
    assert parts_of(TABLES["daily_metrics"], TODAY, 10**6) == [Part(TABLES["daily_metrics"], TODAY)]


@pytest.mark.both_databases
def test_parts_are_read_alike_in_every_store(side: Side) -> None:
    book = Book(side)
    with side.gate.read() as connection:
        (day,) = {day for (day,) in connection.execute(f"SELECT day FROM {TABLE}").fetchall()}
    parts = [Part(TABLES[TABLE], day, digit) for digit in "0123456789abcdef"]
    for recompute in (False, True):
        report = book.side.verifier().run_parts(parts, recompute=recompute)
        (told,) = report.tables
        assert (report.verdict, report.rows, set(told.stores)) == ("agree", 14, {"duckdb", "django", "clickhouse"})
        assert len(set(told.stores.values())) == 1
    TradeResult.objects.filter(pk=book.result_id).delete()
    report = book.side.verifier().run_parts(parts, recompute=False)
    assert [each.key for each in report.differences] == [book.result_id]
