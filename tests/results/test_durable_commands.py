"""The commands and tasks of the durable side, as a person and as Celery call them."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.core.management import call_command
from pytest_django import Settings

from paperdesk import schedule
from results import services, tasks, wiring
from results.models import TradeResult
from results.pipeline.foreign.sweep import Sweep
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from tests.results.pipeline.made_trades import Portfolio
from tests.results.stores.conftest import clickhouse, fresh_clickhouse_url, gate
from trading.stores import keys, sweep_store

__all__ = ["clickhouse", "fresh_clickhouse_url", "gate"]
CACHED = (
    wiring.redis_client,
    wiring.gate,
    wiring.clickhouse,
    wiring.sync,
    wiring.keepers,
    wiring.verifier,
    wiring.retention,
)


@pytest.fixture
def portfolio(
    redis_client: redis.Redis,
    gate: Gate,
    clickhouse: ClickHouse,
    fresh_clickhouse_url: str,
    settings: Settings,
    db: None,
) -> Iterator[Portfolio]:
    """A desk's portfolio, with the wiring pointed at this test's stores."""
    settings.DUCKDB_PATH, settings.CLICKHOUSE_URL = gate.path, fresh_clickhouse_url
    _forget()
    yield Portfolio(redis_client)
    _forget()


def _forget() -> None:
    for cached in CACHED:
        cached.cache_clear()


def run(name: str, *arguments: str) -> tuple[int, str]:
    """Exit status and standard output of a command."""
    output, status = io.StringIO(), 0
    try:
        call_command(name, *arguments, stdout=output)
    except SystemExit as ended:
        status = int(ended.code or 0)
    return status, output.getvalue()


def told(name: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON of a command."""
    status, text = run(name, *arguments, "--json")
    return status, json.loads(text)


def test_sync_verify_and_check_are_well_on_a_desk_that_is(portfolio: Portfolio) -> None:
    portfolio.closed(portfolio.opened(1))
    status, report = told("sync_results", "--once")
    assert (status, report["ok"], report["reconciled"]) == (0, True, 1)
    assert report["followers"]["clickhouse"]["lag"] == 0
    status, report = told("verify_stores", "--recheck-seconds", "0")
    assert (status, report["ok"], report["verdict"], report["differences"]) == (0, True, "agree", [])
    status, report = told("check_invariants")
    assert (status, report["ok"], report["violations"]) == (0, True, [])


def test_records_of_other_programs_are_counted(portfolio: Portfolio) -> None:
    wiring.redis_client().hset("result:order-1", "state", "executed")
    status, report = told("sync_results", "--once")
    sweep = report["followers"]["sweep"]
    assert (status, sweep["seen"], sweep["accepted"], sweep["set_aside"], sweep["open"]) == (0, 1, 0, 1, 1)
    assert "1 seen = 0 accepted + 1 set aside; 1 dead letter waits (admin, or" in run("sync_results")[1]


def test_people_are_shown_tables_and_the_verdict(portfolio: Portfolio) -> None:
    portfolio.closed(portfolio.opened(1))
    assert "level" in run("sync_results")[1]
    assert "agree: " in run("verify_stores")[1]
    assert "no violation in 1 portfolios" in run("check_invariants")[1]
    TradeResult.objects.update(commission=9)
    status, text = run("verify_stores", "--recheck-seconds", "0", "--table", "trade_result")
    assert status == 1
    assert "corrupt trade_result" in text


def test_what_differs_is_told_with_its_values_and_repaired_once(portfolio: Portfolio) -> None:
    portfolio.closed(portfolio.opened(1))
    run("sync_results")
    damaged = TradeResult.objects.values_list("pk", flat=True)[0]
    TradeResult.objects.filter(pk=damaged).update(symbol="OTHER")
    status, text = run("verify_stores", "--recheck-seconds", "0")
    assert (status, "symbol: 'OTHER' in django, 'BTCUSDT' in duckdb" in text) == (1, True)
    assert run("verify_stores", "--recheck-seconds", "0", "--quick")[0] == 0  # the hash was left as it was
    status, report = told("verify_stores", "--recheck-seconds", "0", "--repair")
    assert (status, report["verdict"], report["repair"]["repaired_count"]) == (0, "agree", {"django": 1})
    assert [each["key"] for each in report["repair"]["repaired"]] == [str(damaged)]
    status, text = run("verify_stores", "--recheck-seconds", "0", "--repair")
    assert (status, "rows repaired: none; not repaired: 0" in text) == (0, True)


def test_what_cannot_be_repaired_ends_with_a_status(portfolio: Portfolio) -> None:
    portfolio.closed(portfolio.opened(1))
    run("sync_results")
    damaged = TradeResult.objects.values_list("pk", flat=True)[0]
    TradeResult.objects.filter(pk=damaged).update(version=9)
    status, text = run("verify_stores", "--recheck-seconds", "0", "--repair")
    assert status == 1
    assert "is never overwritten" in text
    assert "rows repaired: none; not repaired: 1" in text


def test_a_desk_that_is_not_well_ends_with_a_status(portfolio: Portfolio, settings: Settings) -> None:
    trade = portfolio.closed(portfolio.opened(1))
    assert told("verify_stores", "--recheck-seconds", "0")[0] == 2  # the log has yet to take it
    told("sync_results")
    portfolio.store._client.set(portfolio.store.keys.closed_trade(trade.id), "{}")
    status, report = told("check_invariants")
    assert (status, report["ok"]) == (1, False)
    settings.CLICKHOUSE_URL = ""
    _forget()
    portfolio.opened(2)
    status, report = told("sync_results")
    assert status == 1
    assert "CLICKHOUSE_URL is not set" in report["followers"]["clickhouse"]["error"]
    assert report["followers"]["django"]["lag"] == 0


def test_the_tasks_are_those_of_the_schedule_and_publish_what_they_found(portfolio: Portfolio) -> None:
    scheduled = {entry["task"] for entry in schedule.BEAT_SCHEDULE.values()}
    assert {tasks.sync.name, tasks.verify.name, tasks.retain.name} <= scheduled
    portfolio.closed(portfolio.opened(1))
    assert told("sync_results")[1]["retention"] is None
    tasks.sync()
    tasks.verify()
    tasks.retain()
    assert told("sync_results")[1]["retention"]["hot"] == {"result": 4, "result_metrics": 4, "reconciliation": 1}
    assert "hashes in Redis: 4 result, 4 result_metrics, 1 reconciliation; the last" in run("sync_results")[1]
    found: Any = wiring.redis_client().hgetall(keys.SYNC)
    assert set(found) == {
        b"relay",
        b"sweep",
        b"reconcile",
        b"duckdb",
        b"django",
        b"clickhouse",
        b"verify",
        b"retention",
    }
    assert json.loads(found[b"verify"])["position"] == "agree"


def test_verifying_today_sees_a_row_that_a_store_lost(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    portfolio.closed(portfolio.opened(1))
    services.results_sync_all()
    monkeypatch.setattr(wiring, "now_us", lambda: portfolio.at_us)
    TradeResult.objects.all()[0].delete()
    assert services.stores_verify_changed().difference_count == 1
    found: Any = wiring.redis_client().hget(keys.SYNC, "verify")
    assert json.loads(found)["error"] == "1 rows differ, most of them in trade_result (django)"


def test_a_drain_goes_on_until_a_pass_that_began_after_it_saw_every_key(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_store, "KEYS_PER_SLICE", 10)
    client, look = wiring.redis_client(), Sweep.look
    monkeypatch.setattr(Sweep, "look", lambda sweep, at_us: look(sweep, at_us, 0.0))  # one slice in each turn
    for number in range(200):
        client.set(f"of somebody else:{number}", "")
    services.results_sync()
    assert wiring.sync().intake.sweep.is_under_way  # a pass that may have gone past what is written now
    fields = {
        "trade_id": str(uuid.uuid4()), "symbol": "EURUSD", "direction": "buy", "lot_size": "1.5",
        "execution_price": "1.12340", "requested_price": "1.12345", "slippage": "-0.00005", "pnl": "75.0",
        "commission": "1.5", "fees": "0.5", "state": "executed", "executed_at": "2025-03-22T10:16:00Z",
    }  # fmt: skip
    result_ids = [str(uuid.uuid4()) for _ in range(100)]
    for result_id in result_ids:
        client.hset(keys.result(result_id), mapping=fields)  # type: ignore[arg-type]
    assert services.results_sync_all().is_level
    assert TradeResult.objects.filter(pk__in=result_ids).count() == len(result_ids)


def test_following_ends_cleanly_on_ctrl_c(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    portfolio.opened(1)

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    status, text = run("sync_results", "--follow", "--json")
    assert status == 0
    assert json.loads(text)["appended"] == 8 + 2  # the trade twice, 2 fills, 2 results, their metrics; a tolerance
