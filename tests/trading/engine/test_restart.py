"""A restart on a live market: the gap counts nothing, entries are cancelled, a filled leg is hedged, exits go on."""

import msgspec

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, desk, strategy, us
from trading.domain.events import FeedGap
from trading.domain.orders import Leg, OrderStatus, Role
from trading.domain.trades import TradeStatus


def restarted(scene: Scene, at_ms: int) -> Scene:
    """Another engine on the same stores, its books known again at `at_ms`."""
    after = Scene(scene.desk, scene.stores, at_ms)
    after.top(at_ms, ALPHA, "49980.0", "49990.0")
    after.top(at_ms, BETA, "50000.0", "50010.0")
    return after


def test_a_pending_entry_is_cancelled_and_prints_after_the_restart_do_not_fill_it() -> None:
    scene = Scene()
    scene.open_trade()
    scene.time(2200)
    after = restarted(scene, 4000)
    after.print_(4005, ALPHA, "49990.0", "9", "sell")
    after.time(4100)
    trade = after.trade
    assert (trade.status, trade.exit_reason, trade.exit_us) == (TradeStatus.CLOSED, "restart", us(4010))
    assert [order.status for order in trade.all_orders] == [OrderStatus.CANCELLED] * 2
    assert after.portfolio.state.total_trades == 0
    assert after.portfolio.state.available_capital == D(20_000)


def test_a_filled_leg_is_hedged_with_reason_restart() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    after = restarted(scene, 4000)
    after.time(4100)
    trade = after.trade
    assert (trade.status, trade.exit_reason) == (TradeStatus.CLOSED, "restart")
    event = trade.leg_out
    assert event is not None
    assert (event.reason, event.filled_leg, event.occurred_us) == ("restart", Leg.LONG, us(4000))
    assert trade.exit_us == us(4030)  # cancel 10 ms, its answer 10 ms, the hedge 10 ms
    assert event.hedge_price == D(49_980)
    assert after.portfolio.state.leg_out_count == 1


def test_a_crash_between_cancel_and_hedge_is_hedged() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.time(2712)  # the short order is cancelled, the answer is on its way
    assert scene.trade.orders == ()
    after = restarted(scene, 4000)
    after.time(4100)
    assert (after.trade.status, after.trade.exit_us) == (TradeStatus.CLOSED, us(4010))


def test_a_hedge_that_was_under_way_is_sent_again_once() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.time(2722)
    hedge = scene.order(Role.HEDGE, "long")
    after = restarted(scene, 4000)
    after.time(4100)
    assert [order.id for order in after.trade.orders] == [hedge.id]
    assert (after.trade.status, after.trade.exit_us) == (TradeStatus.CLOSED, us(4010))


def test_an_active_trade_goes_on_and_can_be_closed() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    written = len(scene.store.log)
    after = restarted(scene, 4000)
    after.time(4100)
    assert (after.trade.status, len(after.store.log)) == (TradeStatus.ACTIVE, written)
    assert after.close(after.trade.id)
    after.time(4200)
    assert after.trade.status is TradeStatus.CLOSED
    assert after.portfolio.state.available_capital == D(20_000)


def test_an_exit_goes_on_with_what_remains() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    scene.top(3000, ALPHA, "50090.0", "50100.0", bid_quantity="0.005")
    scene.close(scene.trade.id, "profit_target")
    scene.time(3010)
    assert scene.order(Role.EXIT, "long").filled_quantity == D("0.005")
    after = restarted(scene, 4000)
    after.time(4100)
    trade = after.trade
    assert (trade.status, trade.exit_reason) == (TradeStatus.CLOSED, "profit_target")
    assert len(trade.orders) == 2
    # 0.005 * 50090 + 0.014 * 49980
    assert after.order(Role.EXIT, "long").cash == D("950.17")


def test_ids_go_on_after_a_restart() -> None:
    scene = Scene()
    first = scene.open_trade()
    after = restarted(scene, 4000)
    after.time(8000)
    after.top(8100, ALPHA, "49990.0", "50000.0")
    after.top(8100, BETA, "50200.0", "50210.0")
    (second,) = after.store.open
    assert second != first.id


def test_a_portfolio_that_another_program_moved_stops_alone_and_is_loaded_again() -> None:
    scene = Scene()
    scene.open_trade()
    before = (scene.portfolio.state, dict(scene.portfolio.trades))
    scene.time(2150)
    scene.store.moved = True
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    assert scene.portfolio.halted == "strategy:portfolio:state has changed since it was read"
    assert (scene.portfolio.state, dict(scene.portfolio.trades)) == before
    assert all(market.resting == [] for market in scene.engine.markets.values())
    scene.top(9000, ALPHA, "49990.0", "50000.0")
    scene.top(9000, BETA, "50200.0", "50210.0")
    assert len(scene.store.log) == 1
    scene.store.moved = False
    scene.engine.start_portfolio(scene.portfolio)
    assert scene.portfolio.halted is None
    scene.time(9100)
    assert (scene.trade.status, scene.trade.exit_reason) == (TradeStatus.CLOSED, "restart")


def test_a_state_that_does_not_add_up_stops_the_portfolio_and_nothing_is_written() -> None:
    scene = Scene()
    scene.portfolio.state = msgspec.structs.replace(scene.portfolio.state, available_capital=D(20_001))
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    assert scene.portfolio.halted == "available 19001 + open 1000 = 20001, not 20000 USD"
    assert (scene.store.log, scene.portfolio.trades) == ([], {})


def test_trades_that_the_state_does_not_account_for_stop_new_entries() -> None:
    scene = Scene()
    scene.open_trade()
    trade = scene.store.open.pop(scene.trade.id)
    after = restarted(scene, 9000)
    after.time(10_000)
    after.top(10_100, BETA, "50200.0", "50210.0")
    assert after.portfolio.entries_stopped == "open trades hold 0 USD, the portfolio's state says 1000 USD"
    assert trade.id not in after.store.open
    assert len(after.store.log) == 1


def test_the_checkpoint_carries_acceptance_and_queue_progress() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "1.5", "sell")
    assert scene.engine.checkpoint() == 1
    ((trades, progress),) = scene.store.checkpoints
    assert [each["prints_count"] for each in scene.store.watching.values()] == [1, 0]
    assert progress == {"at_us": us(2120), "last_prints": {ALPHA: [1, us(2120)], BETA: [0, 0]}}
    order = trades[0].long_order
    assert order.accepted_us == us(2110)
    assert order.queue is not None
    assert (order.queue.cumulative_volume, order.queue.resting_depth) == (D("1.5"), D(10))
    assert scene.engine.checkpoint() == 0  # nothing moved since
    scene.print_(2130, ALPHA, "49990.0", "0.5", "sell")
    assert scene.trade.long_order.status is OrderStatus.FILLED


def test_a_completing_hedge_that_is_sent_again_has_its_time_from_then_on() -> None:
    """Its first time ran out while the engine was away; nothing is dated into the gap."""
    scene = Scene(desk(strategy(hedge="complete")))
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.event(FeedGap(BETA, us(2500), "lost"))  # so that the hedge finds nothing
    scene.time(2750)
    assert scene.order(Role.HEDGE, "short").is_pending
    after = Scene(scene.desk, scene.stores, 60_000)
    after.top(60_005, ALPHA, "49980.0", "49990.0")
    after.time(60_300)
    assert after.order(Role.HEDGE, "short").is_pending  # 500 ms from its arrival at 60,010
    after.top(60_400, BETA, "50000.0", "50010.0")
    hedge = after.order(Role.HEDGE, "short")
    assert (after.trade.status, hedge.filled_us) == (TradeStatus.ACTIVE, us(60_400))
