"""Redis lost its history: nothing durable is lost or overwritten, versions go on above, entries stop (ruling 29)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from results.models import TradeResult
from results.pipeline import sync as sync_module
from results.pipeline.invariants.check import check_invariants
from results.pipeline.loss import COMPARING, Losses
from results.pipeline.rebuild import HotTrades, NotHeld, Rebuild
from results.pipeline.report import SyncReport
from results.pipeline.verify.comparison import Kind
from results.stores import duck
from results.stores.clickhouse import ClickHouse
from results.stores.failures import CommitUnknown
from results.stores.gate import Gate
from results.stores.schema import TABLES
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import PREFIX, Portfolio
from tests.results.pipeline.own_redis import OwnRedis
from trading.domain.trades import Trade
from trading.models import OrderFill, PaperTrade
from trading.stores import keys
from trading.stores.command_store import HOLD, CommandStore
from trading.stores.floors import floors_of
from trading.stores.holds import Holds
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore

AHEAD = "9000000000000-0"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    """A Redis of the test's own."""
    server = OwnRedis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def side(own: OwnRedis, gate: Gate, clickhouse: ClickHouse, db: None) -> Side:
    """A durable side that follows it."""
    return Side(own.client, gate, clickhouse)


def resumed(side: Side, at_us: int) -> tuple[Portfolio, dict[str, Trade]]:
    """The portfolio as an engine that begins finds it, with its open trades."""
    portfolio = Portfolio.__new__(Portfolio)
    portfolio.store = PortfolioStore(side.client, PREFIX, Outbox(TABLES))
    state, trades = portfolio.store.load()
    assert state is not None
    portfolio.state, portfolio.at_us = state, at_us
    return portfolio, trades


def settle(side: Side) -> SyncReport:
    """Sync until another turn would do nothing, and the hot records were compared: a slow machine needs several."""
    report = side.settle()
    while (loss := Losses(side.client).last()) is not None and not loss.is_settled:
        report = side.sync.once().after(report)
    return report


def newest(side: Side, trade_id: str) -> dict[str, tuple[int, str, Any]]:
    """Version, status and net of a trade's newest row in each durable store."""
    query = f"SELECT version, status, actual_profit_usd FROM paper_trade WHERE id = '{trade_id}'"
    with side.gate.read() as connection:
        duckdb_row = connection.execute(query).fetchall()[0]
    mirrored = PaperTrade.objects.values_list("version", "status", "actual_profit_usd").get(pk=trade_id)
    return {"duckdb": duckdb_row, "django": mirrored, "clickhouse": tuple(side.clickhouse.rows(query)[0])}


def versions_in_log(side: Side, trade_id: str) -> list[tuple[int, str]]:
    """All versions of a trade, in the order in which the log took them."""
    with side.gate.read() as connection:
        return connection.execute(
            "SELECT version, status FROM paper_trade_log WHERE id = ? ORDER BY seq", [trade_id]
        ).fetchall()


def holds_sent(side: Side) -> list[str]:
    """The reasons of the holds that the engine was told, oldest first; empty where it may go on."""
    return [command.reason for command in CommandStore(side.client).read("0/1") if command.kind == HOLD]


def put_back_to_an_open_trade(side: Side, own: OwnRedis) -> tuple[Portfolio, Trade]:
    """A Redis that is older than the durable stores: in it the trade is open, in them it is closed."""
    portfolio = Portfolio(side.client)
    trade = portfolio.opened(1)
    settle(side)
    own.copy()
    portfolio.closed(trade)
    settle(side)
    own.restore()
    return portfolio, trade


def test_an_older_copy_that_was_put_back_overwrites_nothing_and_holds_the_portfolio(side: Side, own: OwnRedis) -> None:
    portfolio = Portfolio(side.client)
    portfolio.closed(portfolio.opened(1))
    second = portfolio.opened(2)
    before = settle(side)
    own.copy()
    ended = portfolio.closed(second)  # version 4; the copy has it Active at version 2
    third = portfolio.opened(3)  # the copy does not know it
    assert settle(side).is_level
    lost = newest(side, ended.id)
    assert {row[:2] for row in lost.values()} == {(4, "Closed")}

    own.restore()
    report = side.new_sync().once()
    assert report.epoch_began
    assert report.epoch != before.epoch
    assert settle(side).is_level
    assert newest(side, ended.id) == lost
    assert {row[:2] for row in newest(side, third.id).values()} == {(2, "Active")}
    assert [version for version, _ in versions_in_log(side, ended.id)] == [1, 2, 4]  # nothing was taken in twice

    reason = Holds(side.client).of_loss()[PREFIX]
    assert "1 trades there are older than in the durable stores, 1 open and 0 closed ones are missing" in reason
    assert holds_sent(side)[-1] == reason
    verified = side.verifier().run()
    assert [(each.store, each.key, each.kind) for each in verified.differences] == [("redis", ended.id, Kind.OLDER)]


def test_what_is_written_afterwards_gets_versions_above_all_that_are_durable(side: Side, own: OwnRedis) -> None:
    portfolio, trade = put_back_to_an_open_trade(side, own)
    settle(side)

    floors = floors_of(side.client).versions
    assert floors["paper_trade"] > 4
    portfolio, trades = resumed(side, portfolio.at_us)
    again = portfolio.closed(trades[trade.id], long_exit="39000")  # the same versions, other content
    assert settle(side).is_level
    found = newest(side, trade.id)
    assert len(set(found.values())) == 1
    version, status, net = found["duckdb"]
    assert (version > floors["paper_trade"], status, net) == (True, "Closed", again.actual_profit_usd)
    assert versions_in_log(side, trade.id)[:3] == [(1, "Pending"), (2, "Active"), (4, "Closed")]
    for result in TradeResult.objects.filter(role="exit"):
        assert result.version > floors["trade_result"]
        assert side.client.hget(keys.result(str(result.pk)), "version") == str(result.version).encode()
    assert side.verifier().run().differences == []


def test_what_was_written_before_the_loss_was_noticed_is_taken_in_above_what_was_lost(
    side: Side, own: OwnRedis
) -> None:
    portfolio, trade = put_back_to_an_open_trade(side, own)
    portfolio, trades = resumed(side, portfolio.at_us)
    again = portfolio.closed(trades[trade.id], long_exit="39000")  # version 4 again, before anybody looked

    assert settle(side).is_level
    found = newest(side, trade.id)
    assert len(set(found.values())) == 1
    assert found["duckdb"] == (5, "Closed", again.actual_profit_usd)
    assert versions_in_log(side, trade.id) == [(1, "Pending"), (2, "Active"), (4, "Closed"), (5, "Closed")]
    assert side.verifier().run().differences == []  # the hot records were brought up to these versions
    assert Holds(side.client).of_loss() == {}  # nothing is older or missing: it goes on by itself
    assert holds_sent(side)[-1] == ""


def test_an_emptied_redis_loses_nothing_durable_and_begins_above_it(side: Side, own: OwnRedis) -> None:
    portfolio = Portfolio(side.client)
    trade = portfolio.opened(1)
    portfolio.closed(portfolio.opened(2))
    settle(side)
    with side.gate.read() as connection:
        durable = duck.head(connection)
    own.wipe()
    report = settle(side)
    assert report.epoch_began
    reason = Holds(side.client).of_loss()[PREFIX]  # of a portfolio that Redis does not even know
    assert "0 trades there are older than in the durable stores, 1 open and 1 closed ones are missing" in reason
    again = Portfolio(side.client)
    assert again.store.held_for() == reason
    again.opened(1)  # the same id, from version 1 on
    assert settle(side).is_level
    versions = [version for version, _ in versions_in_log(side, trade.id)]
    assert versions[:2] == [1, 2]
    assert min(versions[2:]) > max(versions[:2])
    with side.gate.read() as connection:
        assert connection.execute("SELECT count(*) FROM paper_trade_log WHERE seq <= ?", [durable]).fetchone() == (5,)
    assert not side.new_sync().once().epoch_began


def test_a_portfolio_goes_on_once_somebody_accepts_what_redis_has(side: Side, own: OwnRedis) -> None:
    portfolio, trade = put_back_to_an_open_trade(side, own)
    settle(side)
    rebuild = Rebuild(side.client, side.gate)
    with pytest.raises(NotHeld, match="'other' is not held for a loss of Redis's history; held are: strategy"):
        rebuild.accept("other")
    assert rebuild.accept(PREFIX) == 1
    assert Holds(side.client).of_loss() == {}
    assert holds_sent(side)[-1] == ""
    settle(side)
    version, status, _ = newest(side, trade.id)["clickhouse"]
    assert (version > floors_of(side.client).versions["paper_trade"], status) == (True, "Active")
    assert side.verifier().run().differences == []
    with pytest.raises(NotHeld, match="held are: none"):
        rebuild.accept(PREFIX)


def test_a_trade_that_moves_while_it_is_being_accepted_is_taken_as_it_is_then(side: Side, own: OwnRedis) -> None:
    portfolio, trade = put_back_to_an_open_trade(side, own)
    settle(side)
    hot = HotTrades(side.client, side.gate)
    (older,) = [each for batch in hot.older(PREFIX) for each in batch]
    side.client.set(older.key, older.raw.replace(b"{", b"{ ", 1))  # it moved, and is still older
    assert hot.emit_anew(older)
    settle(side)
    assert newest(side, trade.id)["duckdb"][1] == "Active"
    portfolio, trades = resumed(side, portfolio.at_us)
    portfolio.closed(trades[trade.id])  # it moved, and is newer
    assert not hot.emit_anew(older)
    settle(side)
    assert newest(side, trade.id)["duckdb"][1] == "Closed"


def test_result_hashes_that_are_older_get_the_newest_durable_rows(side: Side, own: OwnRedis) -> None:
    portfolio = Portfolio(side.client)
    portfolio.opened(1)
    settle(side)
    source = side.client.keys(keys.RESULT_PATTERN)[0]
    own.copy()
    side.client.hset(source, "pnl", "1.5")  # another program corrects it; the sweep takes it in as version 2
    settle(side)
    newer = side.client.hmget(source, ["pnl", "version", "row_hash"])
    own.restore()
    assert side.client.hget(source, "pnl") != b"1.5"
    report = settle(side)
    assert report.rebuilt == 1
    assert side.client.hmget(source, ["pnl", "version", "row_hash"]) == newer
    assert side.verifier().run().differences == []
    assert Holds(side.client).of_loss() == {}


def test_a_lost_epoch_alone_holds_nobody_for_long(side: Side) -> None:
    portfolio = Portfolio(side.client)
    portfolio.closed(portfolio.opened(1))
    portfolio.opened(2)
    length = settle(side).appended
    side.client.delete(keys.OUTBOX_EPOCH)
    report = settle(side)
    assert (report.epoch_began, report.appended, report.is_level) == (True, 0, True)
    assert holds_sent(side) == [""]
    assert Holds(side.client).of_loss() == {}
    assert sum(side.log_length(table) for table in TABLES) == length
    assert side.verifier().run().differences == []


def test_more_survivors_than_one_turn_takes_are_not_taken_in_twice(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "BATCHES_PER_TURN", 1)
    for number in range(4_100):
        side.emit("result_metrics", number)
    settle(side)
    side.client.delete(keys.OUTBOX_EPOCH)
    side.emit("result_metrics", 5_000)
    assert settle(side).appended == 1
    assert side.log_length("result_metrics") == 4_101


def test_an_entry_of_other_content_under_the_id_that_was_read_last_is_noticed(side: Side) -> None:
    side.emit("trade_result", 1)
    stream_id = side.emit("trade_result", 2)
    settle(side)
    side.client.delete(keys.OUTBOX)
    side.emit("trade_result", 3)
    (_, other), *_ = side.entries()
    side.client.delete(keys.OUTBOX)
    side.add(other, stream_id)
    side.emit("trade_result", 4)
    assert settle(side).epoch_began
    assert side.log_length("trade_result") == 4


def test_newer_entries_do_not_hide_that_older_ones_were_lost(side: Side) -> None:
    for number in (1, 2, 3):
        last = side.emit("trade_result", number)
    settle(side)
    side.client.xdel(keys.OUTBOX, last)
    side.emit("trade_result", 4)  # the stream ends behind the log's mark again
    report = settle(side)
    assert (report.epoch_began, report.appended) == (True, 1)


def test_ids_ahead_of_the_clock_are_no_loss_and_a_lowered_last_id_is(side: Side) -> None:
    side.emit("trade_result", 1)
    settle(side)
    (_, entry), *_ = side.entries()
    ahead = 9_000_000_000_000
    side.add(entry, f"{ahead}-0")
    side.emit("trade_result", 2)  # Redis goes on from there, whatever its clock says
    assert not settle(side).epoch_began
    side.client.xtrim(keys.OUTBOX, maxlen=0, approximate=False)
    side.client.execute_command("XSETID", keys.OUTBOX, "1700000000000-0")
    assert settle(side).epoch_began
    side.emit("trade_result", 3)
    assert not settle(side).epoch_began
    assert TradeResult.objects.count() == 3


def test_ids_that_an_older_copy_gives_again_do_not_hide_the_loss(side: Side, own: OwnRedis) -> None:
    side.add({"table": "written by a clock that was ahead"}, AHEAD)  # whatever the clock says, ids go on from here
    side.emit("trade_result", 1)
    settle(side)
    own.copy()
    side.emit("trade_result", 2)
    last_read = side.add({"table": "no row, so that the log has nothing to compare"})
    settle(side)
    own.restore()
    again = [side.emit("trade_result", number) for number in (3, 4, 5)]
    assert again[1] == last_read
    assert settle(side).epoch_began
    assert side.log_length("trade_result") == 5
    assert not settle(side).epoch_began


def test_what_was_written_under_ids_that_were_read_before_is_taken_in(side: Side, own: OwnRedis) -> None:
    side.add({"table": "written by a clock that was ahead"}, AHEAD)
    portfolio, trade = put_back_to_an_open_trade(side, own)
    portfolio, trades = resumed(side, portfolio.at_us)
    again = portfolio.closed(trades[trade.id], long_exit="39000")  # versions and ids of what was lost

    assert settle(side).epoch_began
    assert set(newest(side, trade.id).values()) == {(5, "Closed", again.actual_profit_usd)}
    assert side.verifier().run().differences == []


def test_fills_of_both_histories_are_told_and_no_violation(side: Side, own: OwnRedis) -> None:
    portfolio, trade = put_back_to_an_open_trade(side, own)
    settle(side)
    portfolio, trades = resumed(side, portfolio.at_us)
    ahead = msgspec.structs.replace(trades[trade.id], version=3)  # the fills of the same orders get other ids
    again = portfolio.closed(ahead, long_exit="39000")
    settle(side)
    assert OrderFill.objects.filter(order_id__in=[order.id for order in again.orders]).count() == 4
    report = check_invariants(side.client, side.gate)
    assert (report.violations, len(report.lost_history)) == ([], 2)
    assert "(0.1 at 40020) is of a history that Redis lost" in "".join(each.sentence for each in report.lost_history)
    side.client.delete(keys.OUTBOX_LOSS)  # of no loss known, every fill counts
    assert {each.rule for each in check_invariants(side.client, side.gate).violations} == {"fills"}


def test_an_epoch_whose_beginning_broke_off_is_gone_on_with(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    side.emit("trade_result", 1)
    settle(side)
    side.client.delete(keys.OUTBOX_EPOCH)
    with monkeypatch.context() as broken:

        def refuse(*_: Any, **__: Any) -> Any:
            raise CommitUnknown("DuckDB failed at COMMIT")

        broken.setattr(duck, "append", refuse)
        assert "DuckDB failed at COMMIT" in str(side.sync.once().followers["duckdb"].error)
    begun = Losses(side.client).last()
    assert begun is not None
    report = side.new_sync().once()
    assert (report.epoch, report.appended) == (begun.epoch, 0)
    assert side.log_length("trade_result") == 1


def test_a_second_loss_begins_another_epoch_with_higher_floors(side: Side) -> None:
    portfolio = Portfolio(side.client)
    portfolio.opened(1)
    settle(side)
    floors = []
    for number in (2, 3):
        side.client.delete(keys.OUTBOX_EPOCH)
        assert settle(side).epoch_began
        floors.append(floors_of(side.client).versions["paper_trade"])
        portfolio.opened(number)  # the same store: it hears of the floors by the step that they refuse
        settle(side)
    assert floors[1] > floors[0] > 2
    versions = [row.version for row in PaperTrade.objects.order_by("version")]
    assert versions[0] == 2
    assert versions[1] > floors[0]
    assert versions[2] > floors[1]
    assert side.verifier().run().differences == []


def test_the_hold_says_so_until_the_comparison_is_done(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    Portfolio(side.client).opened(1)
    settle(side)
    side.client.delete(keys.OUTBOX_EPOCH)
    monkeypatch.setattr(Rebuild, "once", lambda *_: 0)
    side.sync.once()
    assert Holds(side.client).of_loss() == {PREFIX: COMPARING}
    loss = Losses(side.client).last()
    assert loss is not None and not loss.is_settled
