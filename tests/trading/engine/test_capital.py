"""Capital modes through the engine: what is owned, what a trade may reserve, and portfolios side by side."""

from decimal import Decimal

import msgspec

from tests.trading.engine.scene import ALPHA, BETA, D, MemoryStore, Scene, desk, strategy
from trading.domain.metrics import EquityTrack
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import TradeStatus
from trading.engine.findings import Track, find
from trading.engine.marks import Marks, MarkTable


def win(scene: Scene, at_ms: int) -> None:
    """Opens a trade at 49,990 and 50,210 and closes it at 50,090 and 50,120, 0.019 a leg: a net of 2.277245.

    0.019 * (100 + 90) = 3.61; fees 0.019 * (0.0002 * 100200 + 0.0005 * 100210) = 1.332755
    """
    scene.top(at_ms, ALPHA, "49990.0", "50000.0")
    scene.top(at_ms, BETA, "50200.0", "50210.0")
    scene.print_(at_ms + 100, ALPHA, "49990.0", "2.0", "sell")
    scene.print_(at_ms + 110, BETA, "50210.0", "2.0", "buy")
    scene.top(at_ms + 900, ALPHA, "50090.0", "50100.0")
    scene.top(at_ms + 900, BETA, "50110.0", "50120.0")
    for prefix, store in scene.stores.items():
        for trade_id in tuple(store.open):
            scene.engine.close_trade(prefix, trade_id, "profit_target")
    scene.time(at_ms + 920)


def owned(store: MemoryStore) -> Decimal:
    assert store.state is not None
    return store.state.available_capital + sum((t.position_size_usd for t in store.open.values()), Decimal(0))


def test_fixed_keeps_profit_beside_the_capital_and_compounding_adds_it() -> None:
    scene = Scene(desk(strategy(), strategy(prefix="grows", capital_mode="compounding")))
    win(scene, 2000)
    fixed, grows = scene.stores.values()
    for store in (fixed, grows):
        assert store.state is not None
        assert (store.state.cumulative_pnl, store.state.win_count) == (D("2.277245"), 1)
    assert (owned(fixed), owned(grows)) == (D(20_000), D("20002.277245"))


def test_compounding_scales_the_size_by_what_is_owned_down_to_a_cent() -> None:
    scene = Scene(desk(strategy(), strategy(prefix="grows", capital_mode="compounding")))
    win(scene, 2000)
    scene.top(9000, ALPHA, "49990.0", "50000.0")
    scene.top(9000, BETA, "50200.0", "50210.0")
    sizes = [next(iter(store.open.values())).position_size_usd for store in scene.stores.values()]
    # 1000 * 20002.277245 / 20000 = 1000.11386225
    assert sizes == [D(1000), D("1000.11")]
    assert [owned(store) for store in scene.stores.values()] == [D(20_000), D("20002.277245")]
    state = scene.stores["grows"].state
    assert state is not None and state.available_capital == D("20002.277245") - D("1000.11")


def test_a_loss_makes_the_next_trade_smaller_and_nothing_left_makes_none() -> None:
    state = PortfolioState.new(D(1000), 0, "compounding")
    poorer = msgspec.structs.replace(state, cumulative_pnl=D("-333.33"), available_capital=D("666.67"))
    assert poorer.scaled(D(500)) == D("333.33")  # 500 * 0.66667 = 333.335, down to a cent
    ruined = msgspec.structs.replace(state, cumulative_pnl=D(-1001), available_capital=D(-1))
    assert ruined.scaled(D(500)) == 0
    assert msgspec.structs.replace(poorer, capital_mode="fixed").scaled(D(500)) == 500


def test_a_compounding_trade_beyond_what_is_available_is_refused_and_changes_nothing() -> None:
    tight = strategy(capital_mode="compounding", starting_capital=D(1500), trades_open_per_pair_max=3)
    scene = Scene(desk(tight))
    win(scene, 2000)  # owned 1502.277245: the next size is 1001.51, then 500.767245 are left
    scene.top(9000, ALPHA, "49990.0", "50000.0")
    scene.top(9000, BETA, "50200.0", "50210.0")
    before = (scene.portfolio.state, dict(scene.portfolio.trades), len(scene.store.log))
    assert scene.portfolio.state.available_capital == D("500.767245")
    scene.top(12_000, ALPHA, "49990.0", "50000.0")
    scene.top(12_000, BETA, "50200.0", "50211.0")
    assert (scene.portfolio.state, dict(scene.portfolio.trades), len(scene.store.log)) == before


def test_equity_is_starting_capital_and_all_profit_in_both_modes() -> None:
    scene = Scene(desk(strategy(), strategy(prefix="grows", capital_mode="compounding")))
    win(scene, 2000)
    for store in scene.stores.values():
        assert store.state is not None
        marks: Marks = MarkTable({}).mark([], {})
        found = find(store.state, Track(EquityTrack.new(store.state.starting_capital, 0)), marks, 9_000_000)
        assert found.track.equity.last_equity == D("20002.277245")
        # 2.277245 / 20000 as percent
        assert found.metrics.pnl_percentage == D("0.011386225")


def test_a_portfolio_that_has_begun_with_other_capital_enters_nothing_and_says_why() -> None:
    scene = Scene()
    win(scene, 2000)
    after = Scene(desk(strategy(capital_mode="compounding")), scene.stores, 9000)
    after.top(9000, ALPHA, "49990.0", "50000.0")
    after.top(9000, BETA, "50200.0", "50210.0")
    assert not after.store.open
    assert after.portfolio.entries_stopped == (
        "strategy strategy: capital_mode is compounding, but the portfolio has begun with fixed"
    )


def test_any_number_of_portfolios_compare_policies_on_the_same_signals() -> None:
    policies = ("both_passive", "passive_then_take", "both_take")
    strategies = [
        strategy(prefix=f"p{number}", entry_policy=policy, hedge=hedge, fill_volume=volume)
        for number, (policy, hedge, volume) in enumerate(
            (policy, hedge, volume)
            for policy in policies
            for hedge in ("unwind", "complete")
            for volume in ("whole", "printed")
        )
    ]
    scene = Scene(desk(*strategies))
    win(scene, 2000)
    entries = {trade.entry_us for store in scene.stores.values() for trade in store.closed.values()}
    assert len(entries) == 1
    assert [len(store.closed) for store in scene.stores.values()].count(1) >= 8
    for store in scene.stores.values():
        assert store.state is not None
        store.state.require_conserved()
        assert all(trade.status is TradeStatus.CLOSED for trade in store.closed.values())
