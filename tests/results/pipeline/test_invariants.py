"""The checker finds each kind of violation that is planted, and nothing on a desk that is as it should be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from results.domain.outcomes import result_id_of
from results.models import ResultMetrics, TradeReconciliation, TradeResult
from results.pipeline.invariants.check import check_invariants
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import PREFIX, Portfolio
from trading.domain.trades import Trade
from trading.models import OrderFill
from trading.stores import keys


class Desk:
    """An open, a closed and a legged-out trade, all reconciled."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.client = side.client
        self.portfolio = Portfolio(side.client)
        self.keys = self.portfolio.store.keys
        self.open = self.portfolio.opened(1)
        self.closed = self.portfolio.closed(self.portfolio.opened(2))
        self.legged_out = self.portfolio.legged_out(3)
        self.side.sync.once()

    def found(self) -> set[tuple[str, str]]:
        """Rule and key of each violation."""
        return {
            (violation.rule, violation.key) for violation in check_invariants(self.client, self.side.gate).violations
        }

    def changed(self, key: str, pattern: str, by: str) -> None:
        """Change the JSON record at a key."""
        raw: Any = self.client.get(key)
        text, count = re.subn(pattern, by, raw.decode(), count=1)
        assert count, f"{pattern} is not in {text}"
        self.client.set(key, text)

    def closed_key(self, trade: Trade) -> str:
        """The key of a closed trade."""
        return self.keys.closed_trade(trade.id)


@pytest.fixture
def desk(side: Side) -> Desk:
    return Desk(side)


def test_a_desk_that_is_as_it_should_be_breaks_no_rule(desk: Desk) -> None:
    report = check_invariants(desk.client, desk.side.gate)
    assert report.violations == []
    assert (report.portfolios, report.open_trades, report.closed_trades) == ([PREFIX], 1, 2)


def test_a_trade_that_waits_for_its_reconciliation_is_no_violation(desk: Desk) -> None:
    desk.portfolio.closed(desk.portfolio.opened(4))
    report = check_invariants(desk.client, desk.side.gate)
    assert (report.violations, report.waiting) == ([], 1)


def test_capital_that_does_not_add_up_is_found_to_the_last_place(desk: Desk) -> None:
    desk.changed(desk.keys.state, r'"available_capital":95000', '"available_capital":95000.000000000001')
    assert ("capital conservation", desk.keys.state) in desk.found()
    assert ("metrics accuracy", desk.keys.metrics) in desk.found()


def test_open_positions_that_are_not_those_of_the_trades_are_found(desk: Desk) -> None:
    desk.changed(desk.keys.active_trade(desk.open.id), r'"position_size_usd":5000', '"position_size_usd":4000')
    assert desk.found() == {("capital conservation", desk.keys.state), ("open positions", desk.keys.state)}


def test_a_trade_that_is_open_and_closed_at_once_is_found(desk: Desk) -> None:
    raw: Any = desk.client.get(desk.keys.active_trade(desk.open.id))
    desk.client.set(desk.closed_key(desk.open), raw)
    found = desk.found()
    assert ("trade uniqueness", desk.keys.active_trade(desk.open.id)) in found
    assert ("legal states", desk.closed_key(desk.open)) in found


def _metrics(desk: Desk) -> str:
    desk.changed(desk.keys.metrics, r'"total_trades":2', '"total_trades":3')
    return desk.keys.metrics


def _set_lacks(desk: Desk) -> str:
    desk.client.srem(desk.keys.active_trades, desk.open.id)
    return desk.keys.active_trades


def _state_lacks(desk: Desk) -> str:
    desk.changed(desk.keys.state, r'"active_trades":\["[^"]*"\]', '"active_trades":[]')
    desk.changed(desk.keys.metrics, r'"active_trade_count":1', '"active_trade_count":0')
    return desk.keys.state


def _index_lacks(desk: Desk) -> str:
    desk.client.zrem(desk.keys.closed_index, desk.closed.id)
    return desk.keys.closed_index


def _profit(desk: Desk) -> str:
    desk.changed(desk.closed_key(desk.closed), r'"actual_profit_usd":-?[0-9.]+', '"actual_profit_usd":50')
    return desk.closed_key(desk.closed)


def _residual(desk: Desk) -> str:
    desk.changed(desk.closed_key(desk.closed), r'"fill_price":40000', '"fill_price":40001')
    return desk.closed_key(desk.closed)


def _wins(desk: Desk) -> str:
    desk.changed(desk.keys.state, r'"loss_count":\d+', '"loss_count":7')
    return desk.keys.state


def _status(desk: Desk) -> str:
    desk.changed(desk.keys.active_trade(desk.open.id), r'"status":"Active"', '"status":"Closed"')
    return desk.keys.active_trade(desk.open.id)


def _exit_time(desk: Desk) -> str:
    desk.changed(desk.closed_key(desk.closed), r'"exit_time":\d+', '"exit_time":null')
    return desk.closed_key(desk.closed)


def _result_state(desk: Desk) -> str:
    key = keys.result(result_id_of(desk.closed.long_order.id))
    desk.client.hset(key, "state", "done")
    return key


def _no_result(desk: Desk) -> str:
    key = keys.result(result_id_of(desk.closed.long_order.id))
    desk.client.delete(key)
    _forget_in_the_mirror(desk)
    return key


def _no_metrics(desk: Desk) -> str:
    key = keys.result_metrics(result_id_of(desk.closed.long_order.id))
    desk.client.delete(key)
    _forget_in_the_mirror(desk)
    return key


def _forget_in_the_mirror(desk: Desk) -> None:
    TradeResult.objects.all().delete()
    ResultMetrics.objects.all().delete()


def _price(desk: Desk) -> str:
    key = keys.result(result_id_of(desk.closed.long_order.id))
    desk.client.hset(key, "execution_price", "40000.000000000001")
    return key


def _quantity_of_an_open_trade(desk: Desk) -> str:
    key = keys.result(result_id_of(desk.open.short_order.id))
    desk.client.hset(key, "filled_quantity", "0.2")
    return key


def _commission(desk: Desk) -> str:
    key = keys.result(result_id_of(desk.legged_out.orders[0].id))
    desk.client.hset(key, "commission", "0")
    return key


def _fill_lost(desk: Desk) -> str:
    order = desk.closed.long_order
    desk.client.delete(keys.OUTBOX)
    OrderFill.objects.filter(order_id=order.id).delete()
    return keys.result(result_id_of(order.id))


def _no_reconciliation(desk: Desk) -> str:
    desk.client.delete(keys.reconciliation(desk.closed.id))
    TradeReconciliation.objects.filter(pk=desk.closed.id).delete()  # in Redis alone it may be gone, for its age
    return keys.reconciliation(desk.closed.id)


def _leg_out_lost(desk: Desk) -> str:
    desk.client.delete(desk.keys.leg_out_events)
    return desk.keys.leg_out_events


def _leg_out_twice(desk: Desk) -> str:
    raw: Any = desk.client.lindex(desk.keys.leg_out_events, 0)
    desk.client.lpush(desk.keys.leg_out_events, raw)
    return desk.keys.leg_out_events


def _leg_out_loss(desk: Desk) -> str:
    desk.changed(desk.keys.state, r'"leg_out_total_loss":[0-9.]+', '"leg_out_total_loss":45.30')
    return desk.keys.state


def _older_version(desk: Desk) -> str:
    key = keys.result(result_id_of(desk.closed.long_order.id))
    desk.client.hset(key, "version", "0")
    return key


def _stream_backwards(desk: Desk) -> str:
    first = desk.side.entries()[0][1]
    desk.side.add(first)
    return keys.OUTBOX


def _unreadable(desk: Desk) -> str:
    desk.client.set(desk.closed_key(desk.closed), '{"id": 5}')
    return desk.closed_key(desk.closed)


PLANTED: dict[str, list[Callable[[Desk], str]]] = {
    "metrics accuracy": [_metrics],
    "active trades": [_set_lacks, _state_lacks],
    "closed trades": [_index_lacks],
    "P&L identity": [_profit, _residual, _wins],
    "legal states": [_status, _exit_time, _result_state],
    "results": [_no_result, _no_metrics],
    "fills": [_price, _quantity_of_an_open_trade, _commission, _fill_lost],
    "reconciliation": [_no_reconciliation],
    "leg-out events": [_leg_out_lost, _leg_out_twice, _leg_out_loss],
    "version monotony": [_older_version, _stream_backwards],
    "readable": [_unreadable],
}


@pytest.mark.parametrize(("rule", "plant"), [(rule, plant) for rule, plants in PLANTED.items() for plant in plants])
def test_a_planted_violation_is_found_at_its_key(desk: Desk, rule: str, plant: Callable[[Desk], str]) -> None:
    assert (rule, plant(desk)) in desk.found()


def test_a_violation_says_the_values(desk: Desk) -> None:
    _leg_out_loss(desk)
    sentences = [violation.sentence for violation in check_invariants(desk.client, desk.side.gate).violations]
    # (40000 - 39990) * 0.1 + the fee of 39990 * 0.1 * 5 bps = 1 + 1.9995
    assert "leg_out_total_loss is 45.3, the hedges lost 2.9995" in sentences


def test_a_result_that_its_fills_do_not_make_is_named_with_both_values(desk: Desk) -> None:
    _commission(desk)
    order = desk.legged_out.orders[0]
    violations = check_invariants(desk.client, desk.side.gate).violations
    assert [violation.sentence for violation in violations if violation.rule == "fills"] == [
        f"trade {desk.legged_out.id}, order {order.id}: commission is 0, the trade's record says 1.9995",
        f"trade {desk.legged_out.id}, order {order.id}: commission is 0, its fills (1) make 1.9995",
    ]
