"""`exit_order = "limit_then_market"`: limit orders join the touch, and what they leave is closed at market."""

from tests.trading.engine.scene import ALPHA, BETA, D, MemoryStore, Scene, desk, strategy, us, venue
from trading.domain.orders import Leg, Liquidity, Order, OrderStatus, OrderType, Role
from trading.domain.pnl import terms_of
from trading.domain.trades import TradeStatus


def leaving(beta_response_us: int = 10_000, **changes: object) -> Scene:
    """0.019 at 49,990 and 50,210; its exit was sent at 3,000 ms: sell alpha at 50,100, buy beta at 50,110."""
    beta = venue("beta", response_latency_us=beta_response_us)
    scene = Scene(desk(strategy(exit_order="limit_then_market", **changes), beta=beta))
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "3.0", "sell")
    scene.print_(2210, BETA, "50210.0", "3.0", "buy")
    scene.top(3000, ALPHA, "50090.0", "50100.0")
    scene.top(3000, BETA, "50110.0", "50120.0")
    assert scene.close(scene.trade.id, "profit_target")
    return scene


def leaving_with_a_slow_beta() -> Scene:
    """Both legs filled; its exit was sent at 3,000 ms, and what is sent to beta takes 150 ms to arrive."""
    scene = Scene(desk(strategy(exit_order="limit_then_market"), beta=venue("beta", order_latency_us=150_000)))
    scene.open_trade()
    scene.print_(2300, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2310, BETA, "50210.0", "2.0", "buy")
    scene.top(3000, ALPHA, "50090.0", "50100.0")
    scene.close(scene.trade.id)
    return scene


def exits(scene: Scene) -> list[Order]:
    return [order for order in scene.trade.orders if order.role is Role.EXIT]


def test_both_legs_leave_as_makers_at_the_price_of_their_own_side() -> None:
    scene = leaving()
    assert [(o.leg, o.order_type, o.price) for o in exits(scene)] == [
        (Leg.LONG, OrderType.LIMIT, D(50_100)),
        (Leg.SHORT, OrderType.LIMIT, D(50_110)),
    ]
    scene.print_(3100, ALPHA, "50100.0", "2.0", "buy")
    scene.print_(3200, BETA, "50110.0", "2.0", "sell")
    trade = scene.trade
    assert (trade.status, trade.exit_us, trade.exit_reason) == (TradeStatus.CLOSED, us(3200), "profit_target")
    assert {order.liquidity for order in exits(scene)} == {Liquidity.MAKER}
    # 0.019 * (50100 - 49990 + 50210 - 50110) = 3.99
    # all fees maker: 0.019 * 0.0002 * (49990 + 50210 + 50100 + 50110) = 0.761558
    assert trade.actual_profit_usd == D("3.99") - D("0.761558")
    assert terms_of(trade).residual == 0


def test_what_is_left_at_the_timeout_is_cancelled_and_closed_at_market() -> None:
    scene = leaving()
    scene.top(7900, ALPHA, "50080.0", "50100.0")
    scene.top(7900, BETA, "50110.0", "50125.0")
    scene.time(7999)
    assert [o.status for o in exits(scene)] == [OrderStatus.PENDING] * 2
    scene.time(8030)  # 3,000 + 5,000; the cancels take 10 ms, their answers 10, the market orders 10
    trade = scene.trade
    assert (trade.status, trade.exit_us) == (TradeStatus.CLOSED, us(8030))
    assert [(o.leg, o.order_type, o.status, o.fill_price) for o in exits(scene)] == [
        (Leg.LONG, OrderType.LIMIT, OrderStatus.CANCELLED, None),
        (Leg.SHORT, OrderType.LIMIT, OrderStatus.CANCELLED, None),
        (Leg.LONG, OrderType.MARKET, OrderStatus.FILLED, D(50_080)),
        (Leg.SHORT, OrderType.MARKET, OrderStatus.FILLED, D(50_125)),
    ]
    # 0.019 * (50080 - 49990 + 50210 - 50125) = 3.325; fees 0.38076 + 0.019 * 0.0005 * (50080 + 50125) = 0.9519475
    assert trade.actual_profit_usd == D("3.325") - D("0.38076") - D("0.9519475")
    states = [(r.leg, r.state.value) for t in scene.store.log for r in t.results if r.role == "exit"]
    assert sorted(states) == [("long", "executed"), ("long", "failed"), ("short", "executed"), ("short", "failed")]


def test_each_leg_is_closed_at_market_when_its_own_cancel_is_answered() -> None:
    scene = leaving(beta_response_us=60_000)
    scene.time(8069)  # both orders are cancelled at 8,010 ms; alpha says so at 8,020 ms, beta at 8,070 ms
    assert [(o.leg, o.created_us) for o in exits(scene)[2:]] == [(Leg.LONG, us(8020))]
    scene.time(8070)
    assert [(o.leg, o.created_us) for o in exits(scene)[2:]] == [(Leg.LONG, us(8020)), (Leg.SHORT, us(8070))]


def test_one_leg_that_fills_first_does_not_wait_longer_than_a_leg_out() -> None:
    scene = leaving()
    scene.print_(3100, ALPHA, "50100.0", "2.0", "buy")
    scene.time(3599)
    assert exits(scene)[1].status is OrderStatus.PENDING
    scene.time(3630)  # 3,100 + 500, then cancel, answer and market order
    trade = scene.trade
    assert (trade.status, trade.exit_us) == (TradeStatus.CLOSED, us(3630))
    assert [(o.leg, o.status) for o in exits(scene)] == [
        (Leg.LONG, OrderStatus.FILLED),
        (Leg.SHORT, OrderStatus.CANCELLED),
        (Leg.SHORT, OrderStatus.FILLED),
    ]
    assert trade.leg_out is None
    assert scene.portfolio.state.leg_out_count == 0


def test_a_second_cancel_of_an_order_delays_nothing() -> None:
    scene = leaving_with_a_slow_beta()
    scene.print_(7600, ALPHA, "50100.0", "2.0", "buy")
    scene.time(8160)  # cancelled at 8,000 ms, again at 7,600 + 500: the first cancel arrives at 8,150 and is answered
    assert [(o.leg, o.created_us) for o in exits(scene)[2:]] == [(Leg.SHORT, us(8160))]


def test_a_cancel_from_before_the_portfolio_was_loaded_again_means_nothing() -> None:
    scene = leaving_with_a_slow_beta()
    scene.time(8100)  # beta's cancel, sent at 8,000, would arrive at 8,150
    scene.portfolio.halt("its state was moved")
    scene.engine.start_portfolio(scene.portfolio)  # sends the order anew: it arrives at 8,250, its cancel with it
    scene.time(8300)
    short = [order for order in exits(scene) if order.leg is Leg.SHORT]
    assert [(o.order_type, o.created_us) for o in short[1:]] == [(OrderType.MARKET, us(8260))]
    assert (short[0].status, short[0].ended_us) == (OrderStatus.CANCELLED, us(8250))


def test_a_fill_before_the_cancel_arrives_leaves_nothing_to_close() -> None:
    scene = leaving()
    scene.print_(3100, ALPHA, "50100.0", "2.0", "buy")
    scene.print_(3605, BETA, "50110.0", "2.0", "sell")
    scene.time(9000)
    assert (scene.trade.status, scene.trade.exit_us, len(exits(scene))) == (TradeStatus.CLOSED, us(3605), 2)


def test_a_part_that_was_printed_is_kept_and_the_rest_closed_at_market() -> None:
    scene = leaving(fill_volume="printed")
    scene.print_(2999.5, ALPHA, "50100.0", "9", "buy")  # of an earlier time: nothing rested yet
    scene.print_(3100, ALPHA, "50100.0", "2.006", "buy")
    scene.print_(3200, BETA, "50110.0", "2.006", "sell")
    scene.top(7900, ALPHA, "50090.0", "50100.0")
    scene.top(7900, BETA, "50110.0", "50120.0")
    scene.time(8030)
    trade = scene.trade
    assert trade.status is TradeStatus.CLOSED
    assert [(o.order_type, o.quantity, o.filled_quantity) for o in exits(scene)] == [
        (OrderType.LIMIT, D("0.019"), D("0.006")),
        (OrderType.LIMIT, D("0.019"), D("0.006")),
        (OrderType.MARKET, D("0.013"), D("0.013")),
        (OrderType.MARKET, D("0.013"), D("0.013")),
    ]
    # long 0.006 * 110 + 0.013 * 100 = 1.96; short 0.006 * 100 + 0.013 * 90 = 1.77
    # fees 0.38076 + 0.006 * 0.0002 * (50100 + 50110) + 0.013 * 0.0005 * (50090 + 50120) = 0.120252 + 0.651365
    assert trade.actual_profit_usd == D("3.73") - D("0.38076") - D("0.120252") - D("0.651365")
    assert terms_of(trade).residual == 0


def test_a_book_that_cannot_be_trusted_gets_a_market_order_that_waits_for_it() -> None:
    scene = Scene(desk(strategy(exit_order="limit_then_market")))
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    scene.top(9000, BETA, "50110.0", "50120.0")  # alpha's book is stale by now
    scene.close(scene.trade.id)
    assert [(o.leg, o.order_type) for o in exits(scene)] == [
        (Leg.LONG, OrderType.MARKET),
        (Leg.SHORT, OrderType.LIMIT),
    ]


def test_a_restart_joins_the_queue_anew_and_keeps_the_deadline() -> None:
    scene = leaving()
    scene.print_(3100, ALPHA, "50100.0", "1.9", "buy")
    scene.engine.checkpoint()
    after = Scene(scene.desk, scene.stores, 6000)
    after.top(6000, ALPHA, "50090.0", "50100.0")
    after.top(6000, BETA, "50110.0", "50120.0")
    after.time(6010)
    after.print_(6020, ALPHA, "50100.0", "0.2", "buy")  # would have been enough for the old place
    order = after.order(Role.EXIT, "long")
    assert order.status is OrderStatus.PENDING
    assert after.portfolio.witnesses[order.id].accepted_us == us(6010)
    after.time(8030)
    assert (after.trade.status, after.trade.exit_us) == (TradeStatus.CLOSED, us(8030))


def test_a_crash_between_cancel_and_market_order_closes_what_is_left() -> None:
    scene = leaving()
    scene.time(8015)  # cancelled at 8,010 ms, the answers would come at 8,020 ms
    assert [o.status for o in exits(scene)] == [OrderStatus.CANCELLED] * 2
    stores: dict[str, MemoryStore] = scene.stores
    after = Scene(scene.desk, stores, 9000)
    after.top(9000, ALPHA, "50090.0", "50100.0")
    after.top(9000, BETA, "50110.0", "50120.0")
    after.time(9010)
    assert (after.trade.status, after.trade.exit_us) == (TradeStatus.CLOSED, us(9010))
