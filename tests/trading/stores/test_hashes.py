"""Result hashes: the documents' commands verbatim on a real Redis, and round trips."""

from __future__ import annotations

import datetime
import shlex
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.domain.canonical import sealed
from results.domain.outcomes import ResultMetrics, ResultState, TradeResult
from tests.trading.stores import made
from trading.stores import rows
from trading.stores.errors import IncompleteHash, WireError
from trading.stores.hashes import hash_of_row, is_ours, metrics_of_row, result_of_row, row_of_hash

RESULT_ID = "123e4567-e89b-12d3-a456-426614174000"
TABLE_OF = {
    "result": "trade_result",
    "result_metrics": "result_metrics",
    "reconciliation": "trade_reconciliation",
}
D = Decimal
DAY = datetime.date(2025, 3, 22)


def sent(client: Any, name: str) -> dict[bytes, bytes]:
    """Sends one of the documents' commands as it stands and returns the whole hash."""
    words = shlex.split(made.document(f"{name}.sh").decode().replace("\\\n", " "))
    client.execute_command(*words)
    return client.hgetall(words[1])


def row(name: str, fields: dict[bytes, bytes]) -> dict[str, Any]:
    return row_of_hash(made.OUTBOX.table(TABLE_OF[name]), f"{name}:{RESULT_ID}", RESULT_ID, fields)


@pytest.mark.parametrize("name", TABLE_OF)
def test_a_documented_command_comes_back_field_for_field(name: str, redis_client: Any) -> None:
    fields = sent(redis_client, name)
    table = made.OUTBOX.table(TABLE_OF[name])
    again = hash_of_row(table, sealed(table.columns, row(name, fields)))
    documented = {field.decode(): value.decode() for field, value in fields.items()}
    assert {field: again[field] for field in documented} == documented
    assert (again["version"], again["origin"], again["day"]) == ("1", "foreign", "2025-03-22")


def test_the_documented_result_is_read_exactly(redis_client: Any) -> None:
    found = result_of_row(row("result", sent(redis_client, "result")))
    assert found == TradeResult(
        result_id=RESULT_ID,
        trade_id="456e1234-e89b-12d3-a456-426614174123",
        symbol="EURUSD",
        direction="buy",
        lot_size=D("1.5"),
        execution_price=D("1.12340"),
        requested_price=D("1.12345"),
        slippage=D("-0.00005"),
        pnl=D("75.0"),
        commission=D("1.5"),
        fees=D("0.5"),
        state=ResultState.EXECUTED,
        executed_us=1_742_638_560_000_000,
        portfolio="",
        exchange="",
        leg="",
        role="",
        order_id="",
        filled_quantity=D("1.5"),
        slippage_cost_bps=None,
    )


def test_the_documented_state_update_changes_the_state_only(redis_client: Any) -> None:
    before = row("result", sent(redis_client, "result"))
    after = row("result", sent(redis_client, "result_state_update"))
    assert after == {**before, "state": "partially_filled"}


def test_the_documented_metrics_and_reconciliation_are_read_exactly(redis_client: Any) -> None:
    metrics = metrics_of_row(row("result_metrics", sent(redis_client, "result_metrics")))
    assert (metrics.execution_latency_ms, metrics.broker_latency_ms, metrics.network_latency_ms) == (120, 50, 20)
    assert (metrics.slippage, metrics.created_us) == (D("-0.00005"), 1_742_638_565_000_000)
    reconciliation = row("reconciliation", sent(redis_client, "reconciliation"))
    assert reconciliation["reconciliation_status"] == "failed"
    assert reconciliation["rejection_reason"] == "Slippage too high"
    assert str(reconciliation["discrepancy"]) == "-0.00010"
    assert reconciliation["reconciled_at"] == 1_742_638_620_000_000


uuids = st.uuids().map(str)
latencies = st.none() | st.integers(-(2**63), 2**63 - 1)
named = st.text(min_size=1, max_size=10)
days = st.dates()
results = st.builds(
    TradeResult,
    result_id=uuids,
    trade_id=uuids,
    symbol=st.text(max_size=10),
    direction=st.sampled_from(["buy", "sell"]),
    lot_size=made.decimals,
    execution_price=made.decimals,
    requested_price=st.none() | made.decimals,
    slippage=st.none() | made.decimals,
    pnl=st.none() | made.decimals,
    commission=st.none() | made.decimals,
    fees=st.none() | made.decimals,
    state=st.sampled_from(ResultState),
    executed_us=made.instants,
    portfolio=named,
    exchange=named,
    leg=st.sampled_from(["long", "short"]),
    role=st.sampled_from(["entry", "exit", "hedge"]),
    order_id=named,
    filled_quantity=made.decimals,
    slippage_cost_bps=st.none() | made.decimals,
    version=st.integers(1, 2**62),
)
metrics_made = st.builds(
    ResultMetrics,
    result_id=uuids,
    execution_latency_ms=latencies,
    broker_latency_ms=latencies,
    network_latency_ms=latencies,
    slippage=st.none() | made.decimals,
    created_us=made.instants,
    portfolio=named,
    queue_wait_ms=latencies,
    version=st.integers(1, 2**62),
)


def read_back(table_name: str, row_id: str, whole: dict[str, Any]) -> dict[str, Any]:
    """The row after it was a hash, and a check that the hash is known as ours until somebody changes it."""
    table = made.OUTBOX.table(table_name)
    fields = {name.encode(): text.encode() for name, text in hash_of_row(table, sealed(table.columns, whole)).items()}
    found = row_of_hash(table, "key", row_id, fields)
    assert is_ours(table, found, fields)
    changed = {**fields, b"portfolio": b"of another program's"}
    assert not is_ours(table, row_of_hash(table, "key", row_id, changed), changed)
    return found


@given(results, days)
def test_any_result_comes_back_equal(result: TradeResult, day: datetime.date) -> None:
    whole = rows.result_row(result, day)
    found = read_back("trade_result", result.result_id, whole)
    assert found == whole
    assert result_of_row(found) == result


@given(metrics_made, days)
def test_any_metrics_come_back_equal(metrics: ResultMetrics, day: datetime.date) -> None:
    whole = rows.result_metrics_row(metrics, day)
    found = read_back("result_metrics", metrics.result_id, whole)
    assert found == whole
    assert metrics_of_row(found) == metrics


def test_times_are_iso_with_z_and_microseconds_only_where_there_are_any() -> None:
    result = made.results_of(made.active_trade())[0][0]
    table = made.OUTBOX.table("trade_result")
    for executed_us, text in (
        (1_742_638_560_000_000, "2025-03-22T10:16:00Z"),
        (1_742_638_560_000_001, "2025-03-22T10:16:00.000001Z"),
    ):
        whole = rows.result_row(msgspec.structs.replace(result, executed_us=executed_us), DAY)
        assert hash_of_row(table, sealed(table.columns, whole))["executed_at"] == text


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        (b"pnl", b"1.2348000000001775", D("1.2348")),
        (b"pnl", b"-0.000000000001", D("-0.000000000001")),
        (b"pnl", b" 7 ", D("7")),
        (b"executed_at", b"2025-03-22T10:16:00+01:00", 1_742_634_960_000_000),
        (b"trade_id", b"456E1234-E89B-12D3-A456-426614174123", "456e1234-e89b-12d3-a456-426614174123"),
    ],
)
def test_a_foreign_value_is_read_as_what_it_means(field: bytes, value: bytes, read: object, redis_client: Any) -> None:
    fields = {**sent(redis_client, "result"), field: value}
    assert row("result", fields)[field.decode()] == read


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"pnl", b"much"),
        (b"pnl", b"NaN"),
        (b"pnl", b"1e40"),
        (b"pnl", b"\xff"),
        (b"executed_at", b"yesterday"),
        (b"executed_at", b"1742638560"),
        (b"trade_id", b"trade-1"),
        (b"state", b"resting"),
        (b"direction", b"up"),
        (b"version", b"1.5"),
        (b"version", b"99999999999999999999"),
        (b"day", b"today"),
    ],
)
def test_a_malformed_value_is_named_by_key_field_and_value(field: bytes, value: bytes, redis_client: Any) -> None:
    with pytest.raises(WireError) as refusal:
        row("result", {**sent(redis_client, "result"), field: value})
    assert f"result:{RESULT_ID}: field {field.decode()} is" in str(refusal.value)
    assert value.decode(errors="replace") in str(refusal.value)


def test_a_hash_without_a_required_field_is_incomplete(redis_client: Any) -> None:
    fields = sent(redis_client, "result")
    del fields[b"execution_price"]
    with pytest.raises(IncompleteHash, match="execution_price is missing"):
        row("result", fields)
