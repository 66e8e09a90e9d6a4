"""No settlement is forgotten: those that passed while the engine was down, the portfolio stood still or the feed was
silent are booked once, and the ledger says how they were known. Ruling 13."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, us
from trading.domain.events import FundingRate
from trading.domain.funding import FundingPayment
from trading.domain.orders import Leg
from trading.domain.pnl import terms_of
from trading.domain.trades import TradeStatus

HOUR_MS = 3_600_000
WAIT_MS = 90_000  # how long a settlement that nobody announced waits for the venue to name it
INSTRUMENTS = {Leg.LONG: ALPHA, Leg.SHORT: BETA}


def rate(scene: Scene, ms: int, instrument: str, rate: str, mark: str, settles_ms: int, hours: int = 1) -> None:
    """A word on funding, and its publication."""
    scene.event(FundingRate(instrument, us(ms), rate, hours, mark, us(settles_ms)))
    scene.engine.publish()


def tops(scene: Scene, ms: int) -> None:
    scene.top(ms, ALPHA, "49980.0", "49990.0")
    scene.top(ms, BETA, "50000.0", "50010.0")


def active() -> Scene:
    """Long alpha and short beta since 2,200 ms; both venues settle at 10,000 ms and hourly from then on."""
    scene = Scene()
    scene.open_trade()
    scene.print_(2150, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2200, BETA, "50210.0", "2.0", "buy")
    rate(scene, 2300, ALPHA, "0.0001", "50000", 10_000)
    rate(scene, 2300, BETA, "0.0002", "50200", 10_000)
    return scene


def restarted(scene: Scene, at_ms: int) -> Scene:
    """Another engine on what the first one left."""
    return Scene(scene.desk, scene.stores, at_ms, scene.quotes)


def booked(scene: Scene) -> list[FundingPayment]:
    return [paid for transition in scene.store.log for paid in transition.funding]


def story(scene: Scene, leg: str = "short") -> list[tuple[int, str, str, str]]:
    """(instant in ms, rate, mark price, basis) of each payment of a leg."""
    return [
        ((paid.settled_us - us(0)) // 1000, str(paid.rate), str(paid.mark_price), paid.basis.value)
        for paid in booked(scene)
        if paid.leg.value == leg
    ]


def test_what_passed_while_the_engine_was_down_is_booked_as_the_venue_names_it() -> None:
    after = restarted(active(), 2 * HOUR_MS)
    rate(after, 2 * HOUR_MS + 5_000, BETA, "0.0003", "50300", 10_000)
    rate(after, 2 * HOUR_MS + 5_000, BETA, "0.0004", "50400", HOUR_MS + 10_000)
    rate(after, 2 * HOUR_MS + 5_000, BETA, "0.0009", "50900", 2 * HOUR_MS + 10_000)  # the next one
    after.time(2 * HOUR_MS + 6_000)
    assert story(after) == [(10_000, "0.0003", "50300", "settled"), (HOUR_MS + 10_000, "0.0004", "50400", "settled")]
    assert story(after, "long") == []  # alpha may still tell
    after.time(2 * HOUR_MS + WAIT_MS)
    assert story(after, "long") == [
        (10_000, "0.0001", "50000", "estimated"),
        (HOUR_MS + 10_000, "0.0001", "50000", "estimated"),
        (2 * HOUR_MS + 10_000, "0.0001", "50000", "estimated"),
    ]
    assert story(after)[2:] == [(2 * HOUR_MS + 10_000, "0.0009", "50900", "announced")]
    # 0.019 of 50300 * 0.0003 plus 50400 * 0.0004 plus 50900 * 0.0009
    assert after.trade.funding_short_usd == D("1.54014")


def test_a_portfolio_that_stood_still_is_paid_what_was_announced() -> None:
    scene = active()
    scene.portfolio.halt("somebody moved a record")
    scene.time(20_000)
    assert booked(scene) == []
    scene.engine.start_portfolio(scene.portfolio)
    assert story(scene) == [(10_000, "0.0002", "50200", "announced")]
    assert story(scene, "long") == [(10_000, "0.0001", "50000", "announced")]
    scene.portfolio.halt("again")
    scene.engine.start_portfolio(scene.portfolio)
    scene.time(20_000 + WAIT_MS)
    assert len(booked(scene)) == 2


def test_a_settlement_in_a_gap_of_the_feed_is_booked_by_estimate_and_named_late_changes_nothing() -> None:
    scene = active()
    scene.time(HOUR_MS + 10_000 + WAIT_MS - 1)
    assert story(scene) == [(10_000, "0.0002", "50200", "announced")]
    scene.time(HOUR_MS + 10_000 + WAIT_MS)
    assert story(scene)[1:] == [(HOUR_MS + 10_000, "0.0002", "50200", "estimated")]
    rate(scene, HOUR_MS + 200_000, BETA, "0.0005", "50500", HOUR_MS + 10_000)
    rate(scene, HOUR_MS + 200_000, BETA, "0.0005", "50500", 2 * HOUR_MS + 10_000)
    scene.time(2 * HOUR_MS)
    assert len(story(scene)) == 2


def test_an_exit_right_after_a_restart_has_the_settlement_in_its_net() -> None:
    after = restarted(active(), 60_000)
    tops(after, 60_000)
    assert after.close(after.trade.id)
    after.time(60_100)
    trade = after.trade
    assert trade.status is TradeStatus.CLOSED
    # -0.019 * 50000 * 0.0001, 0.019 * 50200 * 0.0002
    assert (trade.funding_long_usd, trade.funding_short_usd) == (D("-0.095"), D("0.19076"))
    assert [paid.basis.value for paid in booked(after)] == ["estimated"] * 2
    terms = terms_of(trade)
    assert (terms.net, terms.residual) == (trade.actual_profit_usd, 0)
    assert after.portfolio.state.funding_received == D("0.09576")


def test_an_exit_before_the_instant_gets_none() -> None:
    scene = active()
    tops(scene, 3000)
    scene.close(scene.trade.id)
    scene.time(3100)
    assert scene.trade.status is TradeStatus.CLOSED
    after = restarted(scene, HOUR_MS)
    after.time(HOUR_MS + WAIT_MS)
    assert booked(after) == []


def test_a_leg_that_is_unwound_after_a_restart_is_paid_for_the_time_it_was_held() -> None:
    scene = Scene()
    scene.open_trade()
    rate(scene, 2120, ALPHA, "0.0001", "50000", 10_000)
    rate(scene, 2120, BETA, "0.0002", "50200", 10_000)
    scene.print_(2150, ALPHA, "49990.0", "2.0", "sell")
    after = restarted(scene, 20_000)
    tops(after, 20_000)
    after.time(20_100)
    assert (after.trade.status, after.trade.exit_reason) == (TradeStatus.CLOSED, "restart")
    assert [paid.leg.value for paid in booked(after)] == ["long"]
    assert terms_of(after.trade).net == after.trade.actual_profit_usd


def test_a_changed_interval_makes_no_settlement_that_the_venue_did_not_have() -> None:
    """Hourly until 10,000 ms, every four hours from then on."""
    after = restarted(active(), 3 * HOUR_MS)
    for instrument in (ALPHA, BETA):
        rate(after, 3 * HOUR_MS + 5_000, instrument, "0.0004", "50400", 4 * HOUR_MS + 10_000, hours=4)
    after.time(3 * HOUR_MS + WAIT_MS)
    assert [instant for instant, *_ in story(after)] == [10_000]


def test_a_settlement_that_the_venue_moves_to_a_later_instant_is_not_paid_at_the_earlier_one() -> None:
    scene = active()
    scene.time(20_000)
    rate(scene, 30_000, BETA, "0.0002", "50200", 4 * HOUR_MS, hours=4)
    rate(scene, HOUR_MS, BETA, "0.0003", "50300", 8 * HOUR_MS, hours=8)
    scene.time(8 * HOUR_MS + WAIT_MS)
    assert story(scene)[1:] == [(8 * HOUR_MS, "0.0003", "50300", "announced")]


def test_the_settlement_after_next_named_a_little_early_calls_nothing_off() -> None:
    scene = active()
    rate(scene, 9_990, BETA, "0.0003", "50300", HOUR_MS + 10_000)
    scene.time(11_000)
    assert story(scene) == [(10_000, "0.0002", "50200", "announced")]


def test_an_interval_that_is_set_too_short_makes_no_settlements_before_the_one_that_is_announced() -> None:
    """The settings say hourly, the venue's next one is in three hours."""
    scene = active()
    scene.time(10_000)
    for instrument in (ALPHA, BETA):
        rate(scene, 11_000, instrument, "0.0004", "50400", 3 * HOUR_MS + 10_000)
    tops(scene, 2 * HOUR_MS)
    after = restarted(scene, 2 * HOUR_MS)
    after.time(2 * HOUR_MS + WAIT_MS)
    assert len(story(after)) == 1
    tops(after, 3 * HOUR_MS + 9_000)
    after.close(after.trade.id)
    after.time(3 * HOUR_MS + 9_500)
    assert (after.trade.status, len(story(after))) == (TradeStatus.CLOSED, 1)


def test_a_trade_of_an_earlier_desk_is_paid_from_the_restart_on() -> None:
    """It was paid, but did not say until when."""
    scene = active()
    old = msgspec.structs.replace(scene.trade, funding_long_until_us=None, funding_short_until_us=None)
    scene.store.open[old.id] = old
    after = restarted(scene, 60_000)
    after.time(HOUR_MS + 10_000 + WAIT_MS)
    assert story(after) == [(HOUR_MS + 10_000, "0.0002", "50200", "estimated")]


def test_without_any_word_on_funding_nothing_is_booked() -> None:
    scene = active()
    after = Scene(scene.desk, scene.stores, 60_000)
    after.time(HOUR_MS)
    assert booked(after) == []


def test_what_the_quotes_said_last_survives_a_second_crash_before_the_feed_speaks() -> None:
    second = restarted(active(), 60_000)
    tops(second, 60_000)
    second.engine.publish()
    after = restarted(second, 70_000)
    after.time(70_000 + WAIT_MS)
    assert story(after) == [(10_000, "0.0002", "50200", "estimated")]


LIVES = st.lists(
    st.tuples(
        st.sampled_from([1, 999, 9_000, 60_000, HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, 3 * HOUR_MS]),  # alive, ms
        st.sampled_from([0, 1, 1_000, 7_000, WAIT_MS, HOUR_MS, 2 * HOUR_MS + 5]),  # down, ms
        st.sampled_from(["silent", "speaks", "names the past"]),
        st.sampled_from(["killed", "halted", "killed while halted"]),
    ),
    min_size=1,
    max_size=6,
)


def live(scene: Scene, until_ms: int, feed: str) -> None:
    """Lets the engine live; a feed that speaks does so at once and just after each settlement."""
    began_ms = (scene.engine.now_us - us(0)) // 1000
    first = 0 if began_ms < 10_000 else (began_ms - 10_000) // HOUR_MS + 1
    settlements = [10_000 + n * HOUR_MS for n in range(first, first + 5)]
    words: list[Any] = [(began_ms + 1, settlements[0])]
    words += [
        (settled_ms + 1, following_ms) for settled_ms, following_ms in zip(settlements, settlements[1:], strict=False)
    ]
    for at_ms, next_ms in words if feed != "silent" else ():
        if at_ms < until_ms:
            scene.time(at_ms)
            for instrument in INSTRUMENTS.values():
                if feed == "names the past" and next_ms > 10_000:
                    rate(scene, at_ms, instrument, "0.0005", "50500", next_ms - HOUR_MS)
                rate(scene, at_ms, instrument, "0.0004", "50400", next_ms)
    scene.time(until_ms)


@given(LIVES)
@settings(max_examples=150, deadline=None)
def test_whenever_the_engine_dies_each_settlement_is_booked_once_for_each_leg(
    lives: list[tuple[int, int, str, str]],
) -> None:
    scene, now_ms = active(), 2_300
    for alive_ms, down_ms, feed, end in lives:
        live(scene, now_ms + alive_ms, feed)
        now_ms += alive_ms
        if end != "killed":
            scene.portfolio.halt("moved")
            scene.time(now_ms + down_ms)
            now_ms += down_ms
        if end == "halted":
            scene.engine.start_portfolio(scene.portfolio)
        else:
            now_ms += down_ms
            scene = restarted(scene, now_ms)
    scene.time(now_ms + WAIT_MS)
    end_ms = now_ms + WAIT_MS
    passed = list(range(10_000, end_ms + 1, HOUR_MS))
    for leg in Leg:
        paid = [payment for payment in booked(scene) if payment.leg is leg]
        instants = [(payment.settled_us - us(0)) // 1000 for payment in paid]
        assert instants == passed[: len(instants)]
        assert all(ms > now_ms for ms in passed[len(instants) :])
        assert {payment.quantity for payment in paid} <= {D("0.019") * leg.direction}
    tops(scene, end_ms)
    scene.close(scene.trade.id)
    scene.time(end_ms + 100)
    trade = scene.trade
    assert trade.status is TradeStatus.CLOSED
    assert len(booked(scene)) == 2 * len(passed)
    assert trade.funding_long_usd + trade.funding_short_usd == sum(paid.cash for paid in booked(scene))
    assert terms_of(trade).net == trade.actual_profit_usd
    assert len({paid.id for paid in booked(scene)}) == len(booked(scene))


@pytest.mark.parametrize("at_ms", [9_999, 10_000, 10_001])
def test_killed_around_the_instant(at_ms: int) -> None:
    scene = active()
    scene.time(at_ms)
    assert len(booked(scene)) == (2 if at_ms >= 10_000 else 0)
    after = restarted(scene, at_ms + 5_000)
    after.time(at_ms + 5_000 + WAIT_MS)
    assert [instant for instant, *_ in story(after)] == [10_000]
