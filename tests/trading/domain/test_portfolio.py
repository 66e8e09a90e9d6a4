"""Capital is conserved at every change of a portfolio, and refusals change nothing (rulings 16, 18, 21)."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.domain.test_vectors import TRADE, closed_trade
from trading.domain.errors import ConservationBroken, InsufficientCapital
from trading.domain.metrics import EquityTrack, daily_metrics, portfolio_metrics, sharpe_ratio
from trading.domain.portfolio import CLOSED_TRADES_KEPT, DayTally, PortfolioState
from trading.domain.trades import Trade, TradeStatus

DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US


def trade_of(trade_id: str, size: str, net: str, exit_us: int = START_US) -> Trade:
    trade = closed_trade(TRADE["pnl_identity"])
    return msgspec.structs.replace(
        trade,
        id=trade_id,
        position_size_usd=D(size),
        actual_profit_usd=D(net),
        entry_us=exit_us - 2_000_000,
        exit_us=exit_us,
        exit_reason="profit_target",
        status=TradeStatus.CLOSED,
    )


def test_opening_reserves_the_position_size_and_closing_frees_it() -> None:
    state = PortfolioState.new(D(20_000), START_US)
    opened = state.opened(trade_of("a", "5000", "12.5"))
    assert (opened.available_capital, opened.total_open_positions) == (D(15_000), D(5_000))
    closed = opened.closed(trade_of("a", "5000", "12.5"), D(1), D("0.3"))
    assert (closed.available_capital, closed.total_open_positions) == (D(20_000), D(0))
    assert (closed.cumulative_pnl, closed.win_count, closed.loss_count) == (D("12.5"), 1, 0)
    assert closed.active_trades == () and closed.closed_trades == ("a",)
    assert closed.day is not None and closed.day.pnl == D("12.5") and closed.day.duration_us == 2_000_000


def test_compounding_adds_the_net_to_the_available_capital() -> None:
    state = PortfolioState.new(D(20_000), START_US, "compounding").opened(trade_of("a", "5000", "-40"))
    assert state.closed(trade_of("a", "5000", "-40"), D(1), D(0)).available_capital == D(19_960)


def test_a_trade_larger_than_the_available_capital_is_refused_with_both_amounts() -> None:
    state = PortfolioState.new(D(1_200), START_US)
    with pytest.raises(InsufficientCapital, match="trade needs 5000 USD, 1200 USD is available"):
        state.opened(trade_of("a", "5000", "0"))
    assert state == PortfolioState.new(D(1_200), START_US)


def test_a_trade_of_all_that_is_available_is_opened_and_the_latest_to_close_is_listed_first() -> None:
    state = PortfolioState.new(D(5_000), START_US)
    for name in ("a", "b"):
        trade = trade_of(name, "5000", "0")
        state = state.opened(trade)
        assert state.available_capital == 0
        state = state.closed(trade, D(0), D(0))
    assert state.closed_trades == ("b", "a")


def test_a_state_that_does_not_add_up_is_an_error_with_the_amounts() -> None:
    broken = msgspec.structs.replace(PortfolioState.new(D(100), START_US), available_capital=D(99))
    with pytest.raises(ConservationBroken, match="= 99, not 100 USD"):
        broken.require_conserved()


def test_a_trade_without_any_fill_counts_neither_as_trade_nor_win_nor_loss() -> None:
    trade = trade_of("a", "100", "0")
    unfilled = msgspec.structs.replace(
        trade,
        long_order=msgspec.structs.replace(trade.long_order, filled_quantity=D(0)),
        short_order=msgspec.structs.replace(trade.short_order, filled_quantity=D(0)),
        orders=(),
    )
    state = PortfolioState.new(D(1_000), START_US).opened(unfilled).closed(unfilled, D(0), D(0))
    assert (state.total_trades, state.win_count, state.loss_count) == (0, 0, 0)
    assert state.recent_exits[0].trade_id == "a"


def test_a_new_utc_day_begins_a_new_tally_and_keeps_the_one_before() -> None:
    state = PortfolioState.new(D(1_000), START_US)
    for name, exit_us in (("a", START_US), ("b", START_US + DAY_US)):
        trade = trade_of(name, "100", "5", exit_us)
        state = state.opened(trade).closed(trade, D(0), D(0))
    assert state.day is not None and state.previous_day is not None
    assert (state.day.trades_executed, state.previous_day.trades_executed) == (1, 1)
    assert state.day.date > state.previous_day.date


def test_metrics_are_shares_of_the_starting_capital_and_undefined_without_profit() -> None:
    state = PortfolioState.new(D(20_000), START_US, "compounding").opened(trade_of("a", "1000", "-100"))
    state = state.closed(trade_of("a", "1000", "-100"), D(0), D(0)).opened(trade_of("b", "1000", "0"))
    found = portfolio_metrics(state.legged_out(START_US, D("-3")), START_US + 10 * DAY_US)
    assert (found.utilization_pct, found.pnl_percentage, found.leg_out_loss_pct) == (D("0.05"), D("-0.5"), None)
    assert (found.win_rate, found.realistic_apr) == (D(0), D("-0.1825"))  # -100 / 20000 * 365 / 10
    assert state.legged_out(START_US, D("-3")).leg_out_total_loss == -3


def test_daily_metrics_are_those_of_the_day() -> None:
    state = msgspec.structs.replace(PortfolioState.new(D(20_000), START_US), cumulative_pnl=D(500))
    tally = DayTally("2024-10-04", 4, 2, 1, D(50), 1, D(3), 10_000_000)
    returns = (D("0.01"), D("-0.02"))
    track = EquityTrack("2024-10-04", D(20_000), D(20_050), D(21_000), D(20_060), D("0.05"), D("0.001"), returns)
    daily = daily_metrics(state, tally, track)
    assert (daily.win_rate, daily.daily_pnl_percentage, daily.realistic_apr) == (D("0.5"), D("0.25"), D("0.9125"))
    assert (daily.average_trade_duration_seconds, daily.max_drawdown) == (D("2.5"), D("0.001"))
    assert daily.sharpe_ratio == sharpe_ratio([*returns, D("0.0025")])  # 20050 / 20000 - 1 is today's
    assert daily_metrics(state, DayTally("2024-10-04"), track).average_trade_duration_seconds is None


def test_the_running_peak_begins_at_the_starting_capital_and_the_days_at_its_first_equity() -> None:
    track = EquityTrack.new(D(1_000), START_US).observed(D(900), START_US + 1)
    assert (track.max_drawdown, track.day_max_drawdown) == (D("0.1"), D("0.1"))
    later = track.observed(D(810), START_US + DAY_US)
    assert (later.max_drawdown, later.day_max_drawdown) == (D("0.19"), D("0.1"))  # of 1000, of 900


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(-50, 50), st.booleans()), max_size=150))
def test_capital_is_conserved_whatever_opens_and_closes(moves: list[tuple[int, int, bool]]) -> None:
    state = PortfolioState.new(D(1_000), START_US)
    open_trades: list[Trade] = []
    for number, (size, net, close) in enumerate(moves):
        if close and open_trades:
            trade = open_trades.pop(0)
            state = state.closed(trade, D(0), D(0))
        else:
            trade = trade_of(str(number), str(size), str(net))
            try:
                state = state.opened(trade)
                open_trades.append(trade)
            except InsufficientCapital:
                assert D(size) > state.available_capital
        held = sum((trade.position_size_usd for trade in open_trades), D(0))
        assert state.available_capital + held == state.starting_capital
        assert state.active_trades == tuple(trade.id for trade in open_trades)
        assert len(state.closed_trades) <= CLOSED_TRADES_KEPT
        assert not set(state.active_trades) & set(state.closed_trades)


def test_the_state_lists_as_many_closed_trades_as_the_strategy_keeps() -> None:
    state = PortfolioState.new(D(1_000), START_US)
    for number in range(5):
        trade = trade_of(str(number), "10", "1")
        state = state.opened(trade).closed(trade, D(0), D(0), kept=3)
    assert state.closed_trades == ("4", "3", "2")
