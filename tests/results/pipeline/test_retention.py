"""Result hashes leave Redis once every store has them as they stand, and never otherwise, on real stores."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paperdesk.archive.hold import held
from results.models import TradeReconciliation, TradeResult
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.invariants.check import check_invariants
from results.pipeline.keep.confirmed import ConfirmedRows
from results.pipeline.keep.retention import Limits, Retained, Retention
from results.pipeline.keep.window import Window
from results.pipeline.mirror import DjangoTables
from results.stores.failures import ClickHouseAway
from tests.results.pipeline.foreign import DOCUMENTS, RESULT_ID, RESULT_KEY, Program, settle, versions
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import Portfolio
from trading.domain.units import DAY_US, MICROSECONDS
from trading.stores import keys
from trading.stores.retain_store import Fate, HotHash, RetainStore

HOUR_US = 3_600 * MICROSECONDS
DAY_AND_A_BIT = 24 * HOUR_US + MICROSECONDS
PATTERNS = (keys.RESULT_PATTERN, keys.RESULT_METRICS_PATTERN, keys.RECONCILIATION_PATTERN)


def retention(side: Side, age_us: int = 24 * HOUR_US, hashes_max: int = 50_000) -> Retention:
    """The retention as another process would make it."""
    followers = (DjangoTables(), ClickHouseTables(lambda: side.clickhouse, lambda: side.gate))
    return Retention(
        side.client, ConfirmedRows(side.gate, followers, lambda: side.clickhouse), Limits(age_us, hashes_max)
    )


def after_a_day(side: Side, **limits: int) -> Retained:
    """A run a day after the last change."""
    side.now_us += DAY_AND_A_BIT
    return retention(side, **limits).once(side.now_us)


def hashes(side: Side) -> set[bytes]:
    found: list[bytes] = [key for pattern in PATTERNS for key in side.client.scan_iter(pattern)]
    return set(found)


def indexed(side: Side) -> set[bytes]:
    found: list[Any] = [side.client.zrange(keys.hot_index(beginning), 0, -1) for beginning in DOCUMENTS]
    return {key for each in found for key in each}


@pytest.fixture
def program(side: Side) -> Program:
    return Program(side)


@pytest.fixture
def closed(side: Side) -> Portfolio:
    """A portfolio with three closed trades, durable everywhere."""
    portfolio = Portfolio(side.client)
    for number in range(3):
        portfolio.closed(portfolio.opened(number))
    settle(side)
    assert indexed(side) == hashes(side)
    return portfolio


@pytest.mark.both_databases
def test_what_every_store_has_goes_a_day_after_its_last_change(side: Side, closed: Portfolio) -> None:
    before = hashes(side)
    assert len(before) == 3 * (4 + 4 + 1)
    side.now_us += 23 * HOUR_US
    assert retention(side).once(side.now_us).removed == 0
    assert hashes(side) == before
    side.now_us += HOUR_US + MICROSECONDS
    done = retention(side).once(side.now_us)
    assert (done.removed, done.put_off, set(done.hot.values())) == (len(before), {}, {0})
    assert (hashes(side), indexed(side)) == (set(), set())
    assert side.verifier().run().verdict == "agree"
    assert not check_invariants(side.client, side.gate).violations
    assert retention(side).once(side.now_us).removed == 0


def test_a_change_begins_the_day_anew(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    side.now_us += 23 * HOUR_US
    program.sets(pnl="76")
    settle(side)
    side.now_us += 23 * HOUR_US
    assert retention(side).once(side.now_us).removed == 0
    side.now_us += 2 * HOUR_US
    assert retention(side).once(side.now_us).removed == 1


def test_a_change_that_no_sweep_has_seen_keeps_its_hash(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    program.sets(pnl="76")
    assert after_a_day(side).removed == 0
    settle(side)
    assert [str(row["pnl"]) for row in versions(side)] == ["75", "76"]


def test_no_hash_ever_has_a_ttl(side: Side, closed: Portfolio) -> None:
    side.now_us += DAY_AND_A_BIT
    retention(side, hashes_max=2).once(side.now_us - DAY_AND_A_BIT)
    assert {side.client.ttl(key) for key in hashes(side)} == {-1}


@pytest.mark.parametrize("store", ["django row", "django hash", "clickhouse", "follower", "log"])
def test_one_store_that_has_not_the_row_keeps_the_hash(side: Side, program: Program, store: str) -> None:
    program.types("result")
    settle(side)
    if store == "django row":
        TradeResult.objects.all().delete()
    elif store == "django hash":
        TradeResult.objects.update(row_hash=1)
    elif store == "clickhouse":
        side.clickhouse.command("TRUNCATE TABLE trade_result_log")
    elif store == "follower":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE follower_watermark SET seq = 0, mark = '' WHERE name = 'django'")
    else:
        with side.gate.write() as log:
            log.execute("UPDATE trade_result_log SET pnl = pnl + 1").fetchall()
    done = after_a_day(side)
    assert (done.removed, done.put_off) == (0, {"not level in every store": 1})
    assert side.client.exists(RESULT_KEY)


def test_what_could_not_go_is_looked_at_again_later_and_stands_in_nobodys_way(side: Side, program: Program) -> None:
    program.types("result")
    program.sets(note="mine")
    for document in ("result_metrics", "reconciliation"):
        program.types(document)
    settle(side)
    done = after_a_day(side)
    assert (done.removed, done.put_off) == (1, {"fields that no store has": 1, "in use": 1})
    assert retention(side).once(side.now_us + MICROSECONDS).put_off == {}
    side.client.hdel(RESULT_KEY, "note")
    settle(side)
    assert retention(side).once(side.now_us + DAY_AND_A_BIT).removed == 2


def test_a_store_that_is_away_keeps_everything(side: Side, closed: Portfolio) -> None:
    before = hashes(side)
    followers = (DjangoTables(), ClickHouseTables(away, lambda: side.gate))
    blind = Retention(side.client, ConfirmedRows(side.gate, followers, away), Limits(0, 0))
    with pytest.raises(ClickHouseAway, match="ClickHouse is on holiday"):
        blind.once(side.now_us)
    assert hashes(side) == before


def away() -> Any:
    raise ClickHouseAway("ClickHouse is on holiday")


def test_results_of_an_open_trade_stay_for_its_engine(side: Side) -> None:
    portfolio = Portfolio(side.client)
    trade = portfolio.opened(1)
    settle(side)
    before = hashes(side)
    assert after_a_day(side).put_off == {"in use": 4}
    assert hashes(side) == before
    portfolio.closed(trade)
    settle(side)
    assert after_a_day(side).removed == 4 + 4 + 1


def test_over_the_cap_the_oldest_go_first_whatever_their_age(side: Side) -> None:
    portfolio = Portfolio(side.client)
    for number in range(4):
        portfolio.closed(portfolio.opened(number))
        side.now_us += MICROSECONDS
        settle(side)
    newest = side.client.zrange(keys.hot_index("result"), -6, -1)
    done = retention(side, hashes_max=6).once(side.now_us)
    assert done.hot == {"result": 6, "result_metrics": 6, "reconciliation": 4}
    assert set(side.client.scan_iter(keys.RESULT_PATTERN)) == set(newest)


def test_while_a_backup_runs_nothing_goes(side: Side, closed: Portfolio) -> None:
    before = hashes(side)
    with held(side.client):
        assert after_a_day(side).held
    assert hashes(side) == before
    assert retention(side).once(side.now_us).removed == len(before)


def test_a_partial_change_of_a_removed_hash_is_the_next_version_of_its_row(side: Side, program: Program) -> None:
    for document in DOCUMENTS:
        program.types(document)
    settle(side)
    side.now_us += DAY_AND_A_BIT
    retention(side).once(side.now_us)
    retention(side).once(side.now_us)
    assert not hashes(side) - {keys.result_metrics(RESULT_ID).encode()}
    program.sets(state="partially_filled")
    settle(side)
    first, second = versions(side)
    assert (second["version"], second["state"], second["pnl"]) == (2, "partially_filled", first["pnl"])
    assert TradeResult.objects.get().state == "partially_filled"
    fields: Any = side.client.hgetall(RESULT_KEY)
    assert (fields[b"version"], fields[b"symbol"]) == (b"2", b"EURUSD")
    assert after_a_day(side).removed >= 1


@pytest.mark.parametrize("source", ["django", "log"])
def test_a_correction_after_removal_is_reconciled_from_the_durable_row(
    side: Side, closed: Portfolio, source: str
) -> None:
    after_a_day(side)
    assert TradeReconciliation.objects.filter(reconciliation_status="success").count() == 3
    result = TradeResult.objects.filter(leg="long", role="exit").first()
    assert result is not None
    worse = str(result.execution_price - 5_000)
    side.client.hset(keys.result(str(result.pk)), mapping={"execution_price": worse, "slippage": "-5020"})
    if source == "log":  # far behind the window of the Django tables
        follower = ClickHouseTables(lambda: side.clickhouse, lambda: side.gate)
        Window(side.gate, lambda: side.clickhouse, follower, 0, lambda: side.now_us + DAY_US).run()
        assert not TradeReconciliation.objects.exists()
    settle(side)
    row = TradeReconciliation.objects.get(pk=result.trade_id)
    assert (row.version, row.reconciliation_status) == (2, "failed")
    if source == "log":
        return
    assert side.verifier().run().verdict == "agree"
    side.client.delete(keys.RECONCILE_POSITION)  # all that is still in the stream once more
    after_a_day(side)
    side.sync = side.new_sync()
    assert settle(side).reconciled == 0


CHANGES = st.lists(
    st.sampled_from(["set", "same", "add", "drop", "delete", "rewrite", "touch index", "set aside", "nothing"]),
    max_size=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, seed=st.integers(0, 2**16))
def test_the_script_never_removes_what_changed_after_it_was_read(
    redis_client: Any, changes: list[str], seed: int
) -> None:
    redis_client.flushall()
    chance = random.Random(seed)
    fields = {f"f{number}".encode(): str(chance.random()).encode() for number in range(chance.randint(1, 30))}
    index = keys.hot_index(RESULT_KEY)
    redis_client.hset(RESULT_KEY, mapping=fields)
    redis_client.zadd(index, {RESULT_KEY: 1_731_000_000_000_123})
    redis_client.hset(keys.SWEPT, RESULT_KEY, "digest")
    read = RetainStore(redis_client).oldest("result", 2_000_000_000_000_000, 0, 10)
    assert [(hot.name, hot.fields) for hot in read] == [(RESULT_KEY, fields)]
    for change in changes:
        _change(redis_client, change, index, fields, chance)
    stood = redis_client.hgetall(RESULT_KEY)
    moved = stood != fields or "touch index" in changes or redis_client.hexists(keys.SET_ASIDE, RESULT_KEY)
    answers = RetainStore(redis_client).settle([Fate(hot) for hot in read])
    assert answers == (["moved"] if moved else ["removed"])
    assert redis_client.hgetall(RESULT_KEY) == (stood if moved else {})
    assert redis_client.hexists(keys.SWEPT, RESULT_KEY) == moved
    assert RetainStore(redis_client).settle([Fate(hot) for hot in read]) == ["moved"]


def _change(client: Any, change: str, index: str, fields: dict[bytes, bytes], chance: random.Random) -> None:
    field = chance.choice(sorted(fields))
    if change == "set":
        client.hset(RESULT_KEY, field, fields[field] + b"0")
    elif change == "same":
        client.hset(RESULT_KEY, field, fields[field])
    elif change == "add":
        client.hset(RESULT_KEY, "one more", "1")
    elif change == "drop":
        client.hdel(RESULT_KEY, field)
    elif change == "delete":
        client.delete(RESULT_KEY)
    elif change == "rewrite":
        client.delete(RESULT_KEY)
        client.hset(RESULT_KEY, mapping=fields)
    elif change == "touch index":
        client.zadd(index, {RESULT_KEY: 1_731_000_000_000_123 + chance.randint(1, 10**6)})
    elif change == "set aside":
        client.hset(keys.SET_ASIDE, RESULT_KEY, "1-1")


def test_a_hash_that_somebody_deleted_leaves_the_index(side: Side, program: Program) -> None:
    program.types("result")
    settle(side)
    side.client.delete(RESULT_KEY)
    assert after_a_day(side).removed == 1
    assert (indexed(side), side.client.hexists(keys.SWEPT, RESULT_KEY)) == (set(), False)
    assert RetainStore(side.client).settle([Fate(HotHash(RESULT_KEY.encode(), 1, {}))]) == ["moved"]
