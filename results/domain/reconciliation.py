"""Reconciliation: whether a closed trade came out as intended.

`reconcile` compares what a trade's orders say with their results and metrics. It returns one
`TradeReconciliation` and its breaks. Prices are quote per base, quantities base asset.

Invariants: pure and deterministic (the same facts give the same rows, whose ids are UUIDv5 of their subject);
only an adverse slippage fails, a favourable one over the tolerance is an improvement; the breaks that stand
are those with the version of their reconciliation, older ones were superseded. Source: ruling 25.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from results.domain.breaks import GRAVITY, REASONS, Break, BreakKind, break_id_of
from results.domain.latency import LatencyLimits, worst_excess
from results.domain.outcomes import ResultMetrics, TradeResult, result_id_of, slippage_cost_bps
from results.domain.tolerances import Tolerance, Tolerances
from results.domain.units import ZERO


class Status(StrEnum):
    """The documents' reconciliation states."""

    SUCCESS = "success"
    FAILED = "failed"


class OrderFacts(msgspec.Struct, frozen=True):
    """What the trade says about one of its orders. `direction` is buy or sell."""

    order_id: str
    exchange: str
    leg: str
    direction: str
    filled_quantity: Decimal


class TradeFacts(msgspec.Struct, frozen=True):
    """What a closed trade says. `residual_usd` is net cash minus the sum of its terms (None: unknown),
    `rounding_usd` how large it may be by the rounding of averages alone (ruling 15)."""

    trade_id: str
    portfolio: str
    symbol: str
    orders: tuple[OrderFacts, ...]
    residual_usd: Decimal | None = None
    rounding_usd: Decimal = ZERO


class TradeReconciliation(msgspec.Struct, frozen=True):
    """The outcome for one trade. `discrepancy` is execution minus requested price of its costliest order."""

    trade_id: str
    reconciliation_status: Status
    discrepancy: Decimal | None
    rejection_reason: str | None
    reconciled_us: int
    portfolio: str
    symbol: str
    break_count: int
    improvement_count: int


def reconcile(
    facts: TradeFacts,
    results: Sequence[TradeResult],
    metrics: Mapping[str, ResultMetrics],
    tolerances: Tolerances,
    reconciled_us: int,
) -> tuple[TradeReconciliation, list[Break]]:
    """The reconciliation of one closed trade and its breaks, the gravest first.

    `results` are all results that name this trade, `metrics` those known by result id, `reconciled_us` the
    time of the comparison in microseconds UTC. Source: ruling 25.
    """
    found = _Findings(facts, reconciled_us)
    by_order: dict[str, list[TradeResult]] = {}
    for result in results:
        by_order.setdefault(result.order_id, []).append(result)
    for order in facts.orders:
        tolerance = tolerances.of(order.exchange, facts.symbol)
        given = by_order.pop(order.order_id, [])
        if not given:
            found.missing(order)
            continue
        _compare_order(found, order, _own_first(order, given), metrics, tolerance)
    for strays in by_order.values():
        for stray in strays:
            found.stray(stray)
    found.leave_out_allowed(tolerances)
    found.legs_not_flat(tolerances)
    found.residual(tolerances)
    breaks = sorted(found.breaks, key=lambda each: (GRAVITY[each.kind], each.id))
    return _summary(facts, results, breaks, reconciled_us), breaks


def _own_first(order: OrderFacts, given: list[TradeResult]) -> list[TradeResult]:
    own = result_id_of(order.order_id)
    return sorted(given, key=lambda result: (result.result_id != own, result.result_id))


def _compare_order(
    found: _Findings,
    order: OrderFacts,
    given: list[TradeResult],
    metrics: Mapping[str, ResultMetrics],
    tolerance: Tolerance,
) -> None:
    result = given[0]
    if len(given) > 1:
        found.duplicate(order, given)
    found.quantity(order, result, tolerance.quantity)
    found.slippage(order, result, tolerance.slippage_bps)
    if result.result_id in metrics:
        found.latency(order, metrics[result.result_id], tolerance.latency)


class _Findings:
    """Collects the breaks of one trade."""

    def __init__(self, facts: TradeFacts, found_us: int) -> None:
        self.facts = facts
        self.found_us = found_us
        self.breaks: list[Break] = []

    def missing(self, order: OrderFacts) -> None:
        """The order has no result."""
        self._add(BreakKind.MISSING_RESULT, order.order_id, order, Decimal(1), ZERO, ZERO)

    def duplicate(self, order: OrderFacts, given: Sequence[TradeResult]) -> None:
        """The order has more than one result."""
        count = Decimal(len(given))
        self._add(BreakKind.DUPLICATE_RESULT, order.order_id, order, Decimal(1), count, ZERO)

    def stray(self, result: TradeResult) -> None:
        """A result names the trade, but an order that the trade does not have."""
        order = OrderFacts(result.order_id, result.exchange, result.leg, result.direction, ZERO)
        kind = BreakKind.DUPLICATE_RESULT
        self._add(kind, result.result_id, order, ZERO, Decimal(1), ZERO, result_id=result.result_id)

    def leave_out_allowed(self, tolerances: Tolerances) -> None:
        """Missing and duplicate results of a venue are no breaks as long as they are not more than it is allowed."""
        counted = Counter((each.exchange, each.kind) for each in self.breaks)
        for venue in {each.exchange for each in self.breaks}:
            allowed = tolerances.of(venue or "", self.facts.symbol)
            for kind, most in (
                (BreakKind.MISSING_RESULT, allowed.missing_results),
                (BreakKind.DUPLICATE_RESULT, allowed.duplicate_results),
            ):
                if counted[venue, kind] <= most:
                    self.breaks = [each for each in self.breaks if (each.exchange, each.kind) != (venue, kind)]

    def quantity(self, order: OrderFacts, result: TradeResult, allowed: Decimal) -> None:
        """The result's filled quantity is not the order's."""
        expected, actual = order.filled_quantity, result.filled_quantity
        if abs(actual - expected) > allowed:
            self._add(BreakKind.QUANTITY_MISMATCH, order.order_id, order, expected, actual, allowed)

    def slippage(self, order: OrderFacts, result: TradeResult, allowed_bps: Decimal) -> None:
        """The execution price is off the requested one by more than `allowed_bps`, to either side."""
        cost_bps = cost_bps_of(result)
        if cost_bps is None or abs(cost_bps) <= allowed_bps:
            return
        kind = BreakKind.ADVERSE_SLIPPAGE if cost_bps > 0 else BreakKind.PRICE_IMPROVEMENT
        expected, actual = result.requested_price, result.execution_price
        self._add(kind, order.order_id, order, expected, actual, allowed_bps, result_id=result.result_id)

    def latency(self, order: OrderFacts, metrics: ResultMetrics, limits: LatencyLimits) -> None:
        """A part of the order's time is over its limit; figures in milliseconds."""
        excess = worst_excess(metrics, limits)
        if excess:
            limit, actual = Decimal(excess.limit_ms), Decimal(excess.actual_ms)
            reason = f"{REASONS[BreakKind.LATENCY]}: {excess.part}"
            self._add(BreakKind.LATENCY, order.order_id, order, limit, actual, limit, reason=reason)

    def legs_not_flat(self, tolerances: Tolerances) -> None:
        """A leg of the closed trade still holds a position."""
        for leg in sorted({order.leg for order in self.facts.orders}):
            orders = [order for order in self.facts.orders if order.leg == leg]
            held = sum((_signed(order) for order in orders), ZERO)
            allowed = tolerances.of(orders[0].exchange, self.facts.symbol).quantity
            if abs(held) > allowed:
                about = OrderFacts("", orders[0].exchange, leg, "", ZERO)
                self._add(BreakKind.QUANTITY_MISMATCH, leg, about, ZERO, held, allowed)

    def residual(self, tolerances: Tolerances) -> None:
        """Net cash and the sum of its terms differ by more than rounding explains."""
        residual = self.facts.residual_usd
        venues = {order.exchange for order in self.facts.orders}
        own = max((tolerances.of(venue, self.facts.symbol).residual_usd for venue in venues), default=ZERO)
        allowed = self.facts.rounding_usd + own
        if residual is not None and abs(residual) > allowed:
            self._add(BreakKind.PNL_RESIDUAL, "trade", None, ZERO, residual, allowed)

    def _add(
        self,
        kind: BreakKind,
        subject: str,
        order: OrderFacts | None,
        expected: Decimal | None,
        actual: Decimal | None,
        tolerance: Decimal,
        *,
        result_id: str | None = None,
        reason: str = "",
    ) -> None:
        if order and order.order_id and result_id is None:
            result_id = result_id_of(order.order_id)
        difference = None if expected is None or actual is None else actual - expected
        self.breaks.append(
            Break(
                id=break_id_of(self.facts.trade_id, subject, kind),
                trade_id=self.facts.trade_id,
                result_id=result_id,
                portfolio=self.facts.portfolio,
                exchange=order.exchange if order else None,
                symbol=self.facts.symbol,
                leg=order.leg if order else None,
                kind=kind,
                is_failure=kind is not BreakKind.PRICE_IMPROVEMENT,
                expected=expected,
                actual=actual,
                discrepancy=difference,
                tolerance=tolerance,
                reason=reason or REASONS[kind],
                found_us=self.found_us,
            )
        )


def cost_bps_of(result: TradeResult) -> Decimal | None:
    """What the slippage of a result cost, in bps, recomputed from its prices; None if it never executed, or
    had no requested price."""
    if not result.filled_quantity or not result.requested_price:
        return None
    return slippage_cost_bps(result.direction, result.execution_price, result.requested_price)


def _signed(order: OrderFacts) -> Decimal:
    return order.filled_quantity if order.direction == "buy" else -order.filled_quantity


def _summary(
    facts: TradeFacts, results: Sequence[TradeResult], breaks: Sequence[Break], reconciled_us: int
) -> TradeReconciliation:
    failures = [each for each in breaks if each.is_failure]
    return TradeReconciliation(
        trade_id=facts.trade_id,
        reconciliation_status=Status.FAILED if failures else Status.SUCCESS,
        discrepancy=_worst_discrepancy(results),
        rejection_reason=failures[0].reason if failures else None,
        reconciled_us=reconciled_us,
        portfolio=facts.portfolio,
        symbol=facts.symbol,
        break_count=len(failures),
        improvement_count=len(breaks) - len(failures),
    )


def _worst_discrepancy(results: Sequence[TradeResult]) -> Decimal | None:
    """Execution minus requested price of the result whose slippage cost most, in price units."""
    costs = [(cost, result) for result in results if (cost := cost_bps_of(result)) is not None]
    if not costs:
        return None
    worst = max(costs, key=lambda pair: (pair[0], pair[1].result_id))[1]
    return worst.execution_price - (worst.requested_price or ZERO)
