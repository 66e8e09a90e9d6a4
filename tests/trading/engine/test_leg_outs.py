"""Leg-outs: by a timer of event time, with both hedges, and what happens on the way."""

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, desk, strategy, us, venue
from trading.domain.events import FeedGap
from trading.domain.orders import Leg, OrderStatus, Role
from trading.domain.trades import Hedge, TradeStatus
from trading.engine.snapshot import unequal_of


def filled_long(hedge: str = "unwind") -> Scene:
    """A trade whose long leg (0.019 at 49,990) is filled at 2,200 ms, the short one (50,210) is not."""
    scene = Scene(desk(strategy(hedge=hedge)))
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    return scene


def test_the_second_leg_unfilled_after_500_ms_is_unwound() -> None:
    scene = filled_long()
    scene.top(2600, ALPHA, "49980.0", "49990.0")
    scene.time(2709)
    assert scene.trade.short_order.status is OrderStatus.PENDING
    scene.time(2710)  # 2,200 + 500 ms; the cancel takes 10 ms
    assert scene.trade.short_order.status is OrderStatus.CANCELLED
    assert scene.trade.orders == ()
    scene.time(2720)  # the strategy hears of it 10 ms later and hedges, which arrives at 2,730 ms
    assert scene.order(Role.HEDGE, "long").created_us == us(2720)
    scene.time(2730)
    trade = scene.trade
    assert (trade.status, trade.exit_reason, trade.exit_us) == (TradeStatus.CLOSED, "leg_out", us(2730))
    event = trade.leg_out
    assert event is not None
    assert (event.filled_leg, event.unfilled_leg, event.hedge) == (Leg.LONG, Leg.SHORT, Hedge.UNWIND)
    assert (event.occurred_us, event.filled_us, event.reason) == (us(2700), us(2200), "timeout_500ms")
    assert (event.hedge_executed, event.hedge_price) == (True, D(49_980))
    # (49990 - 49980) * 0.019 + 49980 * 0.019 * 0.0005 = 0.19 + 0.47481
    assert event.hedge_loss == D("0.66481")
    # the trade loses the entry's fee too: 0.66481 + 49990 * 0.019 * 0.0002 = 0.66481 + 0.189962
    assert trade.actual_profit_usd == D("-0.854772")
    state = scene.portfolio.state
    assert (state.leg_out_count, state.leg_out_total_loss) == (1, D("0.66481"))
    assert (state.total_trades, state.loss_count, state.cumulative_pnl) == (1, 1, D("-0.854772"))
    assert (state.available_capital, state.active_trades) == (D(20_000), ())
    results = {(r.role, r.leg): r for transition in scene.store.log for r in transition.results}
    assert {key: r.state.value for key, r in results.items()} == {
        ("entry", "long"): "executed",
        ("entry", "short"): "failed",
        ("hedge", "long"): "executed",
    }
    assert results["hedge", "long"].pnl == D("-0.19")


def test_the_closing_of_a_leg_out_is_one_transition() -> None:
    scene = filled_long()
    scene.time(3000)
    last = scene.store.log[-1]
    assert last.trades[0].status is TradeStatus.CLOSED
    assert last.trades[0].leg_out is not None
    assert last.state is not None
    assert (last.state.leg_out_count, last.state.active_trades) == (1, ())
    assert len(last.results) == 1


def test_completing_takes_the_missing_leg_and_the_trade_goes_on() -> None:
    scene = filled_long("complete")
    scene.top(2600, BETA, "50190.0", "50200.0")
    scene.time(2730)
    trade = scene.trade
    assert trade.status is TradeStatus.ACTIVE
    assert (trade.position(Leg.LONG), trade.position(Leg.SHORT)) == (D("0.019"), D("-0.019"))
    assert (trade.entry_long_price, trade.entry_short_price) == (D(49_990), D(50_190))
    event = trade.leg_out
    assert event is not None
    assert (event.hedge, event.filled_leg, event.hedge_price) == (Hedge.COMPLETE, Leg.LONG, D(50_190))
    # -1 * (50190 - 50210) * 0.019 + 50190 * 0.019 * 0.0005 = 0.38 + 0.476805
    assert event.hedge_loss == D("0.856805")
    state = scene.portfolio.state
    assert (state.leg_out_count, state.leg_out_total_loss) == (1, D("0.856805"))
    assert (state.active_trades, state.total_trades) == ((trade.id,), 0)


def test_what_completing_has_not_got_after_another_timeout_is_unwound() -> None:
    scene = filled_long("complete")
    scene.top(2600, BETA, "50190.0", "50200.0", bid_quantity="0.012")
    scene.time(2730)
    assert scene.order(Role.HEDGE, "short").filled_quantity == D("0.012")
    assert scene.trade.status is TradeStatus.PENDING
    scene.time(3230)  # 500 ms after its arrival the rest is cancelled, which arrives at 3,240 ms
    scene.top(3235, ALPHA, "49985.0", "49990.0")
    scene.time(3250)
    unwind = scene.order(Role.HEDGE, "long")
    assert (unwind.quantity, unwind.created_us) == (D("0.007"), us(3250))
    scene.time(3260)
    trade = scene.trade
    assert (trade.status, trade.quantity) == (TradeStatus.ACTIVE, D("0.012"))
    assert (trade.position(Leg.LONG), trade.position(Leg.SHORT)) == (D("0.012"), D("-0.012"))
    assert trade.leg_out is not None
    # 20 * 0.012 + 50190 * 0.012 * 0.0005 + 5 * 0.007 + 49985 * 0.007 * 0.0005 = 0.24 + 0.30114 + 0.035 + 0.1749475
    assert trade.leg_out.hedge_loss == D("0.7510875")


def test_completing_that_finds_nothing_ends_flat() -> None:
    scene = filled_long("complete")
    scene.top(2600, BETA, "0", "50200.0", bid_quantity="0")
    scene.top(2610, ALPHA, "49985.0", "49990.0")
    scene.time(4000)
    trade = scene.trade
    assert (trade.status, trade.exit_reason) == (TradeStatus.CLOSED, "leg_out")
    assert trade.leg_out is not None
    assert trade.leg_out.hedge is Hedge.COMPLETE
    assert trade.leg_out.hedge_price == D(49_985)
    # nothing was completed; (49990 - 49985) * 0.019 + 49985 * 0.019 * 0.0005 = 0.095 + 0.4748575
    assert trade.leg_out.hedge_loss == D("0.5698575")
    assert [r.state.value for t in scene.store.log for r in t.results] == ["executed", "failed", "failed", "executed"]


def test_a_fill_before_the_cancel_arrives_counts() -> None:
    scene = filled_long()
    scene.time(2700)  # the cancel is sent
    scene.print_(2705, BETA, "50210.0", "2.0", "buy")  # and arrives at 2,710 ms
    scene.time(5000)
    trade = scene.trade
    assert trade.status is TradeStatus.ACTIVE
    assert trade.leg_out is None
    assert trade.orders == ()
    assert scene.portfolio.state.leg_out_count == 0


def test_a_print_at_the_instant_at_which_the_cancel_arrives_is_too_late() -> None:
    scene = filled_long()
    scene.print_(2710, BETA, "50210.0", "2.0", "buy")
    assert scene.trade.short_order.status is OrderStatus.CANCELLED


def test_a_fill_while_the_entry_timeout_cancels_is_a_leg_out() -> None:
    scene = Scene()
    scene.open_trade()
    scene.top(32_050, ALPHA, "49990.0", "50000.0")
    scene.time(32_100)  # both cancels are sent and arrive at 32,110 ms
    scene.print_(32_105, ALPHA, "49990.0", "2.0", "sell")
    scene.time(33_000)
    trade = scene.trade
    assert (trade.status, trade.exit_reason) == (TradeStatus.CLOSED, "leg_out")
    assert trade.leg_out is not None
    assert trade.leg_out.reason == "entry_timeout"


def test_a_hedge_waits_until_the_last_cancel_is_answered() -> None:
    """Beta cancels at 32,110 ms as alpha does, and says so 60 ms later: until then it might have filled."""
    scene = Scene(desk(beta=venue("beta", response_latency_us=60_000)))
    scene.open_trade()
    scene.time(32_100)
    scene.print_(32_105, ALPHA, "49990.0", "2.0", "sell")
    scene.time(32_169)
    assert scene.trade.short_order.status is OrderStatus.CANCELLED
    assert scene.trade.orders == ()
    scene.time(32_170)
    assert scene.order(Role.HEDGE, "long").created_us == us(32_170)


def test_the_first_cause_stays_while_a_hedge_waits_for_liquidity() -> None:
    scene = Scene()
    scene.open_trade()
    scene.top(32_050, ALPHA, "49990.0", "50000.0", bid_quantity="0.001")
    scene.time(32_100)
    scene.print_(32_105, ALPHA, "49990.0", "2.0", "sell")
    scene.top(33_000, ALPHA, "49990.0", "50000.0")  # later than 500 ms after the fill
    trade = scene.trade
    assert (trade.status, trade.exit_us) == (TradeStatus.CLOSED, us(33_000))
    assert trade.leg_out is not None
    assert (trade.leg_out.reason, trade.leg_out.occurred_us) == ("entry_timeout", us(32_100))


def test_a_short_leg_that_is_filled_first_is_bought_back() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, BETA, "50210.0", "2.0", "buy")
    scene.time(2730)
    trade = scene.trade
    assert trade.leg_out is not None
    assert (trade.leg_out.filled_leg, trade.leg_out.hedge_price) == (Leg.SHORT, D(50_210))
    # nothing on the price, and a fee of 50210 * 0.019 * 0.0005
    assert trade.leg_out.hedge_loss == D("0.476995")


def test_a_hedge_retries_what_remains_at_each_book_update() -> None:
    scene = filled_long()
    scene.top(2600, ALPHA, "49980.0", "49990.0", bid_quantity="0.010")
    scene.time(2800)
    assert scene.order(Role.HEDGE, "long").filled_quantity == D("0.01")
    assert scene.trade.status is TradeStatus.PENDING
    scene.top(2900, ALPHA, "49970.0", "49990.0", bid_quantity="1.0")
    trade = scene.trade
    assert (trade.status, trade.exit_us) == (TradeStatus.CLOSED, us(2900))
    assert trade.leg_out is not None
    # average (0.010 * 49980 + 0.009 * 49970) / 0.019 = 49975.263157894737 (rounded at 12 decimals)
    assert trade.leg_out.hedge_price == D("49975.263157894737")


def test_a_leg_out_whose_hedge_finds_no_book_stays_pending_and_says_so() -> None:
    """The record comes with the hedge; until then everybody who looks at the trade sees what it holds."""
    scene = Scene()
    scene.open_trade()
    assert unequal_of(scene.trade) is None
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    assert unequal_of(scene.trade) == "legs are unequal: long 0.019, short 0"
    scene.event(FeedGap(ALPHA, us(2500), "lost"))
    scene.time(3_600_000)
    assert (scene.trade.status, scene.trade.leg_out) == (TradeStatus.PENDING, None)
    assert unequal_of(scene.trade) == "legged out, its hedge waits for the market: long 0.019, short 0"
    scene.book(3_600_100, ALPHA, [("49900.0", "1")], [("49990.0", "1")])
    assert (scene.trade.status, scene.portfolio.state.leg_out_count) == (TradeStatus.CLOSED, 1)
    assert scene.trade.leg_out is not None
    assert scene.trade.leg_out.occurred_us == us(2700)
    assert unequal_of(scene.trade) is None
