"""Shadow fills: one order judged at 20%, 50% and 100% of the depth and by trade-through alone, on the same prints."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, desk, strategy, us, venue
from trading.domain.evidence import QueueEvidence
from trading.domain.orders import OrderStatus
from trading.domain.shadow import ShadowFill, judged
from trading.engine import witnesses


def shadows(scene: Scene) -> dict[str, ShadowFill]:
    """By leg, those that were written."""
    return {each.leg.value: each for transition in scene.store.log for each in transition.shadows}


def ended(scene: Scene) -> dict[str, ShadowFill]:
    scene.engine.end_watches()
    return shadows(scene)


def test_each_threshold_fills_when_its_share_has_traded() -> None:
    scene = Scene()
    scene.open_trade()  # accepted at 2,110 ms behind 10.0: 2.0, 5.0, 10.0
    scene.print_(2120, ALPHA, "49990.0", "2.0", "sell")  # 2.0: the order itself fills, at 20%
    assert scene.trade.long_order.status is OrderStatus.FILLED
    scene.print_(2130, ALPHA, "49990.0", "2.9", "sell")  # 4.9
    scene.print_(2140, ALPHA, "49990.0", "0.1", "sell")  # 5.0
    scene.print_(2150, ALPHA, "49990.0", "5.0", "sell")  # 10.0
    scene.print_(2160, ALPHA, "49990.0", "90", "sell")  # at the price, not through it
    long = ended(scene)["long"]
    assert long.filled_us == (us(2120), us(2140), us(2150), None)
    assert (long.depth, long.volume, long.accepted_us) == (D(10), D(100), us(2110))
    assert (long.leg_out_ms, long.watched_until_us) == (500, us(2160))


def test_a_print_through_the_price_fills_every_shadow_that_is_left() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2150, ALPHA, "49989.9", "0.001", "sell")
    scene.print_(2160, ALPHA, "49989.0", "7", "sell")
    assert ended(scene)["long"].filled_us == (us(2120), us(2150), us(2150), us(2150))


def test_the_shadow_at_the_orders_own_threshold_fills_with_the_order() -> None:
    half = desk(alpha=venue("alpha", fill_threshold_fraction=D("0.5")))
    scene = Scene(half)
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "4.9", "sell")
    scene.print_(2130, ALPHA, "49990.0", "0.1", "sell")
    assert scene.trade.long_order.filled_us == us(2130)
    assert ended(scene)["long"].filled_us == (us(2120), us(2130), None, None)


def test_a_cancelled_order_is_judged_on_as_if_it_still_rested() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.time(3000)  # the short leg was cancelled at 2,710
    assert scene.trade.short_order.status is OrderStatus.CANCELLED
    scene.print_(2105, BETA, "50210.0", "9.0", "buy")  # late, and from before the acceptance at 2,110
    scene.print_(3100, BETA, "50210.0", "2.0", "buy")
    scene.print_(3200, BETA, "50210.0", "3.0", "buy")
    scene.print_(3300, BETA, "50211.0", "0.1", "sell")  # a seller does not reach an offer
    assert ended(scene)["short"].filled_us == (us(3100), us(3200), None, None)


def test_a_watch_ends_after_the_entry_timeout_and_the_next_step_carries_it() -> None:
    scene = Scene(desk(strategy(entry_timeout_seconds=D(3))))
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    scene.time(5109)
    assert len(scene.portfolio.witnesses) == 2
    scene.time(5110)  # 2,110 + 3,000
    assert (scene.portfolio.witnesses, len(scene.portfolio.finished), shadows(scene)) == ({}, 2, {})
    scene.print_(5120, ALPHA, "49980.0", "1", "sell")  # after the watch: sees nothing
    written = len(scene.store.log)
    scene.close(scene.trade.id)
    assert len(scene.store.log) == written + 1
    assert [each.watched_until_us for each in scene.store.log[-1].shadows] == [us(5110)] * 2
    assert shadows(scene)["long"].filled_us == (us(2200), None, None, None)
    assert scene.portfolio.finished == []


def test_without_a_next_step_the_checkpoint_writes_what_is_finished() -> None:
    scene = Scene(desk(strategy(entry_timeout_seconds=D(3))))
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    scene.time(6000)
    scene.engine.checkpoint()
    assert len(shadows(scene)) == 2
    assert scene.store.log[-1].trades == ()
    assert scene.portfolio.finished == []


def test_a_watch_takes_two_minutes_at_most() -> None:
    scene = Scene(desk(strategy(entry_timeout_seconds=D(86_400))))
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    scene.time(2110 + 120_000)
    assert {each.watched_until_us for each in scene.portfolio.finished} == {us(122_110)}


def test_an_order_is_watched_for_as_long_as_it_rests() -> None:
    scene = Scene(desk(strategy(entry_timeout_seconds=D(300))))
    scene.open_trade()
    scene.time(290_000)
    assert (len(scene.portfolio.witnesses), scene.portfolio.finished) == (2, [])
    scene.time(310_000)  # timed out at 302,100, cancelled at 302,110, and the watch looks again at each x,110
    assert shadows(scene) == {}
    assert {each.watched_until_us for each in scene.portfolio.finished} == {us(302_110)}


def test_a_restart_writes_what_the_shadows_had_come_to_at_the_checkpoint() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "1.5", "sell")
    scene.print_(2130, BETA, "50210.0", "5.5", "buy")
    scene.engine.checkpoint()
    scene.print_(2140, ALPHA, "49990.0", "0.1", "sell")  # nobody remembers this one
    after = Scene(scene.desk, scene.stores, 4000)
    after.top(4000, ALPHA, "49980.0", "49990.0")
    after.top(4000, BETA, "50000.0", "50010.0")
    after.print_(4005, ALPHA, "49980.0", "9", "sell")
    after.time(4100)
    after.engine.checkpoint()
    found = shadows(after)
    assert (found["long"].filled_us, found["long"].volume) == ((None,) * 4, D("1.5"))
    assert found["short"].filled_us == (us(2130), us(2130), None, None)  # 5.5 of 10
    assert {each.watched_until_us for each in found.values()} == {us(2130)}


def test_what_a_restart_cut_off_is_written_once_however_often_the_desk_restarts() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "1.5", "sell")
    scene.engine.checkpoint()
    for at_ms in (4000, 5000):  # the first one ends before its first checkpoint
        after = Scene(scene.desk, scene.stores, at_ms)
        assert len(after.portfolio.cut_off) == 2
        assert shadows(after) == {}
    after.engine.checkpoint()
    assert len(shadows(after)) == 2
    assert after.portfolio.cut_off == []
    again = Scene(scene.desk, scene.stores, 6000)
    assert again.portfolio.cut_off == []


def test_what_was_written_between_two_checkpoints_is_not_written_again_by_a_restart() -> None:
    scene = Scene(desk(strategy(entry_timeout_seconds=D(3))))
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    scene.engine.checkpoint()
    written = {order.id for order in scene.trade.all_orders}
    scene.time(5110)
    scene.close(scene.trade.id)
    assert {shadow.order_id for shadow in shadows(scene).values()} == written
    after = Scene(scene.desk, scene.stores, 6000)
    assert not after.portfolio.left_behind.keys() & written


def test_an_order_that_rests_again_after_a_restart_goes_on_with_its_evidence() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "1.5", "sell")
    scene.engine.checkpoint()
    after = Scene(scene.desk, scene.stores, 4000)
    order = after.trade.long_order
    witness = after.portfolio.left_behind[order.id]
    assert (witness.prints_count, witness.volume, witness.book_us) == (1, D("1.5"), us(1050))


def test_witnesses_of_another_version_do_not_stop_the_portfolio() -> None:
    scene = Scene()
    scene.open_trade()
    scene.time(2200)
    scene.engine.checkpoint()
    for record in scene.store.watching.values():
        record["price"] = {"not": "a price"}
    after = Scene(scene.desk, scene.stores, 4000)
    assert (after.portfolio.halted, after.portfolio.left_behind, after.portfolio.cut_off) == (None, {}, [])


def test_a_portfolio_watches_a_bounded_number_of_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "WITNESSES_MAX", 1)
    scene = Scene()
    scene.open_trade()
    scene.time(2110)  # the second leg to rest ends the watch of the first
    ((order_id, _),) = scene.portfolio.witnesses.items()
    assert order_id == scene.trade.short_order.id
    assert [each.leg.value for each in scene.portfolio.finished] == ["long"]
    scene.print_(2120, ALPHA, "49990.0", "2.0", "sell")  # it still rests, and its fill is explained all the same
    (fill,) = [fill for transition in scene.store.log for fill in transition.fills]
    assert isinstance(fill.evidence, QueueEvidence)
    assert fill.evidence.prints_count == 1


@settings(max_examples=200, deadline=None)
@given(
    st.decimals(min_value=0, max_value=20, places=3),
    st.lists(st.tuples(st.decimals("0.001", "9", places=3), st.booleans()), max_size=12),
)
def test_a_longer_queue_never_fills_earlier(depth: Decimal, prints: list[tuple[Decimal, bool]]) -> None:
    filled: tuple[int | None, ...] = (None,) * 4
    volume = D(0)
    for number, (quantity, is_through) in enumerate(prints):
        volume += 0 if is_through else quantity
        before, filled = filled, judged(filled, depth, volume, is_through, number)
        assert all(old in (None, new) for old, new in zip(before, filled, strict=True))  # what is filled stays so
    times = [len(prints) if each is None else each for each in filled]
    assert times == sorted(times)
