"""Exits: two market orders on command, remainders over book updates, and the realised net."""

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, us
from trading.domain.orders import OrderStatus, Role
from trading.domain.pnl import terms_of
from trading.domain.trades import TradeStatus


def active() -> Scene:
    """A trade of 0.019 at 49,990 long and 50,210 short, Active since 2,210 ms."""
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    assert scene.trade.status is TradeStatus.ACTIVE
    return scene


def test_an_exit_closes_both_legs_at_market() -> None:
    scene = active()
    scene.top(3000, ALPHA, "50090.0", "50100.0")
    scene.top(3000, BETA, "50110.0", "50120.0")
    assert scene.close(scene.trade.id, "profit_target")
    trade = scene.trade
    assert (trade.status, trade.exit_reason) == (TradeStatus.EXITING, "profit_target")
    assert [order.price for order in trade.orders] == [D(50_090), D(50_120)]
    scene.time(3010)
    trade = scene.trade
    assert (trade.status, trade.exit_us) == (TradeStatus.CLOSED, us(3010))
    # price P&L is 0.019 * (50090 - 49990) + 0.019 * (50210 - 50120) = 1.9 + 1.71
    # the fees are 0.019 * (0.0002 * (49990 + 50210) + 0.0005 * (50090 + 50120)) = 0.38076 + 0.951995
    assert trade.actual_profit_usd == D("3.61") - D("1.332755")
    assert terms_of(trade).residual == 0
    state = scene.portfolio.state
    assert (state.cumulative_pnl, state.win_count, state.fees_paid) == (D("2.277245"), 1, D("1.332755"))
    assert state.recent_exits[0].actual_profit == D("2.277245")


def test_a_remainder_waits_for_the_next_book_updates() -> None:
    scene = active()
    scene.top(3000, ALPHA, "50090.0", "50100.0", bid_quantity="0.005")
    scene.top(3000, BETA, "50110.0", "50120.0")
    scene.close(scene.trade.id, "manual")
    scene.time(3010)
    assert scene.trade.status is TradeStatus.EXITING
    assert scene.order(Role.EXIT, "long").filled_quantity == D("0.005")
    scene.top(3100, ALPHA, "50080.0", "50100.0", bid_quantity="0.004")
    assert scene.order(Role.EXIT, "long").filled_quantity == D("0.009")
    scene.top(3200, ALPHA, "50070.0", "50100.0", bid_quantity="5")
    trade = scene.trade
    assert (trade.status, trade.exit_us) == (TradeStatus.CLOSED, us(3200))
    # 0.005 * 50090 + 0.004 * 50080 + 0.010 * 50070 = 250.45 + 200.32 + 500.7
    assert scene.order(Role.EXIT, "long").cash == D("951.47")
    assert terms_of(trade).residual == 0  # 951.47 / 0.019 = 50077.368421052632 rounds, its product does not show it
    exits = [r for t in scene.store.log for r in t.results if r.role == "exit"]
    assert [(r.leg, r.state.value, r.filled_quantity) for r in exits] == [
        ("long", "partially_filled", D("0.005")),
        ("short", "executed", D("0.019")),
        ("long", "partially_filled", D("0.009")),
        ("long", "executed", D("0.019")),
    ]


def test_a_deep_exit_walks_the_levels() -> None:
    scene = active()
    bids = [("50090.0", "0.010"), ("50080.0", "0.005"), ("50070.0", "1.0")]
    scene.book(3000, ALPHA, bids, [("50100.0", "1")])
    scene.top(3000, ALPHA, "50090.0", "50100.0", bid_quantity="0.010")
    scene.top(3000, BETA, "50110.0", "50120.0")
    scene.close(scene.trade.id, "manual")
    scene.time(3010)
    order = scene.order(Role.EXIT, "long")
    # 0.010 * 50090 + 0.005 * 50080 + 0.004 * 50070 = 500.9 + 250.4 + 200.28
    assert (order.status, order.cash) == (OrderStatus.FILLED, D("951.58"))


def test_an_exit_is_ignored_unless_the_trade_is_active() -> None:
    scene = Scene()
    trade = scene.open_trade()
    written = len(scene.store.log)
    assert not scene.close(trade.id, "manual")
    assert not scene.close("00000000-0000-0000-0000-000000000000", "manual")
    assert (scene.trade, len(scene.store.log)) == (trade, written)


def test_a_second_exit_changes_nothing() -> None:
    scene = active()
    assert scene.close(scene.trade.id, "profit_target")
    written = len(scene.store.log)
    assert not scene.close(scene.trade.id, "manual")
    assert (scene.trade.exit_reason, len(scene.store.log)) == ("profit_target", written)


def test_no_entry_of_the_pair_within_the_cooldown_after_a_close() -> None:
    scene = active()
    scene.top(5000, ALPHA, "49990.0", "50000.0")
    scene.top(5000, BETA, "50200.0", "50210.0")
    scene.close(scene.trade.id, "manual")
    scene.time(5010)  # closed; known 10 ms later, and 2 s of cooldown: 7,020 ms
    scene.top(7019, ALPHA, "49990.0", "50000.0")
    assert len(scene.store.open) == 0
    scene.top(7020, ALPHA, "49990.0", "50000.0")
    assert len(scene.store.open) == 1


def test_funding_is_booked_at_the_settlement_for_each_leg() -> None:
    scene = active()
    scene.funding(2300, ALPHA, "0.0001", "50050", settles_ms=60_000)
    scene.funding(2300, BETA, "0.0002", "50150", settles_ms=60_000)
    scene.funding(2400, BETA, "0.0003", "50160", settles_ms=60_000)  # the last word before the settlement
    scene.time(59_999)
    assert [t for t in scene.store.log if t.funding] == []
    scene.time(60_000)
    booked = [paid for t in scene.store.log for paid in t.funding]
    assert [paid.cash for paid in booked] == [
        D("-0.095095"),  # -0.019 * 50050 * 0.0001
        D("0.285912"),  # +0.019 * 50160 * 0.0003
    ]
    assert [(paid.settled_us, paid.interval_hours, paid.basis) for paid in booked] == [(us(60_000), 8, "announced")] * 2
    trade = scene.trade
    assert (trade.funding_long_usd, trade.funding_short_usd) == (D("-0.095095"), D("0.285912"))
    scene.top(61_000, ALPHA, "49990.0", "50000.0")
    scene.top(61_000, BETA, "50200.0", "50210.0")
    scene.close(trade.id, "manual")
    scene.time(61_010)
    trade = scene.trade
    # no price P&L; fees 0.019 * 0.0007 * (49990 + 50210) = 1.33266; funding 0.190817
    assert trade.actual_profit_usd == D("0.190817") - D("1.33266")
    assert scene.portfolio.state.funding_received == D("0.190817")


def test_an_exit_at_the_instant_of_a_settlement_still_pays() -> None:
    scene = active()
    scene.funding(2300, BETA, "0.0002", "50150", settles_ms=5010)
    scene.top(5000, ALPHA, "49990.0", "50000.0")
    scene.top(5000, BETA, "50200.0", "50210.0")
    scene.close(scene.trade.id, "manual")
    scene.time(5010)
    trade = scene.trade
    assert (trade.status, trade.exit_us) == (TradeStatus.CLOSED, us(5010))
    assert trade.funding_short_usd == D("0.19057")  # 0.019 * 50150 * 0.0002


def test_a_leg_that_is_not_filled_pays_no_funding() -> None:
    scene = Scene()
    scene.open_trade()
    scene.funding(2110, ALPHA, "0.0001", "50000", settles_ms=2300)
    scene.funding(2110, BETA, "0.0001", "50000", settles_ms=2300)
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.time(2300)
    assert [[paid.leg.value for paid in t.funding] for t in scene.store.log if t.funding] == [["long"]]
