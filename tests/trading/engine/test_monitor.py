"""The monitor marks, asks for exits, and records days; it never writes a trade (rulings 12, 17, 19, 21)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal as D

import msgspec
import pytest

from tests.trading.domain.test_portfolio import trade_of
from tests.trading.domain.test_vectors import TRADE, closed_trade
from trading.domain.instruments import Instrument, Venue
from trading.domain.metrics import sharpe_ratio, sortino_ratio
from trading.domain.portfolio import DayTally, PortfolioState
from trading.domain.strategy import Desk, Pair, Strategy
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import DAY_US, MICROSECONDS, round12
from trading.engine.clock import EventClock
from trading.engine.findings import RECORD_INTERVAL_US
from trading.engine.monitor import Monitor
from trading.engine.snapshot import snapshot
from trading.stores.market_store import MarketQuote
from trading.stores.monitor_store import Reading, Watched

NOON_US = 20_000 * DAY_US + DAY_US // 2


def desk() -> Desk:
    venues = tuple(Venue(name, D("0.0002"), D("0.0005")) for name in ("a", "b"))
    instruments = tuple(
        Instrument(name, "BTCUSDT", "BTC", "USDT", "linear_perpetual", D("0.1"), D("0.0001")) for name in ("a", "b")
    )
    strategy = Strategy(
        prefix="strategy",
        name="Test",
        pairs=(Pair("a:BTCUSDT", "b:BTCUSDT"),),
        funding_convergence_threshold=D("0.0001"),
    )
    return Desk(venues, instruments, (strategy,))


class FakeStore:
    """Holds a portfolio in memory, with the same compare-and-set promise as the Redis store."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.written: list[Watched] = []
        self.past: dict[str, DayTally] = {}  # days that the state has forgotten

    def read(self) -> Reading:
        return self.reading

    def tallies(self, dates: Sequence[str]) -> dict[str, DayTally]:
        assert list(dates) == list(self.past)
        return self.past

    def write(self, reading: Reading, watched: Watched) -> dict[str, msgspec.Raw] | None:
        if reading.state is not self.reading.state:
            return None
        self.written.append(watched)
        self.reading = msgspec.structs.replace(self.reading, equity=msgspec.json.encode(watched.equity))
        return {"metrics": msgspec.Raw(b"{}"), "daily": msgspec.Raw(b"{}")}


class FakeMarket:
    def __init__(self, **quotes: MarketQuote) -> None:
        self.by_instrument = {f"{venue}:BTCUSDT": quote for venue, quote in quotes.items()}

    def quotes(self) -> Mapping[str, MarketQuote]:
        return self.by_instrument


class FakeCommands:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str, int]] = []

    def send_exits(self, prefix: str, exits: Sequence[tuple[str, str]], expires_us: int) -> None:
        self.sent += [(prefix, trade_id, reason, expires_us) for trade_id, reason in exits]


def active_trade(**changes: object) -> Trade:
    """Long 0.1176 from 42400, short from 42460; fees paid 0."""
    trade = closed_trade(TRADE["pnl_identity"])
    changes["long_order"] = msgspec.structs.replace(trade.long_order, exchange="a")
    changes["short_order"] = msgspec.structs.replace(trade.short_order, exchange="b")
    empty = {"orders": (), "funding_long_usd": D(0), "funding_short_usd": D(0), "status": TradeStatus.ACTIVE}
    return msgspec.structs.replace(trade, **{**empty, **changes})


def quote(price: str, rate: str | None = None, state: str = "ok", event_us: int = NOON_US) -> MarketQuote:
    return MarketQuote(
        bid=D(price), ask=D(price), funding_rate=None if rate is None else D(rate), event_us=event_us, state=state
    )


def watch(
    trade: Trade | None, market: FakeMarket, now_us: int = NOON_US
) -> tuple[Monitor, FakeStore, FakeCommands, EventClock]:
    trades = () if trade is None else (trade,)
    state = PortfolioState.new(D(20_000), NOON_US)
    for one in trades:
        state = state.opened(one)
    reading = Reading(state, trades, None, (), b"state", None, None)
    store, commands, clock = FakeStore(reading), FakeCommands(), EventClock(now_us)
    return Monitor(desk(), {"strategy": store}, market, commands, clock), store, commands, clock


def test_a_trade_at_its_profit_target_is_asked_to_exit_with_a_command_that_expires() -> None:
    # 5 bps of 5000 is 2.5; +0.1176 * (42440 - 42400) + 0.1176 * (42460 - 42410) = 10.584, minus fees 0.0005 of both
    monitor, store, commands, _ = watch(active_trade(), FakeMarket(a=quote("42440"), b=quote("42410")))
    tick = monitor.tick()
    assert commands.sent == [("strategy", "t", "profit_target", NOON_US + 3 * MICROSECONDS)]
    unrealised = tick.portfolios[0].findings.unrealised_usd
    assert unrealised == pytest.approx(D("10.584") - D("0.1176") * D("0.0005") * (D(42440) + D(42410)), abs=D("1e-9"))
    assert store.written


def test_a_trade_between_its_limits_is_left_alone() -> None:
    monitor, _, commands, _ = watch(active_trade(), FakeMarket(a=quote("42410"), b=quote("42450")))
    monitor.tick()
    assert commands.sent == []


@pytest.mark.parametrize("status", [TradeStatus.PENDING, TradeStatus.EXITING])
def test_only_active_trades_are_asked_to_exit(status: TradeStatus) -> None:
    monitor, _, commands, _ = watch(active_trade(status=status), FakeMarket(a=quote("42900"), b=quote("42000")))
    monitor.tick()
    assert commands.sent == []


@pytest.mark.parametrize(
    "market",
    [
        FakeMarket(a=quote("99999")),
        FakeMarket(a=quote("99999"), b=quote("42000", state="gapped")),
        FakeMarket(a=quote("99999"), b=quote("42000", event_us=NOON_US - 5_000_001)),  # 5 s is the limit
    ],
)
def test_a_missing_gapped_or_old_price_makes_marks_and_equity_unknown_and_triggers_nothing(market: FakeMarket) -> None:
    monitor, store, commands, _ = watch(active_trade(), market)
    tick = monitor.tick()
    findings = tick.portfolios[0].findings
    assert findings.unrealised_usd is None
    assert math.isnan(findings.marks.unrealised_usd[0])
    assert commands.sent == []
    assert findings.track.equity.last_equity == D(20_000)
    assert [row.equity_usd for row in store.written[-1].day_rows] == [None]
    assert snapshot(tick, 7, {"name": "test"}, {}, [], [])["portfolios"][0]["equity_usd"] is None


def test_converged_funding_exits_only_when_a_rate_is_known_on_both_legs() -> None:
    trade = active_trade(funding_delta_entry=D("0.001"))
    known = FakeMarket(a=quote("42410", "0.0001"), b=quote("42450", "0.0001"))
    monitor, _, commands, _ = watch(trade, known)
    monitor.tick()
    assert [reason for _, _, reason, _ in commands.sent] == ["funding_convergence"]
    missing = FakeMarket(a=quote("42410", "0.0001"), b=quote("42450"))
    monitor, _, commands, _ = watch(trade, missing)
    monitor.tick()
    assert commands.sent == []


def test_metrics_are_not_written_when_the_state_has_moved_on() -> None:
    monitor, store, _, _ = watch(None, FakeMarket())
    reading = store.reading
    moved = msgspec.structs.replace(reading, state=reading.state.opened(trade_of("z", "10", "0")))
    store.read = lambda: moved  # type: ignore[method-assign]
    assert monitor.tick().portfolios[0].documents is None
    assert store.written == []


def test_rows_are_recorded_at_most_once_a_minute_and_only_after_a_change() -> None:
    monitor, store, _, clock = watch(active_trade(), FakeMarket(a=quote("42410"), b=quote("42450")))
    monitor.tick()
    clock.move_to(NOON_US + 2 * RECORD_INTERVAL_US)
    monitor.tick()  # nothing has changed
    changed = store.reading.state.opened(trade_of("z", "10", "0"))
    store.reading = msgspec.structs.replace(store.reading, state=changed)
    monitor.tick()
    assert [len(watched.day_rows) for watched in store.written] == [1, 0, 1]


def test_the_first_tick_of_a_day_records_the_day_before() -> None:
    monitor, store, _, clock = watch(active_trade(), FakeMarket(a=quote("42410"), b=quote("42450")))
    first = monitor.tick().portfolios[0].findings
    clock.move_to(NOON_US + DAY_US)
    second = monitor.tick().portfolios[0].findings
    assert [day.date for day in second.finished] == [first.daily.date]
    assert second.daily.date > first.daily.date
    assert [row.daily.date for row in store.written[-1].day_rows] == [first.daily.date]
    assert store.written[-1].finished == second.finished
    assert len(second.track.equity.returns) == 1


def test_each_day_that_nobody_watched_is_recorded_with_the_equity_carried() -> None:
    """Four days later: the day of the last tick, three empty ones, and today."""
    market = FakeMarket(a=quote("42410"), b=quote("42450"))
    monitor, store, _, clock = watch(active_trade(), market)
    first = monitor.tick().portfolios[0].findings
    later_us = NOON_US + 4 * DAY_US
    market.by_instrument = {
        f"{name}:BTCUSDT": quote(price, event_us=later_us) for name, price in (("a", "42440"), ("b", "42410"))
    }
    clock.move_to(NOON_US + 4 * DAY_US)
    later = monitor.tick(record=True).portfolios[0].findings
    *ended, today = store.written[-1].day_rows
    assert [row.daily.date for row in ended] == ["2024-10-04", "2024-10-05", "2024-10-06", "2024-10-07"]
    assert today.daily.date == "2024-10-08"
    carried = first.track.equity.last_equity
    assert today.equity_usd is not None
    assert {row.equity_usd for row in ended} == {carried} != {today.equity_usd}
    assert {row.unrealised_usd for row in ended} == {first.unrealised_usd}
    assert [(row.daily.trades_executed, row.daily.win_rate, row.daily.max_drawdown) for row in ended[1:]] == [
        (0, None, 0)
    ] * 3
    # day returns: the first, 0, 0, 0, and today's from the carried equity
    day = round12(carried / 20_000 - 1)
    jump = round12(today.equity_usd / carried - 1)
    assert later.track.equity.returns == (day, 0, 0, 0)
    assert [row.daily.sharpe_ratio for row in ended] == [sharpe_ratio([day, *[D(0)] * empty]) for empty in range(4)]
    assert today.daily.sharpe_ratio == sharpe_ratio([day, D(0), D(0), D(0), jump])
    assert today.daily.sortino_ratio == sortino_ratio([day, D(0), D(0), D(0), jump])
    assert [day.date for day in store.written[-1].finished] == [row.daily.date for row in ended]


def test_a_monitor_that_was_never_there_records_every_day_since_the_portfolio_began() -> None:
    monitor, store, _, _ = watch(active_trade(), FakeMarket(a=quote("42410"), b=quote("42450")))
    began = msgspec.structs.replace(store.reading.state, started_us=NOON_US - 2 * DAY_US)
    store.reading = msgspec.structs.replace(store.reading, state=began)
    monitor.tick()
    rows = store.written[-1].day_rows
    assert [row.daily.date for row in rows] == ["2024-10-02", "2024-10-03", "2024-10-04"]
    assert [row.equity_usd for row in rows[:2]] == [began.starting_capital] * 2


def test_days_that_the_state_has_forgotten_are_summed_from_the_closed_trades() -> None:
    """The engine traded on while the monitor was off."""
    monitor, store, _, clock = watch(active_trade(), FakeMarket(a=quote("42410"), b=quote("42450")))
    monitor.tick()
    state = store.reading.state
    later = msgspec.structs.replace(state, day=DayTally("2024-10-07", 2, 1, 1), previous_day=DayTally("2024-10-06", 1))
    store.reading = msgspec.structs.replace(store.reading, state=later)
    store.past = {"2024-10-04": DayTally("2024-10-04", 5), "2024-10-05": DayTally("2024-10-05", 4)}
    clock.move_to(NOON_US + 4 * DAY_US)
    monitor.tick()
    executed = {row.daily.date: row.daily.trades_executed for row in store.written[-1].day_rows[:4]}
    assert executed == {"2024-10-04": 5, "2024-10-05": 4, "2024-10-06": 1, "2024-10-07": 2}


def test_the_snapshot_shows_each_open_trade_with_its_mark_and_queue_progress() -> None:
    monitor, _, _, _ = watch(active_trade(), FakeMarket(a=quote("42440"), b=quote("42410")))
    shown = snapshot(monitor.tick(), 7, {"name": "test"}, {}, [], ["an alarm"])
    part = shown["portfolios"][0]
    assert (shown["seq"], shown["alarms"], part["trades_total"]) == (7, ["an alarm"], 1)
    assert part["standing"] == ""
    row = part["trades"][0]
    assert row["unrealised_usd"] == "5.594820"  # 10.584 - 0.1176 * 0.0005 * 84850
    assert (row["long_progress"], row["long_status"]) == (1.0, "Filled")


def test_the_snapshot_says_that_a_strategy_is_switched_off_and_its_trades_are_watched_on() -> None:
    monitor, _, _, _ = watch(active_trade(), FakeMarket(a=quote("42440"), b=quote("42410")))
    tick = monitor.tick()
    off = msgspec.structs.replace(tick.portfolios[0].strategy, enabled=False)
    tick = msgspec.structs.replace(tick, portfolios=(msgspec.structs.replace(tick.portfolios[0], strategy=off),))
    part = snapshot(tick, 7, {"name": "test"}, {}, [], [])["portfolios"][0]
    assert (part["standing"], part["trades_total"]) == ("switched off: no new trades", 1)
