"""The shared vectors: exact expected values of the rules (rulings 6, 7, 10, 11, 13, 14, 15, 21 and 23)."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from results.domain.outcomes import slippage_cost_bps, slippage_of
from trading.domain import metrics
from trading.domain.fills import filled
from trading.domain.funding import delta_8h, funding_cash
from trading.domain.leg_out import completion_loss, unwind_loss
from trading.domain.orders import Leg, Liquidity, Order, OrderType, Role, Side
from trading.domain.pnl import PnlTerms, residual_tolerance, terms_of
from trading.domain.portfolio import PortfolioState
from trading.domain.queue import advance, join
from trading.domain.spread import spread_bps, trade_size
from trading.domain.trades import Trade
from trading.domain.units import ZERO, round12
from trading.domain.walk import walk

VECTORS = Path(__file__).parents[2] / "vectors"
TRADE: dict[str, Any] = json.loads((VECTORS / "trade.json").read_text())
METRICS: dict[str, Any] = json.loads((VECTORS / "metrics.json").read_text())
RETURNS = [Decimal(r) for r in METRICS["daily_returns"]]
D = Decimal


@pytest.mark.parametrize("case", TRADE["spread_bps"])
def test_spread_is_of_the_mid_in_basis_points(case: dict[str, str]) -> None:
    bps = spread_bps(D(case["long_price"]), D(case["short_price"]))
    assert round(bps, 4) == D(case["bps_rounded_4"])


@pytest.mark.parametrize("case", TRADE["size"])
def test_size_is_floored_to_the_step(case: dict[str, str]) -> None:
    size = trade_size(
        D(case["position_size_usd"]),
        D(case["long_price"]),
        D(case["short_price"]),
        D(case["step"]),
        D(case["step"]),
    )
    assert size == D(case["size"])


@pytest.mark.parametrize("case", TRADE["queue_fill"])
def test_queue_fills_at_the_exact_threshold(case: dict[str, Any]) -> None:
    queue = join(D(100), D(case["depth"]), D(case.get("threshold", "0.20")))
    filled_at = None
    for number, quantity in enumerate(case["prints"], start=1):
        queue = advance(queue, Side.BUY, D(100), D(quantity), "sell")
        if queue.is_filled and filled_at is None:
            filled_at = number
    assert queue.is_filled is case["filled"]
    if "at_print" in case:
        assert filled_at == case["at_print"]


@pytest.mark.parametrize("case", TRADE["hedge_loss"])
def test_hedge_loss_has_the_sign_of_a_loss(case: dict[str, str]) -> None:
    hedge_price, size, fees = D(case["hedge_price"]), D(case["size"]), D(case.get("fees", "0"))
    if case["hedge"] == "unwind":
        loss = unwind_loss(Leg(case["leg"]), D(case["filled_price"]), hedge_price, size, fees)
    else:
        loss = completion_loss(Leg(case["missing_leg"]), D(case["intended_price"]), hedge_price, size, fees)
    assert loss == D(case["loss"])


@pytest.mark.parametrize("case", TRADE["funding"])
def test_longs_pay_and_shorts_receive_funding(case: dict[str, str]) -> None:
    signed = Leg(case["leg"]).direction * D(case["quantity"])
    assert funding_cash(signed, D(case["mark_price"]), D(case["rate"])) == D(case["cash"])


@pytest.mark.parametrize("case", TRADE["funding_delta"])
def test_funding_delta_is_normalised_to_eight_hours(case: dict[str, Any]) -> None:
    delta = delta_8h(D(case["short_rate"]), case["short_interval_h"], D(case["long_rate"]), case["long_interval_h"])
    assert delta == D(case["delta_8h"])


def order(leg: Leg, side: Side, role: Role, quantity: str, price: str) -> Order:
    return Order(
        id=f"{leg}-{role}",
        exchange="venue",
        symbol="BTCUSDT",
        leg=leg,
        role=role,
        side=side,
        order_type=OrderType.LIMIT,
        price=D(price),
        quantity=D(quantity),
        created_us=0,
    )


def done(leg: Leg, side: Side, role: Role, quantity: str, price: str, rate: str = "0") -> Order:
    cost = D(quantity) * D(price)
    return filled(order(leg, side, role, quantity, price), D(quantity), cost, 1, D(rate), Liquidity.TAKER)


@pytest.mark.parametrize("case", TRADE["fee"])
def test_fee_is_price_times_quantity_times_rate(case: dict[str, str]) -> None:
    paid = done(Leg.LONG, Side.BUY, Role.ENTRY, case["quantity"], case["price"], case["rate"])
    assert paid.fee == D(case["fee"])


@pytest.mark.parametrize("case", TRADE["slippage"])
def test_slippage_keeps_the_documents_sign_and_cost_is_positive(case: dict[str, str]) -> None:
    prices = D(case["execution_price"]), D(case["requested_price"])
    assert slippage_of(*prices) == D(case["slippage"])
    assert round(slippage_cost_bps(case["direction"], *prices), 3) == D(case["cost_bps_rounded_3"])


@pytest.mark.parametrize("case", TRADE["book_walk"])
def test_walk_takes_the_levels_best_first(case: dict[str, Any]) -> None:
    levels = [(D(price), D(quantity)) for price, quantity in case["asks"]]
    taken = walk(levels, D(case["quantity"]), Side(case["side"]))
    assert taken.filled == D(case["filled"])
    assert taken.average_price == D(case["average_price"])
    assert taken.levels == case.get("levels", len(levels))
    assert (taken.filled < D(case["quantity"])) is case.get("partial", False)


def closed_trade(case: dict[str, str]) -> Trade:
    quantity = case["quantity"]
    entry_fee_rate = "0"
    long_entry = done(Leg.LONG, Side.BUY, Role.ENTRY, quantity, case["long_entry"], entry_fee_rate)
    short_exit = done(Leg.SHORT, Side.BUY, Role.EXIT, quantity, case["short_exit"])
    return Trade(
        id="t",
        portfolio="strategy",
        symbol="BTCUSDT",
        long_exchange="a",
        short_exchange="b",
        entry_us=0,
        entry_long_price=D(case["long_entry"]),
        entry_short_price=D(case["short_entry"]),
        entry_spread_bps=ZERO,
        position_size_usd=D(5000),
        quantity=D(quantity),
        funding_delta_entry=ZERO,
        projected_profit_usd=ZERO,
        long_order=long_entry,
        short_order=done(Leg.SHORT, Side.SELL, Role.ENTRY, quantity, case["short_entry"]),
        orders=(
            msgspec.structs.replace(
                done(Leg.LONG, Side.SELL, Role.EXIT, quantity, case["long_exit"]), fee=D(case["fees"])
            ),
            short_exit,
        ),
        funding_long_usd=D(case["funding_long"]),
        funding_short_usd=D(case["funding_short"]),
    )


def test_pnl_is_cash_plus_funding_minus_fees_and_its_terms_add_up() -> None:
    case = TRADE["pnl_identity"]
    trade = closed_trade(case)
    terms: PnlTerms = terms_of(trade)
    assert terms.price_long == D(case["price_pnl_long"])  # 0.1176 * (42450 - 42400)
    assert terms.price_short == D(case["price_pnl_short"])  # 0.1176 * (42460 - 42470)
    assert terms.net == D(case["net"])
    assert abs(terms.residual) <= residual_tolerance(trade)


def test_sharpe_and_sortino_match_the_vectors() -> None:
    assert float(metrics.sharpe_ratio(RETURNS) or 0) == pytest.approx(METRICS["sharpe_365"], rel=1e-12)
    assert float(metrics.sortino_ratio(RETURNS) or 0) == pytest.approx(METRICS["sortino_365"], rel=1e-12)
    assert float(metrics.sharpe_ratio(RETURNS, 252) or 0) == pytest.approx(METRICS["sharpe_252"], rel=1e-12)


def test_max_drawdown_is_a_positive_fraction_of_the_running_peak() -> None:
    equities = [D(1)]
    for r in RETURNS:
        equities.append(equities[-1] * (1 + r))
    assert metrics.max_drawdown(equities) == D(METRICS["max_drawdown"])
    assert metrics.max_drawdown([]) is None


SERIES = {
    "one_return": [D("0.01")],
    "no_returns": [],
    "all_equal_negative_returns": [D("-0.01")] * 3,
    "all_equal_positive_returns": [D("0.01")] * 3,
}


@pytest.mark.parametrize("name", SERIES)
def test_undefined_ratios_are_none_and_the_others_are_not(name: str) -> None:
    got = {"sharpe": metrics.sharpe_ratio(SERIES[name]), "sortino": metrics.sortino_ratio(SERIES[name])}
    equities = [D(1) + r for r in SERIES[name]]  # only whether there are any matters
    got["max_drawdown"] = metrics.max_drawdown(equities)
    assert {ratio for ratio, value in got.items() if value is None} == set(METRICS["undefined"][name])


def test_no_vector_is_left_out() -> None:
    """Every list above is a parameter of a test; what is new in the files must become one."""
    assert set(SERIES) == set(METRICS["undefined"])
    assert set(METRICS) == {
        "about", "daily_returns", "sharpe_365", "sortino_365", "sharpe_252", "max_drawdown", "undefined",
        "realistic_apr", "trades",
    }  # fmt: skip
    assert set(TRADE) == {
        "about", "spread_bps", "size", "queue_fill", "hedge_loss", "funding", "funding_delta", "fee", "slippage",
        "book_walk", "pnl_identity",
    }  # fmt: skip
    cases = sum(len(cases) for cases in TRADE.values() if isinstance(cases, list))
    assert (cases, len(SERIES), len(METRICS["realistic_apr"])) == (20, 4, 2)


@pytest.mark.parametrize("case", METRICS["realistic_apr"])
def test_apr_is_simple_with_at_least_one_day(case: dict[str, Any]) -> None:
    apr = metrics.realistic_apr(D(case["net_pnl"]), D(case["starting_capital"]), case["elapsed_seconds"] * 1_000_000)
    assert float(apr) == pytest.approx(case["apr"], rel=1e-12)


def test_trade_statistics_match_the_vectors() -> None:
    case = METRICS["trades"]
    nets = [D(net) for net in case["nets"]]
    assert metrics.profit_factor(nets) == D(case["profit_factor"])
    assert metrics.expectancy(nets) == D(case["expectancy"])
    state = PortfolioState.new(D(20_000), 0)
    for number, net in enumerate(nets):
        trade = msgspec.structs.replace(closed_trade(TRADE["pnl_identity"]), id=str(number), actual_profit_usd=net)
        state = state.opened(trade).closed(trade, ZERO, ZERO)
    found = metrics.portfolio_metrics(state, 0)
    assert (found.total_trades, found.win_rate) == (case["total_trades"], D(case["win_rate"]))
    assert (state.win_count, state.loss_count) == (case["win_count"], case["loss_count"])
    assert state.day is not None
    assert (state.day.trades_won, state.day.trades_lost) == (case["win_count"], case["loss_count"])


def test_rounding_is_half_even_at_twelve_places() -> None:
    assert round12(D("1.2348000000005")) == D("1.2348")
    assert round12(D("1.2348000000015")) == D("1.234800000002")


def test_rounding_does_not_depend_on_the_callers_context() -> None:
    value = D("12345678901234567890123456.123456789012")
    with localcontext() as context:
        context.prec = 5
        assert round12(value) == value
