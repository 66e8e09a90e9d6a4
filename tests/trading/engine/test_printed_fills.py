"""`fill_volume = "printed"`: fills are as large as what is printed beyond the threshold of 2.0 (20% of 10)."""

from decimal import Decimal

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, desk, strategy, us
from trading.domain.orders import Leg, OrderStatus, Role
from trading.domain.trades import TradeStatus


def resting(**changes: object) -> Scene:
    """Both legs of 0.019 rest since 2,110 ms: a buy at 49,990, a sell at 50,210."""
    scene = Scene(desk(strategy(fill_volume="printed", **changes)))
    scene.open_trade()
    scene.time(2110)
    return scene


def two_printed() -> Scene:
    """Two trades of one portfolio, their long orders in one queue at 49,990."""
    scene = Scene(desk(strategy(fill_volume="printed", trades_open_per_pair_max=2, cooldown_seconds=D(0))))
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    scene.top(2200, BETA, "50200.0", "50210.0")
    scene.time(2300)
    return scene


def bought(scene: Scene) -> Decimal:
    return scene.trade.long_order.filled_quantity


def test_an_order_fills_by_what_is_printed_beyond_the_threshold_in_whole_lots() -> None:
    scene = resting()
    scene.print_(2120, ALPHA, "49990.0", "2.0", "sell")  # exactly the threshold: its turn comes, nothing is left
    assert bought(scene) == 0
    scene.print_(2130, ALPHA, "49990.0", "0.0055", "sell")
    assert bought(scene) == D("0.005")  # 0.0005 is carried over
    scene.print_(2140, ALPHA, "49990.0", "0.0005", "sell")
    assert bought(scene) == D("0.006")
    order = scene.trade.long_order
    assert order.queue is not None
    assert (order.status, order.queue.is_filled, order.queue.at_front) == (OrderStatus.PENDING, False, True)
    assert order.queue.cumulative_volume == D("2.006")
    scene.print_(2150, ALPHA, "49990.0", "1", "sell")
    order = scene.trade.long_order
    assert (order.status, order.filled_us, order.filled_quantity) == (OrderStatus.FILLED, us(2150), D("0.019"))
    assert order.queue is not None and order.queue.is_filled
    # three parts of one price: 49990 * 0.019 * 0.0002
    assert (order.fill_price, order.fee) == (D(49_990), D("0.189962"))
    results = [(r.state.value, r.filled_quantity, r.commission) for t in scene.store.log for r in t.results]
    assert results == [
        ("partially_filled", D("0.005"), D("0.04999")),
        ("partially_filled", D("0.006"), D("0.059988")),
        ("executed", D("0.019"), D("0.189962")),
    ]


def test_one_print_both_reaches_the_threshold_and_fills_a_part() -> None:
    scene = resting()
    scene.print_(2120, ALPHA, "49990.0", "2.004", "sell")
    assert bought(scene) == D("0.004")


def test_a_print_through_the_price_fills_no_more_than_itself_and_clears_the_queue_ahead() -> None:
    scene = resting()
    scene.print_(2120, ALPHA, "49980.0", "0.004", "sell")
    order = scene.trade.long_order
    assert (order.filled_quantity, order.fill_price) == (D("0.004"), D(49_990))
    scene.print_(2130, ALPHA, "49990.0", "0.006", "sell")
    assert bought(scene) == D("0.01")


def test_a_print_through_the_price_completes_the_part_of_a_lot_before_it() -> None:
    scene = resting()
    scene.print_(2120, ALPHA, "49990.0", "2.0005", "sell")
    assert bought(scene) == 0
    scene.print_(2130, ALPHA, "49980.0", "0.0005", "sell")
    assert bought(scene) == D("0.001")


def test_part_of_a_lot_stays_with_the_order_that_it_was_printed_for() -> None:
    scene = two_printed()
    scene.print_(2310, ALPHA, "49990.0", "2.0055", "sell")  # the first one's 2.0, a fill of 0.005, 0.0005 carried over
    first, second = (scene.portfolio.current(trade_id) for trade_id in scene.store.open)
    assert first is not None and second is not None and second.long_order.queue is not None
    assert (first.long_order.filled_quantity, second.long_order.queue.cumulative_volume) == (D("0.005"), 0)


def test_a_print_that_only_brings_an_order_its_turn_is_used_up() -> None:
    scene = two_printed()
    scene.print_(2310, ALPHA, "49990.0", "2.0005", "sell")  # the threshold, and half a lot
    _, second = (scene.portfolio.current(trade_id) for trade_id in scene.store.open)
    assert second is not None and second.long_order.queue is not None
    assert second.long_order.queue.cumulative_volume == 0


def test_two_orders_of_a_portfolio_share_what_was_printed() -> None:
    scene = two_printed()
    scene.print_(2310, ALPHA, "49990.0", "4.030", "sell")
    # the first one used 2.0 + 0.019; of the other 2.011 the second one's threshold takes 2.0
    assert [trade.long_order.filled_quantity for trade in scene.store.open.values()] == [D("0.019"), D("0.011")]


def test_unequal_legs_start_the_leg_out_clock_and_equal_ones_stop_it() -> None:
    scene = resting()
    scene.print_(2200, ALPHA, "49990.0", "2.005", "sell")  # 0.005 against 0
    scene.print_(2600, BETA, "50210.0", "2.005", "buy")  # equal after 400 ms
    scene.print_(2650, ALPHA, "49990.0", "0.003", "sell")  # 0.008 against 0.005
    scene.top(3100, ALPHA, "49990.0", "50000.0")
    scene.top(3100, BETA, "50200.0", "50210.0")
    scene.time(3149)  # 949 ms after the first fill, 499 ms after the legs became unequal for the second time
    assert not scene.portfolio.causes
    scene.time(3180)  # 2,650 + 500, then cancel, answer and hedge
    trade = scene.trade
    assert (trade.status, trade.exit_reason) == (TradeStatus.CLOSED, "leg_out")
    assert [(o.leg, o.quantity) for o in trade.orders] == [(Leg.LONG, D("0.008")), (Leg.SHORT, D("0.005"))]
    event = trade.leg_out
    assert event is not None
    assert (event.occurred_us, event.filled_leg, event.filled_price) == (us(3150), Leg.LONG, D(49_990))
    # sold and bought back at the entry's prices: fees only, 0.0005 * (49990 * 0.008 + 50210 * 0.005)
    assert event.hedge_loss == D("0.325485")
    assert {(r.role, r.leg): r.state.value for t in scene.store.log for r in t.results} == {
        ("entry", "long"): "partially_filled",
        ("entry", "short"): "partially_filled",
        ("hedge", "long"): "executed",
        ("hedge", "short"): "executed",
    }


def test_a_leg_that_keeps_filling_does_not_start_the_clock_anew() -> None:
    scene = resting()
    scene.print_(2200, ALPHA, "49990.0", "2.005", "sell")
    scene.print_(2500, ALPHA, "49990.0", "0.005", "sell")
    scene.time(2700)
    assert scene.portfolio.causes[scene.trade.id].at_us == us(2700)


def test_completing_takes_what_the_larger_leg_holds_and_the_trade_goes_on_with_that() -> None:
    scene = resting(hedge="complete")
    scene.print_(2200, ALPHA, "49990.0", "2.008", "sell")
    scene.print_(2300, BETA, "50210.0", "2.005", "buy")
    scene.time(2730)
    trade = scene.trade
    assert (trade.status, trade.quantity) == (TradeStatus.ACTIVE, D("0.008"))
    assert [(o.role, o.leg, o.quantity) for o in trade.orders] == [(Role.HEDGE, Leg.SHORT, D("0.003"))]
    # the average of 0.005 at 50210 and 0.003 at 50200
    assert trade.entry_short_price == D("50206.25")
    assert trade.leg_out is not None
    # -1 * (50200 - 50210) * 0.003 + 50200 * 0.003 * 0.0005 = 0.03 + 0.0753
    assert trade.leg_out.hedge_loss == D("0.1053")


def test_equal_parts_at_the_entry_timeout_make_a_smaller_trade() -> None:
    scene = resting()
    scene.print_(2200, ALPHA, "49990.0", "2.005", "sell")
    scene.print_(2300, BETA, "50210.0", "2.005", "buy")
    scene.time(32_110)
    trade = scene.trade
    assert (trade.status, trade.quantity, trade.leg_out) == (TradeStatus.ACTIVE, D("0.005"), None)
    assert [o.status for o in trade.all_orders] == [OrderStatus.CANCELLED] * 2
    assert trade.position_size_usd == 1000  # what is reserved stays as it was
    assert not scene.portfolio.causes


def test_legs_that_become_equal_after_the_entry_timeout_end_the_entry() -> None:
    scene = resting()
    scene.print_(31_900, ALPHA, "49990.0", "2.005", "sell")
    scene.time(32_100)  # the timeout: the legs are unequal, which has 500 ms
    assert not scene.portfolio.causes
    scene.print_(32_200, BETA, "50210.0", "2.005", "buy")
    scene.time(32_219)  # known at 32,210 ms; the cancels take 10 ms
    assert scene.trade.status is TradeStatus.PENDING
    scene.time(32_220)
    assert (scene.trade.status, scene.trade.quantity) == (TradeStatus.ACTIVE, D("0.005"))


def test_a_part_that_fills_before_its_cancel_arrives_counts() -> None:
    scene = resting()
    scene.print_(2200, ALPHA, "49990.0", "2.005", "sell")
    scene.time(2700)  # cancels are sent
    scene.print_(2705, BETA, "50210.0", "2.005", "buy")
    scene.print_(2710, BETA, "50210.0", "2.005", "buy")  # too late
    scene.time(5000)
    trade = scene.trade
    assert (trade.status, trade.quantity, trade.leg_out) == (TradeStatus.ACTIVE, D("0.005"), None)
