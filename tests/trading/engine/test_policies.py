"""Entry policies on one market: alpha 49,990 / 50,000 and beta 50,200 / 50,210, 0.019 a leg, 10 ms each way."""

from decimal import Decimal

import pytest

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, desk, strategy, us
from trading.domain.orders import Leg, Liquidity, Order, OrderStatus, OrderType, Role
from trading.domain.pnl import terms_of
from trading.domain.trades import TradeStatus


def entered(policy: str, **changes: object) -> Scene:
    """A trade whose entry was decided at 2,100 ms."""
    scene = Scene(desk(strategy(entry_policy=policy, **changes)))
    scene.open_trade()
    return scene


def legs(scene: Scene) -> tuple[Order, Order]:
    return scene.trade.long_order, scene.trade.short_order


def test_both_take_sends_two_market_orders_at_what_they_would_take() -> None:
    scene = entered("both_take")
    trade = scene.trade
    assert [(o.order_type, o.price) for o in legs(scene)] == [(OrderType.MARKET, 50_000), (OrderType.MARKET, 50_200)]
    assert trade.quantity == D("0.019")  # floor(1000 / 50200 = 0.01992, 0.001)
    # spread 200 * 0.019 = 3.8; fees, all taker: 0.019 * (50000 + 50200) * (0.0005 + 0.0005) = 1.9038
    assert (trade.projected_spread_usd, trade.projected_fees_usd) == (D("3.8"), D("1.9038"))
    assert trade.projected_profit_usd == D("1.8962")
    scene.time(2110)
    trade = scene.trade
    assert trade.status is TradeStatus.ACTIVE
    assert [(o.fill_price, o.liquidity, o.filled_us) for o in legs(scene)] == [
        (50_000, Liquidity.TAKER, us(2110)),
        (50_200, Liquidity.TAKER, us(2110)),
    ]
    # 200 / 50100 * 10000 = 39.920159680638722554...
    assert trade.entry_spread_bps == D("39.920159680639")
    assert scene.portfolio.state.leg_out_count == 0


def test_both_take_waits_for_what_the_book_lacks_and_goes_on_when_it_comes() -> None:
    scene = Scene(desk(strategy(entry_policy="both_take")))
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0", ask_quantity="0.010")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    scene.time(2110)
    long, short = legs(scene)
    assert (long.filled_quantity, long.status, short.status) == (D("0.01"), OrderStatus.PENDING, OrderStatus.FILLED)
    scene.top(2609, ALPHA, "49990.0", "50005.0", ask_quantity="1.0")  # 499 ms after the legs became unequal
    trade = scene.trade
    assert (trade.status, trade.leg_out) == (TradeStatus.ACTIVE, None)
    # (0.010 * 50000 + 0.009 * 50005) / 0.019 = 950.045 / 0.019
    assert trade.entry_long_price == D("50002.368421052632")


def test_both_take_with_a_remainder_is_a_leg_out_and_closes_both_legs() -> None:
    scene = Scene(desk(strategy(entry_policy="both_take")))
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0", ask_quantity="0.010")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    scene.time(2640)  # 2,110 + 500; 10 ms to cancel, 10 ms to hear of it, 10 ms to hedge
    trade = scene.trade
    assert (trade.status, trade.exit_reason, trade.exit_us) == (TradeStatus.CLOSED, "leg_out", us(2640))
    event = trade.leg_out
    assert event is not None
    assert (event.filled_leg, event.filled_price, event.hedge_price) == (Leg.SHORT, D(50_200), D(50_210))
    # short 0.019 bought back at 50210: 10 * 0.019 + 50210 * 0.019 * 0.0005 = 0.19 + 0.476995
    # long 0.010 sold at 49990: 10 * 0.010 + 49990 * 0.010 * 0.0005 = 0.1 + 0.24995
    assert event.hedge_loss == D("1.016945")
    # the net loses the entry fees too: 50000 * 0.010 * 0.0005 + 50200 * 0.019 * 0.0005 = 0.25 + 0.4769
    assert trade.actual_profit_usd == D("-1.743845")
    assert terms_of(trade).residual == 0
    last = {(r.role, r.leg): r.state.value for t in scene.store.log for r in t.results}
    assert last == {
        ("entry", "long"): "partially_filled",
        ("entry", "short"): "executed",
        ("hedge", "short"): "executed",
        ("hedge", "long"): "executed",
    }


def test_passive_then_take_rests_the_leg_with_the_wider_spread() -> None:
    scene = entered("passive_then_take")  # 10 / 49995 is more than 10 / 50205
    long, short = legs(scene)
    assert (long.order_type, long.price) == (OrderType.LIMIT, 49_990)
    assert (short.order_type, short.price) == (OrderType.MARKET, 50_200)
    # the fees are 49990 * 0.019 * (0.0002 + 0.0005) + 50200 * 0.019 * (0.0005 + 0.0005) = 0.664867 + 0.9538
    assert scene.trade.projected_fees_usd == D("1.618667")
    scene.time(5000)
    assert [o.status for o in legs(scene)] == [OrderStatus.PENDING] * 2
    assert list(scene.portfolio.working) == [long.id]  # the short order is not under way


def test_passive_then_take_takes_the_other_leg_as_soon_as_the_fill_is_known() -> None:
    scene = entered("passive_then_take")
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.top(2205, BETA, "50198.0", "50210.0")
    scene.time(2209)
    assert scene.trade.short_order.created_us == us(2100)
    scene.time(2210)  # 10 ms for the answer: the market order leaves with the price that it sees then
    short = scene.trade.short_order
    assert (short.created_us, short.price, short.status) == (us(2210), D(50_198), OrderStatus.PENDING)
    scene.time(2220)
    trade = scene.trade
    assert (trade.status, trade.orders, trade.leg_out) == (TradeStatus.ACTIVE, (), None)
    assert (trade.short_order.fill_price, trade.short_order.liquidity) == (D(50_198), Liquidity.TAKER)
    # 49990 * 0.019 * 0.0002 and 50198 * 0.019 * 0.0005
    assert (trade.long_order.fee, trade.short_order.fee) == (D("0.189962"), D("0.476881"))
    metrics = [m for t in scene.store.log for m in t.metrics]
    assert [(m.execution_latency_ms, m.broker_latency_ms, m.queue_wait_ms) for m in metrics] == [
        (100, None, 90),
        (10, 0, None),  # from the signal to take, not from the entry's
    ]


@pytest.mark.parametrize(("first", "waits"), [("long", Leg.SHORT), ("short", Leg.LONG)])
def test_the_first_leg_is_a_setting(first: str, waits: Leg) -> None:
    scene = entered("passive_then_take", first_leg=first)
    assert scene.trade.entry_order(waits).order_type is OrderType.MARKET
    assert scene.trade.entry_order(waits.other).order_type is OrderType.LIMIT
    assert [order.leg for order in (w.order for w in scene.portfolio.working.values())] == [waits.other]


def test_a_first_leg_that_never_fills_times_out_and_the_other_was_never_sent() -> None:
    scene = entered("passive_then_take")
    scene.time(32_110)
    trade = scene.trade
    assert (trade.status, trade.exit_reason, trade.actual_profit_usd) == (TradeStatus.CLOSED, "entry_timeout", 0)
    results = [(r.leg, r.state.value, r.executed_us) for t in scene.store.log for r in t.results]
    assert results == [("short", "failed", us(32_100)), ("long", "failed", us(32_110))]
    assert (scene.portfolio.state.total_trades, scene.portfolio.state.available_capital) == (0, 20_000)


def test_a_first_leg_that_fills_while_its_cancel_is_under_way_is_hedged_and_not_taken() -> None:
    scene = entered("passive_then_take", hedge="complete")
    scene.time(32_100)
    scene.print_(32_105, ALPHA, "49990.0", "2.0", "sell")
    scene.top(32_106, ALPHA, "49990.0", "50000.0")
    scene.top(32_106, BETA, "50200.0", "50210.0")
    scene.time(32_130)  # the cancel is answered at 32,120 ms, the hedge arrives 10 ms later
    trade = scene.trade
    assert trade.status is TradeStatus.ACTIVE
    assert (trade.short_order.status, trade.short_order.filled_quantity) == (OrderStatus.CANCELLED, 0)
    assert [(o.role, o.leg, o.filled_quantity) for o in trade.orders] == [(Role.HEDGE, Leg.SHORT, D("0.019"))]
    assert trade.leg_out is not None
    # at its intended price: only the fee of 50200 * 0.019 * 0.0005
    assert (trade.leg_out.hedge_price, trade.leg_out.hedge_loss) == (D(50_200), D("0.4769"))


def test_a_second_leg_that_finds_no_book_is_a_leg_out() -> None:
    scene = entered("passive_then_take")
    scene.top(2150, BETA, "0", "50210.0", bid_quantity="0")
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.time(2740)  # 2,200 + 500, and three ways of 10 ms
    trade = scene.trade
    assert (trade.status, trade.exit_reason) == (TradeStatus.CLOSED, "leg_out")
    assert trade.leg_out is not None
    # sold at the price at which it was bought: only the fee of 49990 * 0.019 * 0.0005
    assert trade.leg_out.hedge_loss == D("0.474905")


def test_each_part_of_the_first_leg_is_taken_on_the_other() -> None:
    scene = entered("passive_then_take", fill_volume="printed")
    scene.print_(2200, ALPHA, "49990.0", "2.005", "sell")  # 0.005 beyond the threshold of 2
    scene.time(2220)
    trade = scene.trade
    assert (trade.status, trade.position(Leg.LONG), trade.position(Leg.SHORT)) == (
        TradeStatus.PENDING,
        D("0.005"),
        D("-0.005"),
    )
    assert (trade.short_order.quantity, trade.short_order.status) == (D("0.005"), OrderStatus.FILLED)
    scene.print_(4000, ALPHA, "49990.0", "0.004", "sell")
    scene.print_(4005, ALPHA, "49990.0", "0.010", "sell")  # known at 4,015 ms; the 0.004 at 4,010 ms
    scene.time(4025)
    trade = scene.trade
    assert trade.status is TradeStatus.ACTIVE
    assert [(o.role, o.leg, o.quantity, o.created_us) for o in trade.orders] == [
        (Role.ENTRY, Leg.SHORT, D("0.004"), us(4010)),
        (Role.ENTRY, Leg.SHORT, D("0.01"), us(4015)),  # filled before 4,010 ms, and not known then
    ]
    assert (trade.position(Leg.LONG), trade.position(Leg.SHORT)) == (D("0.019"), D("-0.019"))
    assert scene.portfolio.state.leg_out_count == 0


@pytest.mark.parametrize("policy", ["both_passive", "passive_then_take", "both_take"])
def test_every_policy_enters_on_the_same_signal_and_closes_with_an_exact_sum(policy: str) -> None:
    scene = entered(policy)
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    scene.time(2300)
    assert (scene.trade.status, scene.trade.entry_us) == (TradeStatus.ACTIVE, us(2100))
    scene.top(3000, ALPHA, "50090.0", "50100.0")
    scene.top(3000, BETA, "50110.0", "50120.0")
    scene.close(scene.trade.id)
    scene.time(3010)
    trade = scene.trade
    cash = sum((-o.side.sign * (o.fill_price or Decimal(0)) * o.filled_quantity for o in trade.all_orders), Decimal(0))
    assert trade.actual_profit_usd == cash - sum((o.fee for o in trade.all_orders), Decimal(0))
    # 0.019 * (50090 - long + short - 50120), less the fees of exits 0.951995 and of entries
    expected = {
        "both_passive": D("3.61") - D("0.951995") - D("0.38076"),  # 49990 and 50210, maker
        "passive_then_take": D("3.42") - D("0.951995") - D("0.666862"),  # 49990 maker, 50200 taker
        "both_take": D("3.23") - D("0.951995") - D("0.9519"),  # 50000 and 50200, taker
    }
    assert trade.actual_profit_usd == expected[policy]
