"""A portfolio that is held opens no trades; what is open goes on. Source: ruling 22."""

from tests.trading.engine.scene import ALPHA, BETA, Scene, us
from trading.domain.trades import TradeStatus
from trading.stores.command_store import HOLD, Command

REASON = "1 of 2 open trades are of other programs"


def hold(scene: Scene, reason: str, prefix: str = "strategy") -> None:
    scene.commands.waiting.append(Command(f"{len(scene.commands.waiting)}-0", HOLD, prefix, "", reason, 0))
    assert scene.engine.on_commands() == 0
    assert scene.commands.waiting == []


def test_a_held_portfolio_enters_nothing_until_it_is_let_go() -> None:
    scene = Scene()
    hold(scene, REASON)
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    assert (scene.portfolio.trades, scene.portfolio.trouble) == ({}, REASON)
    hold(scene, "")
    scene.top(2200, BETA, "50200.0", "50211.0")
    assert (len(scene.portfolio.trades), scene.portfolio.trouble) == (1, None)


def test_the_open_trades_of_a_held_portfolio_go_on() -> None:
    scene = Scene()
    scene.open_trade()
    hold(scene, REASON)
    scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(2210, BETA, "50210.0", "2.0", "buy")
    assert scene.trade.status is TradeStatus.ACTIVE
    scene.clock.move_to(us(3000))
    scene.commands.send_exit(scene.trade.id, us(3000), "loss_limit")
    assert scene.engine.on_commands() == 1


def test_a_hold_of_a_portfolio_that_is_not_here_is_nothing() -> None:
    scene = Scene()
    hold(scene, REASON, "of_another_desk")
    assert scene.portfolio.trouble is None


def test_a_portfolio_that_is_let_go_still_minds_its_settings() -> None:
    scene = Scene()
    hold(scene, REASON)
    scene.portfolio.hold("")
    assert scene.portfolio.entries_stopped is None
    scene.portfolio.halt("its state was moved")
    scene.portfolio.hold(REASON)
    assert scene.portfolio.trouble == "its state was moved"


def test_a_portfolio_that_is_held_when_its_engine_begins_enters_nothing() -> None:
    scene = Scene()
    scene.store.held = "Redis lost its newest changes"
    scene.engine.start_portfolio(scene.portfolio)
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    assert (scene.portfolio.trades, scene.portfolio.trouble) == ({}, "Redis lost its newest changes")
