"""Commands and publication: what comes in from outside, and what the engine shows."""

from tests.trading.engine.scene import ALPHA, BETA, D, Scene, us
from trading.domain.events import FeedGap
from trading.domain.trades import TradeStatus
from trading.stores.market_store import FeedStatus


def active() -> Scene:
    scene = Scene()
    scene.open_trade()
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    scene.clock.move_to(us(3000))
    return scene


def test_an_exit_command_closes_an_active_trade_and_is_acknowledged() -> None:
    scene = active()
    scene.commands.send_exit(scene.trade.id, us(3000), "loss_limit")
    assert scene.engine.on_commands() == 1
    assert (scene.trade.status, scene.trade.exit_reason) == (TradeStatus.EXITING, "loss_limit")
    assert scene.commands.waiting == []


def test_a_stale_command_is_ignored_and_acknowledged() -> None:
    scene = active()
    scene.commands.send_exit(scene.trade.id, us(3000) - 1)
    assert scene.engine.on_commands() == 0
    assert scene.trade.status is TradeStatus.ACTIVE
    assert scene.commands.waiting == []


def test_a_person_goes_before_the_monitor_when_both_have_asked() -> None:
    scene = active()
    scene.commands.send_exit(scene.trade.id, us(3000), "loss_limit")
    scene.commands.send_exit(scene.trade.id, us(3000), "manual")
    assert scene.engine.on_commands() == 1
    assert scene.trade.exit_reason == "manual"
    assert scene.commands.waiting == []


def test_commands_for_others_and_for_unknown_trades_are_ignored() -> None:
    scene = active()
    scene.commands.send_exit(scene.trade.id, us(9000), prefix="of_another_shard")
    scene.commands.send_exit("no such trade", us(9000))
    assert scene.engine.on_commands() == 0
    assert scene.trade.status is TradeStatus.ACTIVE
    assert scene.commands.waiting == []


def test_quotes_are_published_when_they_change_and_when_a_book_goes_stale() -> None:
    scene = Scene()
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0", bid_quantity="1.5")
    scene.funding(1060, BETA, "0.0001", "50100", settles_ms=60_000)
    scene.engine.publish()
    quotes = scene.quotes.published[-1]
    assert (quotes[ALPHA].bid, quotes[ALPHA].bid_quantity, quotes[ALPHA].state) == (D(49_990), D("1.5"), "ok")
    assert (quotes[BETA].state, quotes[BETA].bid, quotes[BETA].mark_price) == ("empty", None, D(50_100))
    assert scene.engine.publish() == 0
    scene.clock.move_to(us(6051))
    assert scene.engine.publish() == 1
    assert scene.quotes.published[-1][ALPHA].state == "stale"
    assert scene.quotes.published[-1][ALPHA].reason == "nothing came for more than 5 s"
    scene.event(FeedGap(ALPHA, us(6100), "lost"))
    scene.engine.publish()
    assert scene.quotes.published[-1][ALPHA].state == "gapped"
    assert scene.quotes.published[-1][ALPHA].reason == "the feed has a gap: lost"
    scene.top(6200, ALPHA, "50000.0", "50000.0")
    scene.engine.publish()
    quote = scene.quotes.published[-1][ALPHA]
    assert (quote.state, quote.reason) == ("crossed", "the bid 50000.0 is not below the ask 50000.0")


def test_the_feed_status_tells_the_rate_of_messages() -> None:
    scene = Scene()
    scene.engine.publish_feed("test")
    for number in range(30):
        scene.top(1000 + number, ALPHA, "49990.0", "50000.0")
    scene.clock.move_to(us(2000))
    scene.engine.publish_feed("test")
    assert scene.quotes.feed[-1] == FeedStatus(
        name="test",
        at_us=us(2000),
        event_us=us(1029),
        received_us=us(2000),
        messages=30,
        rate_per_second=15.0,  # 30 messages in 2 s
        instruments=2,
    )
    scene.clock.move_to(us(3000))
    scene.engine.publish_feed("test")
    assert scene.quotes.feed[-1].received_us == us(2000)  # nothing has come since


def test_the_feed_status_names_a_portfolio_that_does_not_trade() -> None:
    scene = Scene()
    scene.engine.portfolios["strategy"].halt("strategy:portfolio:state has moved")
    scene.engine.publish_feed("test", ["okx is away"])
    assert scene.quotes.feed[-1].feed_troubles == ["okx is away"]
    assert scene.quotes.feed[-1].troubles == {"strategy": "strategy:portfolio:state has moved"}


def test_nothing_is_entered_after_a_gap_before_the_book_is_known_again() -> None:
    scene = Scene()
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.event(FeedGap(ALPHA, us(1060), "lost"))
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    assert scene.store.log == []
    scene.top(2200, ALPHA, "49990.0", "50000.0")
    assert len(scene.store.log) == 1
