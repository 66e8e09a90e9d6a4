"""States, exits, funding settlements, equity: the rules that have no shared vector."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from tests.trading.domain.test_vectors import TRADE, closed_trade, done, order
from trading.domain.errors import ConfigurationError, InvalidTransition
from trading.domain.exits import exit_reason
from trading.domain.fills import cancelled, filled
from trading.domain.funding import booked, payment
from trading.domain.instruments import Instrument
from trading.domain.metrics import EquityTrack
from trading.domain.orders import Leg, Liquidity, Role, Side
from trading.domain.pnl import order_pnl, residual_tolerance, terms_of, unrealised_net
from trading.domain.queue import advance, join, progress_fraction
from trading.domain.spread import (
    FeeRates,
    FundingTerm,
    funding_expected_fraction,
    project,
    settlements_until,
    trade_size,
)
from trading.domain.strategy import Pair, Strategy
from trading.domain.trades import MOVES, Trade, TradeStatus
from trading.domain.units import floor_to_step
from trading.domain.walk import walk

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
TAKER = Liquidity.TAKER
STRATEGY = Strategy(prefix="strategy", name="s", pairs=(Pair("a:X", "b:X"),))


@pytest.fixture
def trade() -> Trade:
    return closed_trade(TRADE["pnl_identity"])


def open_trade(trade: Trade) -> Trade:
    return msgspec.structs.replace(trade, orders=(), funding_long_usd=D(0), funding_short_usd=D(0))


@pytest.mark.parametrize("before", TradeStatus)
@pytest.mark.parametrize("after", TradeStatus)
def test_only_the_documented_moves_are_possible(trade: Trade, before: TradeStatus, after: TradeStatus) -> None:
    standing = msgspec.structs.replace(trade, status=before)
    if (before, after) in MOVES:
        assert standing.moved_to(after).status is after
    else:
        with pytest.raises(InvalidTransition, match=f"is {before}, it cannot become {after}"):
            standing.moved_to(after)


def test_an_order_that_ended_takes_no_more_fills() -> None:
    ended = cancelled(order(Leg.LONG, Side.BUY, Role.ENTRY, "1", "100"), 5)
    with pytest.raises(InvalidTransition, match="is Cancelled, it cannot be filled"):
        filled(ended, D(1), D(100), 6, D(0), Liquidity.MAKER)


def test_two_partial_fills_average_by_volume_and_pay_the_fee_of_each() -> None:
    half = filled(order(Leg.LONG, Side.BUY, Role.ENTRY, "3", "100"), D(1), D(100), 1, D("0.001"), Liquidity.TAKER)
    assert half.is_pending and half.remaining == 2
    whole = filled(half, D(2), D(204), 2, D("0.001"), Liquidity.TAKER)  # 1 x 100 + 2 x 102 = 304
    assert whole.fill_price == D("101.333333333333")
    assert (whole.cash, whole.fee) == (D(-304), D("0.304"))


def test_cash_is_exact_and_a_rebate_is_a_negative_fee() -> None:
    cost = D("0.0000000000015")  # 13 decimals: rounded half-even to 12 it would be 2E-12
    paid = filled(order(Leg.LONG, Side.BUY, Role.ENTRY, "1", "100"), D(1), cost, 1, D(-1), Liquidity.MAKER)
    assert (paid.cash, paid.fee) == (-cost, D("-0.000000000002"))


def test_a_print_through_the_price_fills_whatever_the_depth() -> None:
    queue = join(D(100), D(1_000), D("0.2"))
    assert advance(queue, Side.BUY, D("99.9"), D("0.001"), "sell").is_filled
    assert advance(queue, Side.SELL, D("100.1"), D("0.001"), "buy").is_filled


@pytest.mark.parametrize(("price", "aggressor"), [("100.1", "sell"), ("100", "buy"), ("99", "buy")])
def test_a_print_of_the_own_side_or_short_of_the_price_does_not_count(price: str, aggressor: str) -> None:
    queue = join(D(100), D(10), D("0.2"))
    assert advance(queue, Side.BUY, D(price), D(50), aggressor) is queue


def test_a_walk_asks_for_no_level_beyond_the_one_that_fills_it() -> None:
    levels = iter([(D(100), D(2)), (D(101), D(3)), (D(102), D(9))])
    assert walk(levels, D(5), Side.BUY).taken == ((D(100), D(2)), (D(101), D(3)))
    assert next(levels) == (D(102), D(9))


def test_progress_is_the_share_of_the_volume_that_is_needed() -> None:
    queue = advance(join(D(100), D(10), D("0.2")), Side.BUY, D(100), D("0.5"), "sell")
    assert progress_fraction(queue) == 0.25  # 0.5 of 0.2 x 10


def test_a_leg_filled_at_the_settlement_instant_is_not_paid(trade: Trade) -> None:
    holding = open_trade(trade)
    assert payment(holding, Leg.LONG, D("0.0001"), 8, D(100), 1) is None  # filled at 1 as well
    paid = payment(holding, Leg.SHORT, D("0.0001"), 8, D(100), 2)
    assert paid is not None and paid.cash == D("0.001176")  # short 0.1176 at 100 receives
    assert booked(holding, paid).funding_short_usd == D("0.001176")


def test_settlements_within_the_holding_time_are_counted_per_leg() -> None:
    long = FundingTerm(D("0.0001"), 8, 5 * HOUR_US)
    short = FundingTerm(D("0.0002"), 1, HOUR_US)
    # within 6 h from 0: the short settles 6 times, the long once
    assert funding_expected_fraction(long, short, 0, 6 * 3600) == D("0.0011")
    assert funding_expected_fraction(None, None, 0, 6 * 3600) == 0


def test_settlements_are_counted_after_now_and_up_to_the_end() -> None:
    term = FundingTerm(D("0.0001"), 8, 10 * HOUR_US)
    assert settlements_until(term, 0, 10 * HOUR_US - 1) == 0
    assert settlements_until(term, 0, 10 * HOUR_US) == 1
    assert settlements_until(term, 10 * HOUR_US, 18 * HOUR_US - 1) == 0  # that of now has passed
    assert settlements_until(term, 10 * HOUR_US, 18 * HOUR_US) == 1
    assert settlements_until(term, 10 * HOUR_US - 1, 26 * HOUR_US) == 3


def test_a_projection_adds_spread_and_funding_and_takes_off_all_four_fees() -> None:
    fees = FeeRates(long_entry=D("0.001"), short_entry=D("0.002"), long_exit=D("0.003"), short_exit=D("0.004"))
    found = project(D(2), D(100), D(102), fees, D("0.01"))
    # 2 * 2; 2 * 101 * 0.01; 200 * 0.004 + 204 * 0.006
    assert (found.spread_usd, found.funding_usd, found.fees_usd) == (D(4), D("2.02"), D("2.024"))
    assert found.net_usd == D("3.996")


def test_a_size_is_floored_to_the_coarser_step_whichever_leg_has_it() -> None:
    sizes = [trade_size(D(1180), D(90), D(100), *steps) for steps in ((D("0.1"), D(3)), (D(3), D("0.1")))]
    assert sizes == [D(9), D(9)]  # 11.8 by the dearer price
    assert floor_to_step(D("0.1179"), D("0.001")) == D("0.117")


def test_unrealised_counts_marks_funding_and_all_four_fees(trade: Trade) -> None:
    holding = open_trade(trade)
    # long 0.1176 from 42400 at bid 42450 = +5.88; short from 42460 at ask 42470 = -1.176; exit fees 0.001 of both
    fees = D("0.1176") * D("0.001") * (D(42450) + D(42470))
    assert unrealised_net(holding, D(42450), D(42470), D("0.001"), D("0.001")) == D("4.704") - fees
    paid = msgspec.structs.replace(holding, funding_long_usd=D("-0.1"), funding_short_usd=D("0.4"))
    assert unrealised_net(paid, D(42450), D(42470), D("0.001"), D("0.001")) == D("5.004") - fees


def test_the_pnl_of_an_exit_order_is_of_its_own_leg(trade: Trade) -> None:
    assert order_pnl(trade, trade.orders[0]) == D("5.88")
    assert order_pnl(trade, trade.orders[1]) == D("-1.176")
    assert order_pnl(trade, trade.long_order) == 0
    part = filled(order(Leg.LONG, Side.SELL, Role.EXIT, "0.1176", "42450"), D("0.05"), D("2122.5"), 1, D(0), TAKER)
    assert order_pnl(trade, part) == D("2.5")  # 0.05 * (42450 - 42400)


def test_hedge_fees_are_those_of_hedges_alone(trade: Trade) -> None:
    hedge = msgspec.structs.replace(trade.orders[1], role=Role.HEDGE, fee=D("0.25"))
    assert terms_of(msgspec.structs.replace(trade, orders=(trade.orders[0], hedge))).hedge_fees == D("0.25")


def test_the_tolerance_of_the_residual_is_half_a_quantum_for_each_unit_and_rounding(trade: Trade) -> None:
    assert residual_tolerance(trade) == D("5E-13") * (4 * D("0.1176") + 4)


@pytest.mark.parametrize(
    ("unrealised", "delta", "reason"),
    [
        (D("-20"), D("0"), "loss_limit"),  # 40 bps of 5000 is 20
        (D("-19.99"), D("0.00005"), "funding_convergence"),
        (D("3"), D("-0.01"), "funding_convergence"),
        (D("2.5"), D("0.001"), "profit_target"),  # 5 bps of 5000 is 2.5
        (D("2.49"), D("0.001"), None),
        (None, None, None),
    ],
)
def test_exits_hold_in_the_order_of_the_ruling(
    trade: Trade, unrealised: D | None, delta: D | None, reason: str | None
) -> None:
    armed = msgspec.structs.replace(trade, funding_delta_entry=D("0.001"))
    assert exit_reason(armed, STRATEGY, unrealised, delta) == reason


def test_funding_convergence_is_disarmed_without_an_advantage_at_entry(trade: Trade) -> None:
    assert exit_reason(trade, STRATEGY, D(0), D(0)) is None
    at_threshold = msgspec.structs.replace(trade, funding_delta_entry=STRATEGY.funding_convergence_threshold)
    assert exit_reason(at_threshold, STRATEGY, D(0), D(0)) is None
    never = msgspec.structs.replace(STRATEGY, funding_convergence_threshold=D(0))
    assert exit_reason(msgspec.structs.replace(trade, funding_delta_entry=D(1)), never, D(0), D(-1)) is None


def test_equity_returns_are_per_utc_day_and_empty_days_return_zero() -> None:
    track = EquityTrack.new(D(1_000), 0).observed(D(1_010), 1).observed(D(990), 2)
    assert track.max_drawdown == D("0.019801980198")  # 20 of 1010
    later = track.observed(D(1_089), 3 * DAY_US)
    assert later.returns == (D("-0.01"), D(0), D(0))
    assert later.day_return == D("0.1")
    assert later.day_max_drawdown == 0 and later.max_drawdown == track.max_drawdown


def test_a_bad_setting_names_the_strategy_the_field_and_the_value() -> None:
    with pytest.raises(ConfigurationError, match="strategy s: leg_out_ms is 0, allowed is 1 to 3600000"):
        Strategy(prefix="s", name="s", pairs=(Pair("a:X", "b:X"),), leg_out_ms=0)


def test_an_instrument_finer_than_twelve_decimals_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="instrument v:X: tick_size .* has 13 decimals"):
        Instrument("v", "X", "X", "USD", "spot", D("0.0000001"), D("0.000001"))


def test_a_flat_leg_holds_nothing(trade: Trade) -> None:
    assert trade.position(Leg.LONG) == 0 == trade.position(Leg.SHORT)
    assert open_trade(trade).position(Leg.SHORT) == D("-0.1176")
    assert done(Leg.LONG, Side.BUY, Role.ENTRY, "1", "10").remaining == 0
