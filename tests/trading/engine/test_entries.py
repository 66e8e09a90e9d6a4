"""Entries: what the signal asks for is sent once, at the passive prices, within limits and capital."""

from decimal import Decimal
from types import SimpleNamespace

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, desk, strategy, us
from trading.domain.orders import OrderStatus, Side
from trading.domain.trades import TradeStatus
from trading.engine.signals import Baseline


def test_a_wide_spread_sends_both_passive_legs_in_one_transition() -> None:
    scene = Scene()
    trade = scene.open_trade()
    assert trade.status is TradeStatus.PENDING
    assert (trade.long_order.side, trade.long_order.price) == (Side.BUY, D("49990.0"))
    assert (trade.short_order.side, trade.short_order.price) == (Side.SELL, D("50210.0"))
    assert trade.quantity == D("0.019")  # floor(1000 / 50210 = 0.019916, 0.001)
    assert trade.entry_us == us(2100)
    # (50210 - 49990) / 50100 * 10000 = 43.912175...
    assert trade.entry_spread_bps.quantize(D("0.000001")) == D("43.912176")
    # spread 220 * 0.019 = 4.18; fees 0.019 * (49990 + 50210) * (0.0002 + 0.0005) = 1.33266
    assert trade.projected_spread_usd == D("4.18")
    assert trade.projected_fees_usd == D("1.33266")
    assert trade.projected_profit_usd == D("2.84734")
    (transition,) = scene.store.log
    assert transition.state is not None
    assert transition.state.available_capital == D(19_000)
    assert transition.state.active_trades == (trade.id,)
    assert transition.results == ()


def test_a_spread_below_the_threshold_enters_nothing() -> None:
    scene = Scene()
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50100.1", "50110.0")  # 100.1 / 50050.05 = 19.99998 bps
    assert scene.store.log == []
    scene.top(2200, BETA, "50100.2", "50110.0")  # 100.2 / 50050.1 = 20.0199 bps
    assert len(scene.store.log) == 1


def test_exactly_the_threshold_enters() -> None:
    scene = Scene(desk(strategy(entry_threshold_bps=D(40))))
    scene.top(1050, ALPHA, "49899.0", "49900.0")
    scene.time(2000)
    scene.top(2100, BETA, "50100.0", "50110.0")  # 200 / 50000 = 40 bps exactly
    assert len(scene.store.log) == 1


def test_float_rounding_does_not_hide_an_exact_threshold() -> None:
    scene = Scene()
    scene.top(1050, ALPHA, "40059.8", "40059.9")
    scene.time(2000)
    scene.top(2100, BETA, "40140.1", "40140.2")  # 80.2 / 40100 = 20 bps; in float 19.999999999999275
    assert len(scene.store.log) == 1


def test_expected_funding_lowers_what_the_spread_must_be() -> None:
    # 8 h held: one settlement of 0.001 received by the short = 10 bps, so 19.99 bps of spread are enough for 20
    scene = Scene()
    scene.funding(1000, BETA, "0.001", "50100", settles_ms=3_600_000)
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50100.1", "50110.0")
    trade = scene.trade
    # mid 50050 * 0.019 * 0.001 = 0.95095
    assert trade.projected_funding_usd == D("0.95095")
    assert trade.funding_delta_entry == 0  # alpha is a perpetual whose rate is unknown


def test_one_trade_per_pair_and_a_cooldown_after_it() -> None:
    scene = Scene(desk(strategy(trades_open_per_pair_max=2)))
    scene.open_trade()
    scene.top(4000, BETA, "50200.0", "50211.0")  # 1.9 s after the entry
    assert len(scene.store.open) == 1
    scene.top(4100, BETA, "50200.0", "50212.0")  # 2.0 s
    assert len(scene.store.open) == 2
    scene.top(9000, BETA, "50200.0", "50213.0")
    assert len(scene.store.open) == 2


def test_a_stale_book_stops_entries() -> None:
    scene = Scene()
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(6051, BETA, "50200.0", "50210.0")  # alpha is 5.001 s old, 5 s are allowed
    assert scene.store.log == []
    scene.top(6100, ALPHA, "49990.0", "50000.0")
    assert len(scene.store.log) == 1


def test_a_trade_beyond_the_capital_is_refused_and_changes_nothing() -> None:
    scene = Scene(desk(strategy(starting_capital=D(1500), trades_open_per_pair_max=5)))
    scene.open_trade()
    before = (scene.portfolio.state, dict(scene.portfolio.trades), len(scene.store.log))
    scene.top(5000, ALPHA, "49990.0", "50000.0")
    scene.top(5000, BETA, "50200.0", "50211.0")
    assert (scene.portfolio.state, dict(scene.portfolio.trades), len(scene.store.log)) == before
    assert scene.portfolio.state.available_capital == D(500)


def test_too_little_money_for_one_lot_enters_nothing() -> None:
    scene = Scene(desk(strategy(position_size_usd=D(49))))  # 49 / 50210 is less than 0.001
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    assert scene.store.log == []


def test_basis_enters_when_the_spread_leaves_its_own_mean() -> None:
    scene = Scene(desk(strategy(signal="basis", baseline_seconds=4, entry_threshold_bps=D(10))))
    for second in range(1, 8):
        scene.top(second * 1000 - 500, ALPHA, "49990.0", "50000.0")
        scene.top(second * 1000 - 400, BETA, "50200.0", "50210.0")  # always 39.92 bps: the mean itself
    assert scene.store.log == []
    scene.top(7700, BETA, "50250.0", "50260.0")  # 49.875 bps: 9.955 over the mean
    assert scene.store.log == []
    scene.top(7800, BETA, "50251.0", "50261.0")  # 50.074 bps: 10.154 over the mean
    assert scene.trade.status is TradeStatus.PENDING


def test_the_baseline_forgets_what_is_older_than_its_span() -> None:
    baseline = Baseline(3)
    for second, value in enumerate((1, 2, 3, 10), start=1):
        baseline.add(second * 1_000_000, Decimal(value))
    assert baseline.mean_bps(4_000_000) == D(5)  # (2 + 3 + 10) / 3
    baseline.add(6_000_000, None)
    assert baseline.mean_bps(6_000_000) is None  # one of three seconds is known


def test_a_night_of_sleep_is_not_sampled_second_by_second() -> None:
    scene = Scene(desk(strategy(signal="basis", baseline_seconds=4)))
    scene.time(1000)
    sampled: list[int] = []
    scene.engine._signals = [SimpleNamespace(sample=sampled.append)]  # type: ignore[list-item]
    scene.time(8 * 3_600_000)
    assert sampled == [us(2000)]
    scene.time(8 * 3_600_000 + 2_000)
    assert sampled[1:] == [us(8 * 3_600_000 + 1_000), us(8 * 3_600_000 + 2_000)]


def test_an_unanswered_entry_times_out_and_counts_as_no_trade() -> None:
    scene = Scene()
    scene.open_trade()
    scene.time(32_109)
    assert scene.trade.status is TradeStatus.PENDING
    scene.time(32_110)  # 2.1 s + 30 s, and 10 ms for the cancels to arrive
    trade = scene.trade
    assert (trade.status, trade.exit_reason, trade.exit_us) == (TradeStatus.CLOSED, "entry_timeout", us(32_110))
    assert trade.actual_profit_usd == 0
    assert [order.status for order in trade.all_orders] == [OrderStatus.CANCELLED, OrderStatus.CANCELLED]
    state = scene.portfolio.state
    assert (state.total_trades, state.win_count, state.loss_count) == (0, 0, 0)
    assert (state.available_capital, state.active_trades) == (D(20_000), ())
    results = [result for transition in scene.store.log for result in transition.results]
    assert [(r.state.value, r.execution_price, r.slippage, r.executed_us) for r in results] == [
        ("failed", 0, None, us(32_110))
    ] * 2
