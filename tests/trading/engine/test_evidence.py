"""The evidence of fills: what a fill waited behind or took, exactly, and that fills add up to their orders."""

import msgspec

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, us
from trading.domain.evidence import (
    LEVELS_KEPT,
    PRINTS_KEPT,
    CountedPrint,
    OrderFill,
    QueueEvidence,
    WalkEvidence,
    decode_evidence,
    encode_evidence,
    levels_kept,
)
from trading.domain.orders import Leg, Liquidity, Role


def fills(scene: Scene) -> list[OrderFill]:
    return [fill for transition in scene.store.log for fill in transition.fills]


def queue_evidence(fill: OrderFill) -> QueueEvidence:
    assert isinstance(fill.evidence, QueueEvidence)
    return fill.evidence


def walk_evidence(fill: OrderFill) -> WalkEvidence:
    assert isinstance(fill.evidence, WalkEvidence)
    return fill.evidence


def test_a_fill_at_the_threshold_keeps_the_depth_and_the_prints_that_counted() -> None:
    scene = Scene()
    scene.open_trade()  # accepted at 2,110 ms behind 10.0, so 20% = 2.0 must trade
    scene.print_(2120, ALPHA, "49990.0", "1.9", "sell")
    scene.print_(2121, ALPHA, "49990.1", "5", "sell")  # above the price of our bid: does not count
    scene.print_(2122, ALPHA, "49990.0", "5", "buy")  # the wrong aggressor
    scene.print_(2130, ALPHA, "49990.0", "0.3", "sell")
    (fill,) = fills(scene)
    order = scene.trade.long_order
    assert (fill.order.id, fill.leg, fill.role, fill.liquidity) == (order.id, Leg.LONG, Role.ENTRY, Liquidity.MAKER)
    assert (fill.price, fill.quantity, fill.fee, fill.filled_us) == (D(49_990), D("0.019"), order.fee, us(2130))
    prints = (
        CountedPrint(1, us(2120), D(49_990), D("1.9"), D("1.9")),
        CountedPrint(4, us(2130), D(49_990), D("0.3"), D("0.3")),
    )
    evidence = queue_evidence(fill)
    assert evidence == QueueEvidence(
        filled_by="threshold",
        depth=D("10.0"),
        threshold_fraction=D("0.20"),
        threshold=D("2"),
        volume=D("2.2"),  # 1.9 + 0.3
        accepted_us=us(2110),
        book_us=us(1050),
        book_state="ok",
        prints_count=2,
        prints_quantity=D("2.2"),
        first_prints=prints,
        last_prints=(),
    )
    assert evidence.decisive == prints[1]
    assert decode_evidence(encode_evidence(evidence)) == evidence


def test_a_print_through_the_price_is_what_filled_the_order() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "0.5", "sell")
    scene.print_(2125, ALPHA, "49989.9", "0.02", "sell")
    evidence = queue_evidence(fills(scene)[0])
    assert (evidence.filled_by, evidence.volume, evidence.prints_count) == ("through", D("0.5"), 2)
    assert evidence.decisive == CountedPrint(2, us(2125), D("49989.9"), D("0.02"), D("0.02"))


def test_with_nothing_ahead_the_first_print_fills() -> None:
    scene = Scene()
    scene.open_trade()
    # another best bid leaves ours with no depth when it arrives
    scene.top(2105, ALPHA, "49989.0", "50000.0")
    scene.print_(2120, ALPHA, "49990.0", "0.001", "sell")
    evidence = queue_evidence(fills(scene)[0])
    assert (evidence.filled_by, evidence.depth, evidence.threshold) == ("front", 0, 0)


def test_hundreds_of_prints_are_kept_as_the_first_the_last_and_their_sum() -> None:
    scene = Scene()
    scene.open_trade()
    for number in range(300):
        scene.print_(2120 + number, ALPHA, "49990.0", "0.006", "sell")  # 300 * 0.006 = 1.8, less than 2.0
    scene.print_(2420, ALPHA, "49990.0", "0.2", "sell")
    evidence = queue_evidence(fills(scene)[0])
    assert [each.print_id for each in evidence.first_prints] == list(range(1, PRINTS_KEPT + 1))
    assert [each.print_id for each in evidence.last_prints] == list(range(302 - PRINTS_KEPT, 302))
    assert (evidence.prints_count, evidence.prints_omitted) == (301, 301 - 2 * PRINTS_KEPT)
    assert evidence.prints_quantity == evidence.volume == D("2.0")
    assert len(encode_evidence(evidence)) < 2_500


def test_a_walk_keeps_the_levels_that_it_took() -> None:
    scene = Scene()
    scene.book(1040, ALPHA, [("49990.0", "10.0")], [("50000.0", "0.004"), ("50001.0", "3.0")])
    scene.open_trade()
    scene.top(2105, ALPHA, "49970.0", "49980.0", ask_quantity="0.004")  # our bid of 49,990 crosses on arrival
    scene.time(2110)
    (fill,) = fills(scene)
    evidence = walk_evidence(fill)
    # 0.004 at 49,980; the next level, 50,000, is beyond the limit: the remainder rests
    assert evidence == WalkEvidence(
        levels=((D("49980.0"), D("0.004")),),
        levels_count=1,
        quantity=D("0.004"),
        cost=D("199.92"),  # 49980 * 0.004
        limit=D("49990.0"),
        book_us=us(2105),
        book_state="ok",
    )
    assert (fill.quantity, fill.order.quantity, fill.liquidity) == (D("0.004"), D("0.019"), Liquidity.TAKER)
    assert fill.fee == D("0.09996")  # 199.92 * 0.0005
    scene.print_(2120, ALPHA, "49989.0", "1", "sell")
    first, second = fills(scene)
    assert first.id != second.id
    assert (second.quantity, second.price, second.liquidity) == (D("0.015"), D(49_990), Liquidity.MAKER)
    assert second.fee == D("0.14997")  # 49990 * 0.015 * 0.0002
    order = scene.trade.long_order
    assert (first.quantity + second.quantity, first.fee + second.fee) == (order.filled_quantity, order.fee)
    assert queue_evidence(second).filled_by == "through"


def test_a_walk_through_many_levels_keeps_the_best_and_the_last() -> None:
    levels = tuple((D(100 + number), D(1)) for number in range(50))
    kept = levels_kept(levels)
    assert len(kept) == LEVELS_KEPT
    assert (kept[:3], kept[-1]) == (levels[:3], levels[-1])
    assert levels_kept(levels[:LEVELS_KEPT]) == levels[:LEVELS_KEPT]


def test_hedges_and_exits_are_explained_by_the_levels_they_took() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.time(3000)  # leg-out at 2,700, cancel until 2,710, its answer at 2,720, the hedge arrives at 2,730
    entry, hedge = fills(scene)
    assert (hedge.role, hedge.filled_us, hedge.side.value) == (Role.HEDGE, us(2730), "sell")
    evidence = walk_evidence(hedge)
    assert (evidence.levels, evidence.limit) == (((D("49990.0"), D("0.019")),), None)
    assert evidence.cost == D("949.81")  # 49990 * 0.019
    assert sum((fill.fee for fill in (entry, hedge)), D(0)) == sum((o.fee for o in scene.trade.all_orders), D(0))


def test_evidence_of_a_resting_order_is_in_the_checkpoint_and_of_bounded_size() -> None:
    scene = Scene()
    scene.open_trade()
    for number in range(300):
        scene.print_(2120 + number, ALPHA, "49990.0", "0.006", "sell")
    scene.engine.checkpoint()
    kept = {each["leg"]: each for each in scene.store.watching.values()}
    assert (kept["long"]["prints_count"], kept["long"]["volume"]) == (300, "1.800")
    assert len(kept["long"]["first_prints"]) == len(kept["long"]["last_prints"]) == PRINTS_KEPT
    assert len(msgspec.json.encode(kept)) < 5_000
    assert scene.engine.checkpoint() == 0  # nothing moved since


def test_nothing_is_explained_twice() -> None:
    scene = Scene()
    scene.open_trade()
    scene.print_(2120, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2130, BETA, "50210.0", "2.0", "buy")
    scene.close(scene.trade.id)
    scene.time(3000)
    found = fills(scene)
    assert sorted((fill.role.value, fill.leg.value) for fill in found) == [
        ("entry", "long"),
        ("entry", "short"),
        ("exit", "long"),
        ("exit", "short"),
    ]
    assert len({fill.id for fill in found}) == 4
