"""Reconciliation of a closed trade against its results. Each expected figure has its arithmetic beside it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from results.domain.breaks import Break, BreakKind
from results.domain.latency import LatencyLimits
from results.domain.outcomes import ResultMetrics, ResultState, TradeResult, result_id_of
from results.domain.reconciliation import OrderFacts, Status, TradeFacts, reconcile
from results.domain.tolerances import Tolerance, Tolerances

TRADE = "550e8400-e29b-41d4-a716-446655440000"
AT_US = 1_704_067_320_000_000
FIVE_BPS = Tolerances(Tolerance(slippage_bps=Decimal(5)))
ORDERS = (
    OrderFacts("long-in", "binance", "long", "buy", Decimal("0.1")),
    OrderFacts("short-in", "bybit", "short", "sell", Decimal("0.1")),
    OrderFacts("long-out", "binance", "long", "sell", Decimal("0.1")),
    OrderFacts("short-out", "bybit", "short", "buy", Decimal("0.1")),
)
FACTS = TradeFacts(TRADE, "strategy", "BTCUSDT", ORDERS, Decimal(0), Decimal("1E-10"))


def result_of(order: OrderFacts, **changes: Any) -> TradeResult:
    result = TradeResult(
        result_id=result_id_of(order.order_id),
        trade_id=TRADE,
        symbol="BTCUSDT",
        direction=order.direction,
        lot_size=Decimal("0.1"),
        execution_price=Decimal(40_000),
        requested_price=Decimal(40_000),
        slippage=Decimal(0),
        pnl=Decimal(0),
        commission=Decimal(1),
        fees=Decimal(0),
        state=ResultState.EXECUTED,
        executed_us=AT_US,
        portfolio="strategy",
        exchange=order.exchange,
        leg=order.leg,
        role="entry",
        order_id=order.order_id,
        filled_quantity=order.filled_quantity,
        slippage_cost_bps=Decimal(0),
    )
    return msgspec.structs.replace(result, **changes)


def metrics_of(order: OrderFacts, **changes: Any) -> ResultMetrics:
    result_id = result_id_of(order.order_id)
    metrics = ResultMetrics(result_id, 120, 50, 20, Decimal(0), AT_US, "strategy", None)
    return msgspec.structs.replace(metrics, **changes)


def kinds(breaks: list[Break]) -> list[BreakKind]:
    return [each.kind for each in breaks]


def test_a_trade_whose_results_agree_is_a_success_without_breaks() -> None:
    results = [result_of(order) for order in ORDERS]
    metrics = {result_id_of(order.order_id): metrics_of(order) for order in ORDERS}
    row, breaks = reconcile(FACTS, results, metrics, FIVE_BPS, AT_US)
    assert breaks == []
    assert (row.reconciliation_status, row.rejection_reason, row.discrepancy) == (Status.SUCCESS, None, Decimal(0))
    assert (row.break_count, row.improvement_count, row.reconciled_us) == (0, 0, AT_US)


def test_adverse_slippage_over_the_tolerance_fails_in_the_documents_words() -> None:
    worse = result_of(ORDERS[0], execution_price=Decimal(40_040))  # 40 / 40000 = 10 bps, 5 are allowed
    row, breaks = reconcile(FACTS, [worse, *map(result_of, ORDERS[1:])], {}, FIVE_BPS, AT_US)
    assert kinds(breaks) == [BreakKind.ADVERSE_SLIPPAGE]
    assert (row.reconciliation_status, row.rejection_reason) == (Status.FAILED, "Slippage too high")
    assert row.discrepancy == Decimal(40)
    only = breaks[0]
    assert (only.expected, only.actual, only.discrepancy) == (Decimal(40_000), Decimal(40_040), Decimal(40))
    assert (only.tolerance, only.is_failure, only.leg, only.exchange) == (Decimal(5), True, "long", "binance")
    assert only.result_id == result_id_of("long-in")


def test_slippage_of_exactly_the_tolerance_is_no_break() -> None:
    edge = result_of(ORDERS[0], execution_price=Decimal(40_020))  # 20 / 40000 = 5 bps
    assert reconcile(FACTS, [edge, *map(result_of, ORDERS[1:])], {}, FIVE_BPS, AT_US)[1] == []


def test_a_sale_above_the_requested_price_is_an_improvement_and_no_failure() -> None:
    better = result_of(ORDERS[1], execution_price=Decimal(40_040))
    results = [result_of(ORDERS[0]), better, *map(result_of, ORDERS[2:])]
    row, breaks = reconcile(FACTS, results, {}, FIVE_BPS, AT_US)
    assert kinds(breaks) == [BreakKind.PRICE_IMPROVEMENT]
    assert breaks[0].is_failure is False
    assert (row.reconciliation_status, row.break_count, row.improvement_count) == (Status.SUCCESS, 0, 1)
    assert row.discrepancy == Decimal(0)  # the costliest order cost nothing


def test_a_missing_result_outranks_slippage_as_the_reason() -> None:
    worse = result_of(ORDERS[0], execution_price=Decimal(40_040))
    row, breaks = reconcile(FACTS, [worse, *map(result_of, ORDERS[1:3])], {}, FIVE_BPS, AT_US)
    assert kinds(breaks) == [BreakKind.MISSING_RESULT, BreakKind.ADVERSE_SLIPPAGE]
    assert breaks[0].result_id == result_id_of("short-out")
    assert (row.rejection_reason, row.break_count) == ("Result missing", 2)


def test_two_results_of_one_order_are_a_duplicate_and_a_result_of_an_unknown_order_too() -> None:
    twin = result_of(ORDERS[0], result_id="00000000-0000-5000-8000-000000000001")
    stray = result_of(ORDERS[0], result_id="00000000-0000-5000-8000-000000000002", order_id="nobody's")
    results = [twin, *map(result_of, ORDERS), stray]
    row, breaks = reconcile(FACTS, results, {}, FIVE_BPS, AT_US)
    assert kinds(breaks) == [BreakKind.DUPLICATE_RESULT, BreakKind.DUPLICATE_RESULT]
    assert {each.result_id for each in breaks} == {result_id_of("long-in"), stray.result_id}
    assert row.rejection_reason == "Duplicate result"


def test_a_result_that_filled_less_than_its_order_is_a_quantity_mismatch() -> None:
    short = result_of(ORDERS[0], filled_quantity=Decimal("0.09"))
    breaks = reconcile(FACTS, [short, *map(result_of, ORDERS[1:])], {}, FIVE_BPS, AT_US)[1]
    assert kinds(breaks) == [BreakKind.QUANTITY_MISMATCH]
    assert breaks[0].discrepancy == Decimal("-0.01")


def test_a_leg_that_is_not_flat_after_the_close_is_a_quantity_mismatch() -> None:
    half = msgspec.structs.replace(ORDERS[2], filled_quantity=Decimal("0.05"))
    facts = msgspec.structs.replace(FACTS, orders=(*ORDERS[:2], half, ORDERS[3]))
    breaks = reconcile(facts, [result_of(order) for order in facts.orders], {}, FIVE_BPS, AT_US)[1]
    assert [(each.kind, each.leg, each.actual) for each in breaks] == [
        (BreakKind.QUANTITY_MISMATCH, "long", Decimal("0.05"))  # 0.1 bought - 0.05 sold
    ]


def test_a_residual_within_the_rounding_of_averages_passes_and_one_over_it_fails() -> None:
    results = [result_of(order) for order in ORDERS]
    edge = msgspec.structs.replace(FACTS, residual_usd=Decimal("-1E-10"))
    over = msgspec.structs.replace(FACTS, residual_usd=Decimal("-1.01E-10"))
    assert reconcile(edge, results, {}, FIVE_BPS, AT_US)[1] == []
    row, breaks = reconcile(over, results, {}, FIVE_BPS, AT_US)
    assert kinds(breaks) == [BreakKind.PNL_RESIDUAL]
    assert (row.rejection_reason, breaks[0].result_id) == ("P&L does not add up", None)


def test_waiting_in_the_queue_is_under_no_limit_but_the_rest_of_the_latency_is() -> None:
    results = [result_of(order) for order in ORDERS]
    waited = metrics_of(ORDERS[0], execution_latency_ms=30_040, queue_wait_ms=30_000)
    late = metrics_of(ORDERS[1], execution_latency_ms=1_200, broker_latency_ms=900)
    metrics = {waited.result_id: waited, late.result_id: late}
    breaks = reconcile(FACTS, results, metrics, FIVE_BPS, AT_US)[1]
    assert [(each.kind, each.leg, each.reason) for each in breaks] == [
        (BreakKind.LATENCY, "short", "Latency too high: broker")  # 400 ms over, execution only 200
    ]
    assert (breaks[0].expected, breaks[0].actual) == (Decimal(500), Decimal(900))


def test_an_order_that_never_executed_is_compared_by_quantity_alone() -> None:
    order = OrderFacts("short-in", "bybit", "short", "sell", Decimal(0))
    nothing = result_of(
        order, execution_price=Decimal(0), filled_quantity=Decimal(0), slippage=None, state=ResultState.FAILED
    )
    facts = TradeFacts(TRADE, "strategy", "BTCUSDT", (order,))
    row, breaks = reconcile(facts, [nothing], {}, FIVE_BPS, AT_US)
    assert breaks == []
    assert row.discrepancy is None


def test_the_tolerance_of_an_instrument_comes_before_its_venues_and_its_symbols() -> None:
    wide, venue, symbol = (Tolerance(slippage_bps=Decimal(n)) for n in (20, 9, 8))
    tolerances = Tolerances(overrides={("binance", "BTCUSDT"): wide, ("bybit", "*"): venue, ("*", "BTCUSDT"): symbol})
    assert tolerances.of("binance", "BTCUSDT") is wide
    assert tolerances.of("bybit", "BTCUSDT") is venue
    assert tolerances.of("okx", "BTCUSDT") is symbol
    assert tolerances.of("okx", "ETHUSDT") == Tolerance(latency=LatencyLimits())
    worse = result_of(ORDERS[0], execution_price=Decimal(40_040))  # 10 bps
    assert reconcile(FACTS, [worse, *map(result_of, ORDERS[1:])], {}, tolerances, AT_US)[1] == []


def test_a_second_pass_over_the_same_facts_gives_the_same_rows() -> None:
    worse = result_of(ORDERS[0], execution_price=Decimal(40_040))
    results = [worse, result_of(ORDERS[1]), result_of(ORDERS[2])]
    first = reconcile(FACTS, results, {}, FIVE_BPS, AT_US)
    assert reconcile(FACTS, list(reversed(results)), {}, FIVE_BPS, AT_US) == first
    assert len({each.id for each in first[1]}) == len(first[1]) == 2


def test_as_many_missing_results_as_a_venue_is_allowed_are_no_break() -> None:
    results = [result_of(order) for order in ORDERS[1:]]  # binance lacks one
    allowed = Tolerances(overrides={("binance", "*"): Tolerance(missing_results=1)})
    assert reconcile(FACTS, results, {}, allowed, AT_US)[1] == []
    of_the_other = Tolerances(overrides={("bybit", "*"): Tolerance(missing_results=1)})
    kinds = [each.kind for each in reconcile(FACTS, results, {}, of_the_other, AT_US)[1]]
    assert kinds == [BreakKind.MISSING_RESULT]


def test_one_missing_result_more_than_allowed_makes_each_of_them_a_break() -> None:
    results = [result_of(order) for order in ORDERS if order.exchange != "binance"]
    allowed = Tolerances(Tolerance(missing_results=1))
    kinds = [each.kind for each in reconcile(FACTS, results, {}, allowed, AT_US)[1]]
    assert kinds == [BreakKind.MISSING_RESULT, BreakKind.MISSING_RESULT]


def test_as_many_duplicate_results_as_a_venue_is_allowed_are_no_break() -> None:
    twice = result_of(ORDERS[0], result_id="11111111-1111-4111-8111-111111111111")
    results = [*map(result_of, ORDERS), twice]
    assert [each.kind for each in reconcile(FACTS, results, {}, FIVE_BPS, AT_US)[1]] == [BreakKind.DUPLICATE_RESULT]
    allowed = Tolerances(Tolerance(duplicate_results=1))
    assert reconcile(FACTS, results, {}, allowed, AT_US)[1] == []
