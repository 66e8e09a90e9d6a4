"""Whatever the market does: capital is conserved, the P&L adds up, and the same events make the same transitions."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from results.domain.outcomes import ResultState
from tests.trading.engine.scene import ALPHA, BETA, D, MemoryStore, Scene, desk, strategy, us, venue
from trading.domain.evidence import QueueEvidence, WalkEvidence
from trading.domain.orders import Leg, Liquidity
from trading.domain.pnl import residual_tolerance, terms_of
from trading.domain.strategy import Desk
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import round12

MOVE = st.tuples(
    st.sampled_from(["top", "print", "print", "close", "funding", "wait"]),
    st.sampled_from([ALPHA, BETA]),
    st.integers(1, 400),  # milliseconds since the move before
    st.integers(-60, 60),  # tenths of a price, around the venue's own
    st.integers(1, 300),  # thousandths of a base unit
    st.sampled_from(["buy", "sell"]),
)
MIDS = {ALPHA: 49_995, BETA: 50_205}


def all_policies() -> Desk:
    """Portfolios on the same signals that differ in every setting of how orders are sent and filled; alpha's
    latencies are drawn, its lots ten times as fine as beta's."""
    common = {"trades_open_per_pair_max": 3, "cooldown_seconds": D("0.3"), "entry_timeout_seconds": D(2)}
    limits = {"exit_order": "limit_then_market", "exit_timeout_seconds": D("0.7")}
    return desk(
        strategy(**common),
        strategy(prefix="second", hedge="complete", capital_mode="compounding", **common),
        strategy(prefix="printed", fill_volume="printed", hedge="complete", **limits, **common),
        strategy(prefix="follow", entry_policy="passive_then_take", fill_volume="printed", **common),
        strategy(prefix="follow_short", entry_policy="passive_then_take", first_leg="short", **limits, **common),
        strategy(prefix="take", entry_policy="both_take", hedge="complete", capital_mode="compounding", **common),
        alpha=venue("alpha", order_latency_p99_us=90_000, response_latency_p99_us=200_000),
        alpha_step="0.0001",
    )


def play(moves: list[tuple[str, str, int, int, int, str]]) -> Scene:
    scene = Scene(all_policies())
    scene.time(1000)
    scene.top(1050, ALPHA, "49990.0", "50000.0", ask_quantity="0.0123")
    scene.time(2000)
    scene.top(2100, BETA, "50200.0", "50210.0")
    ms = 2100
    for kind, instrument_id, passed_ms, offset, thousandths, aggressor in moves:
        ms += passed_ms
        price, quantity = Decimal(MIDS[instrument_id]) + Decimal(offset) / 10, Decimal(thousandths) / 1000
        if kind == "top":
            bid, ask = f"{price - 5:.1f}", f"{price + 5:.1f}"
            scene.top(ms, instrument_id, bid, ask, f"{quantity:.3f}", f"{quantity / 2:.3f}")
        elif kind == "print":
            at = price - 5 if aggressor == "sell" else price + 5
            scene.print_(ms, instrument_id, f"{at:.1f}", f"{quantity}", aggressor)
        elif kind == "funding":
            scene.funding(ms, instrument_id, f"0.00{thousandths:03}", f"{price}", settles_ms=ms + 50)
        elif kind == "close":
            close_all(scene)
        else:
            scene.time(ms)
    return scene


def quieten(scene: Scene) -> None:
    """A minute without new entries, with quiet deep books; everything that can be is closed in its second half."""
    for portfolio in scene.engine.portfolios.values():
        portfolio.entries_stopped = "the day is over"
    first_ms = (scene.engine.now_us - us(0)) // 1000 + 1
    for ms in range(first_ms, first_ms + 60_000, 1000):
        scene.top(ms, ALPHA, "50000.0", "50010.0", "99.0", "99.0")
        scene.top(ms, BETA, "49990.0", "50000.0", "99.0", "99.0")
        if ms > first_ms + 30_000:
            close_all(scene)


def close_all(scene: Scene) -> None:
    for prefix, store in scene.stores.items():
        for trade_id in tuple(store.open):
            scene.engine.close_trade(prefix, trade_id, "manual")


def require_sound(store: MemoryStore, trades: list[Trade]) -> None:
    state = store.state
    assert state is not None
    state.require_conserved()
    assert state.total_open_positions == sum(t.position_size_usd for t in store.open.values())
    assert set(state.active_trades) == set(store.open)
    assert state.cumulative_pnl == sum((t.actual_profit_usd or D(0) for t in store.closed.values()), D(0))
    for trade in trades:
        held = (trade.position(Leg.LONG), -trade.position(Leg.SHORT))
        if trade.status is TradeStatus.ACTIVE:
            assert held == (trade.quantity, trade.quantity)
            assert trade.quantity % D("0.001") == 0  # the coarser lot step
        if trade.status is TradeStatus.CLOSED:
            assert held == (0, 0)
            terms = terms_of(trade)
            assert trade.actual_profit_usd == terms.net
            assert abs(terms.residual) <= residual_tolerance(trade)
            assert not any(order.is_pending for order in trade.all_orders)
    results = {result.order_id: result for transition in store.log for result in transition.results}
    orders = [order for trade in trades for order in trade.all_orders if order.filled_quantity or not order.is_pending]
    assert {order_id: (each.filled_quantity, each.commission) for order_id, each in results.items()} == {
        order.id: (order.filled_quantity, order.fee) for order in orders
    }
    assert {result.state for result in results.values() if result.filled_quantity == 0} <= {ResultState.FAILED}
    payments = [paid for transition in store.log for paid in transition.funding]
    assert sum((paid.cash for paid in payments), D(0)) == sum(
        (trade.funding_long_usd + trade.funding_short_usd for trade in trades), D(0)
    )


@settings(max_examples=120, deadline=None)
@given(st.lists(MOVE, max_size=60))
def test_capital_is_conserved_every_closed_trade_adds_up_and_every_trade_ends(
    moves: list[tuple[str, str, int, int, int, str]],
) -> None:
    scene = play(moves)
    for store in scene.stores.values():
        require_sound(store, [*store.open.values(), *store.closed.values()])
    quieten(scene)
    for store in scene.stores.values():
        assert not store.open, "in a quiet market every trade comes to an end"
        require_sound(store, list(store.closed.values()))
    assert all(not market.resting and not market.waiting for market in scene.engine.markets.values())
    assert not any(each.working or each.causes or each.followers for each in scene.engine.portfolios.values())


def require_explained(store: MemoryStore, trades: list[Trade], whole: bool) -> None:
    """Fills add up to their orders, and the evidence of each says what happened."""
    fills = [fill for transition in store.log for fill in transition.fills]
    shadows = {each.order_id: each for transition in store.log for each in transition.shadows}
    for order in [order for trade in trades for order in trade.all_orders]:
        of_order = [fill for fill in fills if fill.order.id == order.id]
        assert sum((fill.quantity for fill in of_order), D(0)) == order.filled_quantity
        assert sum((fill.fee for fill in of_order), D(0)) == order.fee
    for fill in fills:
        evidence = fill.evidence
        if isinstance(evidence, WalkEvidence):
            assert fill.liquidity is Liquidity.TAKER
            assert evidence.quantity == fill.quantity == sum(quantity for _, quantity in evidence.levels)
            assert round12(evidence.cost / fill.quantity) == fill.price
            continue
        assert isinstance(evidence, QueueEvidence)
        assert fill.liquidity is Liquidity.MAKER
        assert evidence.decisive is not None
        assert evidence.decisive.event_us == fill.filled_us
        at_price = [
            each.counted for each in (*evidence.first_prints, *evidence.last_prints) if each.price == fill.price
        ]
        assert evidence.prints_omitted or evidence.volume == sum(at_price)
        assert (evidence.filled_by == "through") == (evidence.through is not None)
        assert evidence.filled_by == "through" or evidence.volume >= evidence.threshold
        shadow = shadows[fill.order.id]
        turn_us = shadow.filled_us[0]  # the venue's own threshold is 20%, too
        assert turn_us is not None
        assert turn_us == fill.filled_us if whole else turn_us <= fill.filled_us
    assert len(shadows) == len({each.id for each in shadows.values()})


@settings(max_examples=120, deadline=None)
@given(st.lists(MOVE, max_size=60))
def test_every_fill_is_explained_and_fills_add_up(moves: list[tuple[str, str, int, int, int, str]]) -> None:
    scene = play(moves)
    scene.engine.end_watches()
    for each in scene.desk.strategies:
        store = scene.stores[each.prefix]
        require_explained(store, [*store.open.values(), *store.closed.values()], each.fill_volume == "whole")


@settings(max_examples=25, deadline=None)
@given(st.lists(MOVE, min_size=10, max_size=60))
def test_the_same_events_make_the_same_transitions(moves: list[tuple[str, str, int, int, int, str]]) -> None:
    first, second = play(moves), play(moves)
    for prefix, store in first.stores.items():
        assert store.log == second.stores[prefix].log
        assert store.state == second.stores[prefix].state


def test_a_long_silence_ends_like_many_short_ones() -> None:
    """Timers run at their deadlines, however late somebody calls."""
    patient, restless = Scene(), Scene()
    for scene in (patient, restless):
        scene.open_trade()
        scene.print_(2200, ALPHA, "49990.0", "2.0", "sell")
    patient.time(5000)
    for ms in range(2200, 5001, 7):
        restless.time(ms)
    restless.time(5000)
    assert patient.store.log == restless.store.log
    assert patient.trade.status is TradeStatus.CLOSED
