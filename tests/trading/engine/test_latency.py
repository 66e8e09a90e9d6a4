"""Latencies: constant, or log-normal draws that depend on seed, venue, way and order alone."""

from statistics import median, quantiles

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, desk, strategy, us, venue
from trading.domain.instruments import Venue
from trading.domain.orders import OrderStatus
from trading.engine.latency import DeclaredLatency, lognormal_us

DRAWN = Venue("a", D("0.0002"), D("0.0005"), 20_000, 80_000, 5_000, 6_000)


def test_a_constant_latency_is_the_same_for_every_order() -> None:
    latency, constant = DeclaredLatency(1), venue("a")
    assert {latency.order_us(constant, str(n)) for n in range(50)} == {10_000}
    assert {latency.response_us(constant, str(n)) for n in range(50)} == {10_000}


def test_draws_have_the_declared_median_and_99th_percentile() -> None:
    draws = [DeclaredLatency(1).order_us(DRAWN, str(n)) for n in range(20_000)]
    assert abs(median(draws) - 20_000) < 300
    assert abs(quantiles(draws, n=100)[-1] - 80_000) < 4_000
    assert (lognormal_us(20_000, 80_000, 0.5), lognormal_us(20_000, 80_000, 0.99)) == (20_000, 80_000)


def test_a_draw_depends_on_seed_venue_way_and_order_and_on_nothing_else() -> None:
    first, again, other = DeclaredLatency(1), DeclaredLatency(1), DeclaredLatency(2)
    assert [first.order_us(DRAWN, o) for o in "abc"] == [again.order_us(DRAWN, o) for o in reversed("cba")]
    assert first.order_us(DRAWN, "a") != first.order_us(DRAWN, "b")
    assert first.order_us(DRAWN, "a") != other.order_us(DRAWN, "a")
    same = Venue("a", D("0.0002"), D("0.0005"), 20_000, 80_000, 20_000, 80_000)
    assert first.order_us(same, "a") != first.response_us(same, "a")


def test_an_order_is_live_when_its_own_draw_has_passed_and_its_result_says_how_long_it_was_under_way() -> None:
    scene = Scene(desk(alpha=venue("alpha", order_latency_p99_us=40_000, response_latency_p99_us=40_000)))
    order = scene.open_trade().long_order
    latency, alpha = DeclaredLatency(7), scene.desk.venue("alpha")
    way_us, back_us = latency.order_us(alpha, order.id), latency.response_us(alpha, order.id)
    assert way_us != 10_000
    scene.engine.on_time(us(2100) + way_us - 1)
    assert scene.portfolio.working[order.id].order.accepted_us is None
    scene.engine.on_time(us(2100) + way_us)
    assert scene.portfolio.working[order.id].order.accepted_us == us(2100) + way_us
    scene.print_(2400, ALPHA, "49990.0", "2.0", "sell")
    (metrics,) = [m for t in scene.store.log for m in t.metrics]
    assert metrics.network_latency_ms == (way_us + back_us) // 1000


def test_a_cancel_never_arrives_before_its_order() -> None:
    """The entry times out 1 ms after it was sent; its orders need a second to arrive, most cancels much less."""
    slow = {"order_latency_us": 100_000, "order_latency_p99_us": 5_000_000}
    early = 0
    for seed_name in ("strategy", "a", "b", "c", "d", "e"):
        prefix = strategy(prefix=seed_name, entry_timeout_seconds=D("0.001"))
        scene = Scene(desk(prefix, alpha=venue("alpha", **slow), beta=venue("beta", **slow)))
        scene.time(1000)
        scene.top(1050, ALPHA, "49990.0", "50000.0")
        scene.time(2000)
        scene.top(2100, BETA, "50200.0", "50210.0")
        store = scene.stores[seed_name]
        (trade,) = store.open.values()
        latency = DeclaredLatency(7)
        scene.time(60_000)
        for order in store.closed[trade.id].all_orders:
            where = scene.desk.venue(order.exchange)
            arrived_us = us(2100) + latency.order_us(where, order.id)
            cancel_us = us(2101) + latency.order_us(where, f"{order.id} cancel")
            early += cancel_us < arrived_us
            assert order.status is OrderStatus.CANCELLED
            assert order.ended_us == max(arrived_us, cancel_us)
    assert early > 0
