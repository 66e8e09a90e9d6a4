"""Fills on the paper exchange: queue, trade-through, crossing, exclusivity."""

from decimal import Decimal

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, desk, strategy, us, venue
from trading.domain.events import FeedGap
from trading.domain.orders import Liquidity, OrderStatus, Role
from trading.domain.trades import TradeStatus


def test_both_legs_fill_and_the_trade_is_active() -> None:
    scene = Scene()
    scene.open_trade()  # sent at 2,100 ms, accepted at 2,110 ms behind 10 base units on each side
    scene.print_(2120, ALPHA, "49990.0", "1.9", "sell")
    scene.print_(2130, ALPHA, "49990.0", "0.1", "sell")  # 2.0 = 20% of 10
    trade = scene.trade
    assert trade.status is TradeStatus.PENDING
    assert (trade.long_order.status, trade.long_order.filled_us) == (OrderStatus.FILLED, us(2130))
    scene.print_(2200, BETA, "50210.0", "2.0", "buy")
    trade = scene.trade
    assert trade.status is TradeStatus.ACTIVE
    assert (trade.entry_long_price, trade.entry_short_price) == (D(49_990), D(50_210))
    assert trade.long_order.fee == D("0.189962")  # 49990 * 0.019 * 0.0002
    assert trade.short_order.fee == D("0.190798")  # 50210 * 0.019 * 0.0002
    assert trade.long_order.liquidity is Liquidity.MAKER
    assert trade.long_order.queue is not None
    assert (trade.long_order.queue.cumulative_volume, trade.long_order.queue.resting_depth) == (D(2), D(10))
    results = [result for transition in scene.store.log for result in transition.results]
    assert [(r.leg, r.state.value, r.direction, r.pnl) for r in results] == [
        ("long", "executed", "buy", 0),
        ("short", "executed", "sell", 0),
    ]
    metrics = [each for transition in scene.store.log for each in transition.metrics]
    assert [(m.execution_latency_ms, m.queue_wait_ms, m.network_latency_ms) for m in metrics] == [
        (30, 20, 20),  # created 2100, accepted 2110, filled 2130; 10 ms there and 10 ms back
        (100, 90, 20),
    ]


def test_a_print_at_the_instant_of_acceptance_does_not_count() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2110, ALPHA, "49990.0", "5", "sell")
    assert scene.trade.long_order.status is OrderStatus.PENDING
    scene.print_(2110.001, ALPHA, "49990.0", "5", "sell")
    assert scene.trade.long_order.status is OrderStatus.FILLED


def test_an_order_without_latency_rests_before_the_next_event_of_the_same_instant() -> None:
    quick = desk(alpha=venue("alpha", order_latency_us=0))
    scene = Scene(quick)
    scene.open_trade()
    scene.top(2100, ALPHA, "49970.0", "49980.0")  # an order that arrived after this would cross
    order = scene.portfolio.current(scene.trade.id)
    assert order is not None
    assert (order.long_order.accepted_us, order.long_order.filled_quantity) == (us(2100), 0)


def test_a_repeated_print_counts_once() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "1.0", "sell")
    scene._print_id -= 1
    scene.print_(2120, ALPHA, "49990.0", "1.0", "sell")
    assert scene.trade.long_order.status is OrderStatus.PENDING


def test_the_same_side_and_worse_prices_do_not_count() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "9", "buy")
    scene.print_(2121, ALPHA, "49990.1", "9", "sell")
    assert scene.trade.long_order.status is OrderStatus.PENDING


def test_a_print_through_the_price_fills_at_the_limit() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49989.9", "0.02", "sell")
    assert (scene.trade.long_order.status, scene.trade.long_order.fill_price) == (OrderStatus.FILLED, D(49_990))


def test_a_limit_order_that_crosses_on_arrival_is_a_taker() -> None:
    scene = Scene()
    scene.open_trade()
    scene.top(2105, ALPHA, "49970.0", "49980.0")  # the ask fell below our bid of 49,990 before it arrived
    scene.time(2110)
    order = scene.trade.long_order
    assert (order.status, order.fill_price, order.liquidity) == (OrderStatus.FILLED, D(49_980), Liquidity.TAKER)
    assert order.fee == D("0.47481")  # 49980 * 0.019 * 0.0005
    assert order.accepted_us == order.filled_us == us(2110)


def test_an_ask_at_the_very_price_of_a_buy_is_crossed_too() -> None:
    scene = Scene()
    scene.open_trade()
    scene.top(2105, ALPHA, "49980.0", "49990.0")
    scene.time(2110)
    order = scene.trade.long_order
    assert (order.fill_price, order.liquidity) == (D(49_990), Liquidity.TAKER)


def test_what_a_crossing_order_does_not_find_rests_in_the_queue() -> None:
    scene = Scene()
    scene.open_trade()
    scene.top(2105, ALPHA, "49970.0", "49980.0", ask_quantity="0.010")
    scene.time(2110)
    order = scene.trade.long_order
    assert (order.status, order.filled_quantity, order.remaining) == (OrderStatus.PENDING, D("0.01"), D("0.009"))
    scene.print_(2120, ALPHA, "49990.0", "0.5", "sell")  # nothing rested at 49,990: the first print fills
    order = scene.trade.long_order
    assert order.status is OrderStatus.FILLED
    # (0.010 * 49980 + 0.009 * 49990) / 0.019 = 49984.736842105263...
    assert order.fill_price == D("49984.736842105263")
    # 499.8 * 0.0005 + 449.91 * 0.0002
    assert order.fee == D("0.339882")


def test_an_order_waits_for_a_book_that_is_unknown_on_arrival() -> None:
    scene = Scene(desk(alpha=venue("alpha", book_age_us_max=1_055_000)))
    scene.open_trade()
    scene.time(2110)  # alpha's top is 1.060 s old by then
    scene.event(FeedGap(ALPHA, us(2112), "lost"))
    scene.print_(2120, ALPHA, "49990.0", "9", "sell")
    assert scene.trade.long_order.status is OrderStatus.PENDING
    scene.top(2130, ALPHA, "49990.0", "50000.0")
    scene.print_(2140, ALPHA, "49990.0", "2", "sell")
    order = scene.trade.long_order
    assert (order.status, order.accepted_us) == (OrderStatus.FILLED, us(2130))


def two_trades() -> Scene:
    """Two trades of one portfolio, their long orders in one queue: accepted at 2,110 and 2,210 ms."""
    scene = Scene(desk(strategy(trades_open_per_pair_max=2, cooldown_seconds=D(0))))
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    scene.top(2200, BETA, "50200.0", "50210.0")
    assert len(scene.store.open) == 2
    scene.time(2300)
    return scene


def long_statuses(scene: Scene) -> list[str]:
    return [trade.long_order.status.value for trade in scene.store.open.values()]


def test_two_orders_of_a_portfolio_do_not_use_the_same_print() -> None:
    scene = two_trades()
    scene.print_(2310, ALPHA, "49990.0", "3.9", "sell")  # the first uses 2.0 + its own 0.019; 1.881 are left
    assert long_statuses(scene) == ["Filled", "Pending"]
    scene.print_(2320, ALPHA, "49990.0", "0.119", "sell")  # 1.881 + 0.119 = 2.0
    assert long_statuses(scene) == ["Filled", "Filled"]


def test_a_print_that_does_not_fill_the_first_order_is_used_up_all_the_same() -> None:
    scene = two_trades()
    scene.print_(2310, ALPHA, "49990.0", "1.9", "sell")
    scene.print_(2320, ALPHA, "49990.0", "0.119", "sell")  # the first order's last 0.1 and its own 0.019
    scene.print_(2330, ALPHA, "49990.0", "1.9", "sell")
    assert long_statuses(scene) == ["Filled", "Pending"]


def test_a_small_print_through_the_price_fills_one_order_only() -> None:
    scene = two_trades()
    scene.print_(2310, ALPHA, "49980.0", "0.019", "sell")
    assert long_statuses(scene) == ["Filled", "Pending"]


def test_portfolios_are_separate_worlds_on_the_same_print() -> None:
    scene = Scene(desk(strategy(), strategy(prefix="second")))
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    scene.print_(2120, ALPHA, "49990.0", "2.0", "sell")
    filled = [store.open[trade_id].long_order.status for store in scene.stores.values() for trade_id in store.open]
    assert filled == [OrderStatus.FILLED, OrderStatus.FILLED]


def test_two_takers_of_a_portfolio_do_not_use_the_same_level_until_the_feed_updates_it() -> None:
    scene = two_trades()
    for instrument_id, price, aggressor in ((ALPHA, "49980.0", "sell"), (BETA, "50220.0", "buy")):
        scene.print_(2310, instrument_id, price, "5", aggressor)
    assert [trade.status for trade in scene.store.open.values()] == [TradeStatus.ACTIVE] * 2
    scene.top(2400, ALPHA, "49990.0", "50000.0", bid_quantity="0.019")
    scene.top(2400, BETA, "50200.0", "50210.0", ask_quantity="0.030")
    first, second = scene.store.open
    scene.close(first, "manual")
    scene.time(2401)
    scene.close(second, "manual")
    scene.time(2411)
    assert list(scene.store.closed) == [first]
    leaving = scene.store.open[second]
    sold, bought = (next(o for o in leaving.orders if o.leg.value == leg) for leg in ("long", "short"))
    assert (sold.filled_quantity, bought.filled_quantity) == (0, D("0.011"))  # 0.030 - 0.019
    scene.top(2420, ALPHA, "49990.0", "50000.0", bid_quantity="0.019")  # repeats what it said: nothing new
    assert scene.store.open[second].orders[0].filled_quantity == 0
    scene.top(2430, ALPHA, "49990.0", "50000.0", bid_quantity="0.020")
    scene.top(2430, BETA, "50200.0", "50210.0", ask_quantity="0.008")
    assert list(scene.store.closed) == [first, second]


def takers_on_a_level_of_0_030() -> tuple[Scene, str]:
    """Two active trades; the first has left through bids that can take both, and 0.019 of alpha's 0.030 are gone."""
    scene = two_trades()
    for instrument_id, price, aggressor in ((ALPHA, "49980.0", "sell"), (BETA, "50220.0", "buy")):
        scene.print_(2310, instrument_id, price, "5", aggressor)
    levels = [("49980.0", "0.030")], [("50000.0", "1.000")]
    scene.book(2390, ALPHA, *levels)
    scene.top(2400, ALPHA, "49980.0", "50000.0", bid_quantity="0.030")
    scene.top(2400, BETA, "50200.0", "50210.0")
    first, second = scene.store.open
    scene.close(first)
    scene.time(2410)
    assert list(scene.store.closed) == [first]
    return scene, second


def sold(scene: Scene, trade_id: str) -> Decimal:
    trades = {**scene.store.open, **scene.store.closed}
    return next(o for o in trades[trade_id].orders if o.leg.value == "long").filled_quantity


def test_what_was_taken_stays_taken_while_the_feed_names_other_levels() -> None:
    scene, second = takers_on_a_level_of_0_030()
    scene.diff(2411, ALPHA, [("49970.0", "0.000")], [("50000.0", "2.000")])  # other levels
    scene.close(second)
    scene.time(2421)
    assert sold(scene, second) == D("0.011")


def test_a_depth_message_that_names_the_level_makes_it_fresh() -> None:
    scene, second = takers_on_a_level_of_0_030()
    scene.diff(2411, ALPHA, [("49980.0", "0.030")], [])
    scene.close(second)
    scene.time(2421)
    assert sold(scene, second) == D("0.019")


def test_a_level_that_was_away_is_fresh_when_it_comes_back() -> None:
    scene, second = takers_on_a_level_of_0_030()
    scene.top(2411, ALPHA, "49970.0", "50000.0", bid_quantity="0.030")
    scene.top(2412, ALPHA, "49980.0", "50000.0", bid_quantity="0.030")
    scene.close(second)
    scene.time(2422)
    assert sold(scene, second) == D("0.019")


def test_roles_of_a_closed_trade_are_entry_and_exit() -> None:
    scene = Scene()
    trade = scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2130, BETA, "50210.0", "2.0", "buy")
    scene.close(trade.id, "manual")
    scene.time(2200)
    assert [order.role for order in scene.trade.all_orders] == [Role.ENTRY, Role.ENTRY, Role.EXIT, Role.EXIT]


def test_a_print_reaches_the_better_price_first_whichever_order_came_first() -> None:
    """It goes through the later order at 49,991, which is filled; 0.019 of it are used, 0.001 counts at 49,990."""
    scene = Scene(desk(strategy(trades_open_per_pair_max=2, cooldown_seconds=D(0))))
    first = scene.open_trade()
    scene.top(2200, ALPHA, "49991.0", "50000.0")
    scene.time(2300)
    (second,) = [trade for trade in scene.store.open.values() if trade.id != first.id]
    scene.print_(2310, ALPHA, "49990.0", "0.020", "sell")
    assert scene.store.open[second.id].long_order.status is OrderStatus.FILLED
    waiting = scene.portfolio.current(first.id)
    assert waiting is not None and waiting.long_order.queue is not None
    assert waiting.long_order.queue.cumulative_volume == D("0.001")
