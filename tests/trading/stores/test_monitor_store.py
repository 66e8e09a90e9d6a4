"""What the monitor reads and writes, on a real Redis."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.trading.stores import made
from trading.domain.metrics import EquityTrack, daily_metrics, portfolio_metrics
from trading.domain.portfolio import DayTally
from trading.stores import keys
from trading.stores.errors import LeaseLost
from trading.stores.keys import PortfolioKeys
from trading.stores.lease import Lease
from trading.stores.monitor_store import DayRow, MarkList, MonitorStore, SnapshotStore, Watched
from trading.stores.outbox import row_of_text
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Transition

D = Decimal
OF = PortfolioKeys("strategy")
AT_US = made.NOON_US + 1_000_000


@pytest.fixture
def engine(redis_client: Any) -> PortfolioStore:
    store = PortfolioStore(redis_client, "strategy", made.OUTBOX)
    store.create(made.state_of())
    trade = made.active_trade()
    store.commit(Transition(operation_id="open", at_us=1, state=made.state_of(trade), trades=(trade,)))
    return store


@pytest.fixture
def monitor(engine: PortfolioStore, redis_client: Any) -> MonitorStore:
    return MonitorStore(redis_client, "strategy", made.OUTBOX)


def watched(date: str = "2024-08-08", **changes: Any) -> Watched:
    state = made.state_of(made.active_trade())
    track = EquityTrack.new(D(20000), AT_US)
    daily = daily_metrics(state, DayTally(date), track)
    found = Watched(
        metrics=portfolio_metrics(state, AT_US),
        daily=daily,
        marks=MarkList(AT_US, (made.active_trade(),), [-1.5], [math.nan]),
        equity=track,
        day_rows=(DayRow(daily, state, AT_US, D("-1.5"), D("19998.5")),),
    )
    return msgspec.structs.replace(found, **changes)


def everything(client: Any) -> dict[bytes, bytes]:
    names = [name for name in client.keys("*") if not name.startswith(b"paperdesk:operation:")]
    return {name: client.dump(name) for name in names}


def test_a_portfolio_without_a_state_is_none(redis_client: Any) -> None:
    assert MonitorStore(redis_client, "strategy", made.OUTBOX).read() is None


def test_it_reads_state_open_trades_and_the_newest_leg_outs(monitor: MonitorStore, redis_client: Any) -> None:
    redis_client.lpush(OF.leg_out_events, made.document("leg_out_event.json"))
    reading = monitor.read()
    assert reading is not None
    assert (reading.state, reading.trades) == (made.state_of(made.active_trade()), (made.active_trade(),))
    assert [bytes(element) for element in reading.leg_outs] == [made.document("leg_out_event.json")]
    assert reading.equity is None
    again = monitor.read()
    assert again is not None and again.trades[0] is reading.trades[0], "an unchanged record is parsed once"


def test_trades_are_oldest_first_and_an_unreadable_one_is_named(monitor: MonitorStore, redis_client: Any) -> None:
    redis_client.sadd(OF.active_trades, "another", "broken")
    older = made.document("trade_active.json").replace(made.TRADE_ID.encode(), b"another")
    redis_client.set(OF.active_trade("another"), older)
    reading = monitor.read()
    assert reading is not None
    assert [trade.id for trade in reading.trades] == ["another", made.TRADE_ID]
    assert list(monitor.unreadable) == [OF.active_trade("broken")]


def test_one_step_writes_metrics_daily_marks_equity_and_durable_rows(monitor: MonitorStore, redis_client: Any) -> None:
    redis_client.delete(keys.OUTBOX)
    redis_client.hset(OF.marks, "a closed trade", "{}")
    reading = monitor.read()
    assert reading is not None
    documents = monitor.write(reading, watched())
    assert documents is not None
    assert bytes(documents["metrics"]) == redis_client.get(OF.metrics)
    assert bytes(documents["daily"]) == redis_client.get(OF.daily)
    assert json.loads(redis_client.get(OF.daily))["date"] == "2024-08-08"
    marks = redis_client.hgetall(OF.marks)
    assert marks.pop(b"listing")
    assert marks == {
        b"at_us": str(AT_US).encode(),
        b"trade_ids": json.dumps([made.TRADE_ID]).encode(),
        b"unrealised_usd": b"[-1.5]",
        b"spread_bps": b"[null]",
    }
    after = monitor.read()
    assert after is not None and after.equity is not None
    assert msgspec.json.decode(after.equity, type=EquityTrack) == EquityTrack.new(D(20000), AT_US)
    written = {}
    for _, fields in redis_client.xrange(keys.OUTBOX):
        table = made.OUTBOX.table(fields[b"table"].decode())
        written[table.name] = row_of_text(table.columns, fields[b"row"])
    assert sorted(written) == ["daily_metrics", "portfolio_snapshot"]
    assert written["daily_metrics"]["id"] == written["portfolio_snapshot"]["id"] == "strategy:2024-08-08"
    assert written["daily_metrics"]["win_rate"] is None, "undefined is null in durable stores"
    assert written["portfolio_snapshot"]["equity_usd"] == D("19998.5")


def test_nothing_is_written_when_the_engine_has_moved_on(
    monitor: MonitorStore, engine: PortfolioStore, redis_client: Any
) -> None:
    reading = monitor.read()
    assert reading is not None
    state = made.state_of(made.active_trade()).legged_out(AT_US, D(1))
    engine.commit(Transition(operation_id="next", at_us=2, state=state))
    before = everything(redis_client)
    assert monitor.write(reading, watched()) is None
    assert everything(redis_client) == before


def test_nothing_is_written_when_another_program_changed_the_state(monitor: MonitorStore, redis_client: Any) -> None:
    reading = monitor.read()
    assert reading is not None
    redis_client.set(OF.state, reading.state_raw.replace(b"{", b'{"note":1,', 1))
    before = everything(redis_client)
    assert monitor.write(reading, watched()) is None
    assert everything(redis_client) == before


def test_nothing_is_written_without_the_lease(monitor: MonitorStore, redis_client: Any) -> None:
    lease = Lease(redis_client, "monitor", "me")
    fenced = MonitorStore(redis_client, "strategy", made.OUTBOX, lease)
    lease.acquire()
    redis_client.delete(lease.key)
    reading = fenced.read()
    assert reading is not None
    before = everything(redis_client)
    with pytest.raises(LeaseLost):
        fenced.write(reading, watched())
    assert everything(redis_client) == before


def test_a_finished_day_is_kept_under_its_date_with_its_annotations(monitor: MonitorStore, redis_client: Any) -> None:
    reading = monitor.read()
    assert reading is not None
    yesterday = watched().daily
    monitor.write(reading, watched())
    redis_client.set(OF.daily, redis_client.get(OF.daily).replace(b"{", b'{"note":7.0,', 1))
    reading = monitor.read()
    assert reading is not None
    monitor.write(reading, watched("2024-08-09", finished=(yesterday,)))
    archived, today = redis_client.get(OF.daily_of("2024-08-08")), redis_client.get(OF.daily)
    assert json.loads(archived)["date"] == "2024-08-08" and b'"note":7.0' in archived
    assert json.loads(today)["date"] == "2024-08-09" and b"note" not in today


def test_annotations_of_metrics_survive_the_next_tick(monitor: MonitorStore, redis_client: Any) -> None:
    for key in (OF.metrics, OF.daily):
        raw = redis_client.get(key) or made.document("metrics_daily.json").replace(b"2024-01-01", b"2024-08-08")
        redis_client.set(key, raw.replace(b"{", b'{"note":7.0,', 1))
    reading = monitor.read()
    assert reading is not None and monitor.write(reading, watched()) is not None
    assert b'"note":7.0' in redis_client.get(OF.metrics) and b'"note":7.0' in redis_client.get(OF.daily)


def test_the_ids_of_marked_trades_are_written_only_when_they_differ(monitor: MonitorStore, redis_client: Any) -> None:
    first = monitor.read()
    assert first is not None and first.listing is None and monitor.write(first, watched()) is not None
    redis_client.hset(OF.marks, "trade_ids", "[]")  # a trace: who writes the ids again removes it
    second = monitor.read()
    assert second is not None and monitor.write(second, watched()) is not None
    assert redis_client.hget(OF.marks, "trade_ids") == b"[]"
    third = monitor.read()
    two = (made.pending_trade("a"), made.pending_trade("b"))
    others = MarkList(AT_US, two, [1.0, 2.0], [0.5, 0.25])
    assert third is not None and monitor.write(third, watched(marks=others)) is not None
    assert json.loads(redis_client.hget(OF.marks, "trade_ids")) == ["a", "b"]


def test_marks_that_somebody_removed_are_not_left_without_their_ids(monitor: MonitorStore, redis_client: Any) -> None:
    reading = monitor.read()
    assert reading is not None and monitor.write(reading, watched()) is not None
    reading = monitor.read()
    redis_client.delete(OF.marks)
    assert reading is not None and monitor.write(reading, watched()) is None
    reading = monitor.read()
    assert reading is not None and monitor.write(reading, watched()) is not None
    assert redis_client.hexists(OF.marks, "trade_ids")


def test_the_snapshot_and_the_followers_are_read_back(redis_client: Any) -> None:
    store = SnapshotStore(redis_client)
    assert store.newest() is None and store.sync() == {}
    store.publish(b'{"seq":1}')
    redis_client.hset(keys.SYNC, "duckdb", '{"lag":3}')
    assert store.newest() == b'{"seq":1}' and store.sync() == {"duckdb": {"lag": 3}}


def test_past_days_are_summed_from_the_records(
    monitor: MonitorStore, engine: PortfolioStore, redis_client: Any
) -> None:
    """A day with a close and a leg-out, and one with nothing; what cannot be read counts as nothing."""
    closed = msgspec.structs.replace(made.closed_trade(), version=2, leg_out=made.leg_out())
    after = made.state_of(made.active_trade()).legged_out(AT_US, D("1.2348")).closed(closed, D(0), D(0))
    engine.commit(Transition(operation_id="close", at_us=2, state=after, trades=(closed,)))
    redis_client.zadd(OF.closed_index, {"garbled": made.NOON_US})
    redis_client.set(OF.closed_trade("garbled"), "{")
    assert after.day is not None
    assert monitor.tallies(["2024-08-07", "2024-08-08"]) == {
        "2024-08-07": DayTally("2024-08-07"),
        "2024-08-08": after.day,
    }
