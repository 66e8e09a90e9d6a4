"""The reconciler: follows the stream, writes hash and rows in one step, and a second pass writes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from results.domain.outcomes import result_id_of
from results.domain.tolerances import Tolerances
from results.models import TradeReconciliation, TradeReconciliationBreak, TradeResult
from results.pipeline.reconcile.reconciler import Reconciler
from tests.results.pipeline.made import NOW_US, Side
from tests.results.pipeline.made_trades import PREFIX, Portfolio
from trading.domain.trades import Trade
from trading.stores import keys


@pytest.fixture
def portfolio(side: Side) -> Portfolio:
    return Portfolio(side.client)


def hash_of(side: Side, trade: Trade) -> dict[str, str]:
    found: Any = side.client.hgetall(keys.reconciliation(trade.id))
    return {name.decode(): value.decode() for name, value in found.items()}


def again(side: Side) -> int:
    """How many reconciliations a reconciler writes that begins at the start of the stream."""
    side.client.delete(keys.RECONCILE_POSITION)
    reconciler = Reconciler(side.client, Tolerances, side.gate)
    return reconciler.follow(side.sync.stream.state(), NOW_US + 60_000_000, float("inf"))


def test_a_closed_trade_is_reconciled_once_and_an_open_one_is_not(side: Side, portfolio: Portfolio) -> None:
    portfolio.opened(1)
    trade = portfolio.closed(portfolio.opened(2))
    report = side.settle()
    assert (report.reconciled, report.is_level) == (1, True)
    row = TradeReconciliation.objects.get()
    assert (str(row.trade_id), row.reconciliation_status, row.rejection_reason) == (trade.id, "success", None)
    fields = hash_of(side, trade)
    assert (fields["reconciliation_status"], fields["discrepancy"]) == ("success", "0")
    assert fields["reconciled_at"] == "2024-11-07T17:20:00Z"  # the sync's clock
    assert "rejection_reason" not in fields
    length = side.client.xlen(keys.OUTBOX)
    assert again(side) == 0
    assert side.client.xlen(keys.OUTBOX) == length
    assert hash_of(side, trade) == fields


def test_adverse_slippage_is_a_failed_row_and_a_break(side: Side, portfolio: Portfolio) -> None:
    trade = portfolio.closed(portfolio.opened(1), long_exit="39980")  # 40020 was asked for: 10 bps worse
    side.settle()
    row = TradeReconciliation.objects.get()
    assert (row.reconciliation_status, row.rejection_reason) == ("failed", "Slippage too high")
    assert (row.discrepancy, row.break_count, row.improvement_count) == (-40, 1, 0)
    broken = TradeReconciliationBreak.objects.get()
    assert (broken.kind, broken.leg, broken.exchange) == ("adverse_slippage", "long", "binance")
    assert str(broken.result_id) == result_id_of(trade.orders[0].id)
    assert broken.version == row.version == 1


def test_a_leg_out_is_reconciled_with_its_failed_and_its_hedge_order(side: Side, portfolio: Portfolio) -> None:
    portfolio.legged_out(1)
    side.settle()
    assert TradeResult.objects.count() == 3
    row = TradeReconciliation.objects.get()
    assert row.rejection_reason == "Slippage too high"  # the hedge sold at 39990, 40020 was asked for: 7.5 bps


def test_a_result_that_is_gone_everywhere_is_missing_and_the_second_outcome_is_a_new_version(
    side: Side, portfolio: Portfolio
) -> None:
    trade = portfolio.closed(portfolio.opened(1))
    result = keys.result(result_id_of(trade.long_order.id))
    kept: Any = side.client.dump(result)
    side.client.delete(result)
    assert again(side) == 1
    assert hash_of(side, trade)["rejection_reason"] == "Result missing"
    side.client.restore(result, 0, kept)
    assert again(side) == 1
    fields = hash_of(side, trade)
    assert (fields["version"], fields["reconciliation_status"]) == ("2", "success")
    assert "rejection_reason" not in fields
    side.settle()
    assert TradeReconciliation.objects.get().version == 2
    assert TradeReconciliationBreak.objects.get().version == 1  # superseded: its reconciliation has version 2


def test_results_that_left_redis_are_taken_from_the_mirror(side: Side, portfolio: Portfolio) -> None:
    trade = portfolio.closed(portfolio.opened(1))
    side.settle()
    for order in trade.all_orders:
        side.client.delete(keys.result(result_id_of(order.id)), keys.result_metrics(result_id_of(order.id)))
    assert again(side) == 0
    assert hash_of(side, trade)["reconciliation_status"] == "success"


def test_a_second_result_of_the_same_order_is_a_duplicate(side: Side, portfolio: Portfolio) -> None:
    trade = portfolio.closed(portfolio.opened(1))
    side.settle()
    twin = TradeResult.objects.get(order_id=trade.long_order.id)
    twin.result_id = "00000000-0000-4000-8000-000000000001"
    twin.save(force_insert=True)
    assert again(side) == 1
    assert hash_of(side, trade)["rejection_reason"] == "Duplicate result"


def test_a_reconciliation_of_another_program_is_left_alone(side: Side, portfolio: Portfolio) -> None:
    trade = portfolio.closed(portfolio.opened(1))
    theirs: Any = {"reconciliation_status": "failed", "reconciled_at": "2025-03-22T10:17:00Z"}
    side.client.hset(keys.reconciliation(trade.id), mapping=theirs)
    assert side.settle().reconciled == 0
    taken = hash_of(side, trade)
    assert {**taken, **theirs} == taken
    assert (taken["origin"], taken["version"]) == ("foreign", "1")
    side.client.hset(keys.result(result_id_of(trade.long_order.id)), "commission", "9")  # a correction of a result
    assert side.settle().reconciled == 0
    assert hash_of(side, trade) == taken


def test_a_trade_that_cannot_be_read_is_a_dead_letter_and_not_in_the_way(side: Side, portfolio: Portfolio) -> None:
    broken = portfolio.closed(portfolio.opened(1))
    good = portfolio.closed(portfolio.opened(2))
    side.client.set(keys.PortfolioKeys(PREFIX).closed_trade(broken.id), b'{"id": 5}')
    assert side.settle().reconciled == 1
    assert hash_of(side, good)["reconciliation_status"] == "success"
    letters = side.entries(keys.DEAD_LETTERS)
    assert len(letters) == 1
    assert broken.id.encode() in letters[0][1][b"reason"]
