"""Closed trades leave Redis by age, when every store has them, and everything still adds up without them."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest

from paperdesk.archive.hold import held
from results.models import TradeReconciliation
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.durable_rows import DurableRows
from results.pipeline.invariants.check import check_invariants
from results.pipeline.keep.confirmed import ConfirmedRows
from results.pipeline.keep.trade_archive import MOVED, TradeArchive
from results.pipeline.mirror import DjangoTables
from tests.results.pipeline.foreign import settle
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import Portfolio
from trading.domain.trades import Trade
from trading.domain.units import DAY_US
from trading.models import PaperTrade
from trading.selectors import trade_page
from trading.stores.archive_store import ArchiveStore, decode_archived
from trading.stores.transition import Transition

KEPT = 2
DAY = "2024-08-08"  # of the made trades


class Desk:
    """Five closed trades, one of them legged out, of which the state lists the last two; one is open."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.portfolio = Portfolio(side.client)
        self.keys = self.portfolio.store.keys
        self.closed = [self.portfolio.closed(self.portfolio.opened(number)) for number in range(2)]
        self.closed.append(self.portfolio.legged_out(2))
        self.closed += [self.portfolio.closed(self.portfolio.opened(number), long_exit="39000") for number in (3, 4)]
        self.open = self.portfolio.opened(5)
        self.list_only(KEPT)
        settle(side)
        side.client.set(self.keys.daily_of(DAY), "{}")
        self.now_us = max(trade.exit_us or 0 for trade in self.closed) + 8 * DAY_US

    def archive(self, days: int = 7, **options: Any) -> tuple[int, dict[str, int]]:
        """A run, as another process would do it."""
        side = self.side
        followers = (DjangoTables(), ClickHouseTables(lambda: side.clickhouse, lambda: side.gate))
        confirmed = ConfirmedRows(side.gate, followers, lambda: side.clickhouse)
        return TradeArchive(side.client, confirmed, DurableRows(side.gate), days * DAY_US).once(self.now_us, **options)

    def records(self) -> set[str]:
        found: list[bytes] = list(self.side.client.scan_iter(self.keys.closed_pattern))
        return {key.decode().rpartition(":")[2] for key in found}

    def violations(self) -> list[Any]:
        return check_invariants(self.side.client, self.side.gate).violations

    def change(self, trade: Trade, **fields: Any) -> None:
        """Another program changes a record."""
        key = self.keys.closed_trade(trade.id)
        raw: Any = self.side.client.get(key)
        self.side.client.set(key, msgspec.json.encode({**msgspec.json.decode(raw), **fields}))

    def list_only(self, count: int) -> None:
        state = self.portfolio.state
        state = msgspec.structs.replace(state, closed_trades=state.closed_trades[:count])
        at_us = self.portfolio.at_us
        self.portfolio.store.commit(Transition(operation_id=str(uuid.uuid4()), at_us=at_us, state=state))
        self.portfolio.state = state


@pytest.fixture
def desk(side: Side) -> Desk:
    made = Desk(side)
    assert not made.violations()
    return made


@pytest.mark.both_databases
def test_old_trades_go_and_everything_still_adds_up(desk: Desk) -> None:
    assert desk.archive() == (3, {"listed in the portfolio's state": KEPT})
    assert desk.records() == {trade.id for trade in desk.closed[3:]}
    assert not desk.violations()
    client = desk.side.client
    client.delete(desk.keys.daily_of(DAY))  # no monitor wrote it
    assert desk.side.verifier().run().verdict == "agree"
    by_exit: Any = client.zrange(desk.keys.archived_index, 0, -1)
    assert [each.decode() for each in by_exit] == [trade.id for trade in desk.closed[:3]]
    raw: Any = client.get(desk.keys.archived)
    gone = decode_archived(raw)
    nets = [trade.actual_profit_usd for trade in desk.closed[:3]]
    assert (gone.trades, gone.counted, gone.wins, gone.losses, gone.leg_outs) == (3, 3, 0, 3, 1)
    assert gone.net_usd == sum(net for net in nets if net is not None)
    assert desk.archive() == (0, {"listed in the portfolio's state": KEPT})


def test_the_portfolio_trades_on_and_the_archive_follows(desk: Desk) -> None:
    desk.archive()
    desk.portfolio.closed(desk.open)
    settle(desk.side)
    assert not desk.violations()
    desk.list_only(1)
    desk.now_us += 10 * DAY_US
    assert desk.archive()[0] == 2
    assert not desk.violations()


def test_the_page_of_an_archived_trade_tells_it_from_the_tables(desk: Desk) -> None:
    desk.archive()
    trade = desk.closed[2]
    page = trade_page(uuid.UUID(trade.id), lambda: desk.side.client)
    assert page is not None
    assert (page.facts.actual_profit_usd, page.is_open, page.trouble) == (trade.actual_profit_usd, False, "")
    assert (len(page.results), page.leg_out is not None, page.reconciliation is not None) == (3, True, True)


def test_nothing_goes_before_its_time(desk: Desk) -> None:
    assert desk.archive(days=9) == (0, {})
    assert len(desk.records()) == 5


def test_what_is_not_the_same_everywhere_stays(desk: Desk) -> None:
    first, second, third = desk.closed[:3]
    PaperTrade.objects.filter(pk=first.id).update(row_hash=1)
    desk.change(second, note="look at this")
    TradeReconciliation.objects.filter(pk=third.id).delete()
    archived, stay = desk.archive()
    reasons = {"not level in every store": 1, "fields that no store has": 1, "not reconciled": 1}
    assert (archived, stay) == (0, {**reasons, "listed in the portfolio's state": KEPT})
    assert len(desk.records()) == 5


def test_trades_of_a_day_that_the_monitor_has_not_finished_stay(desk: Desk) -> None:
    desk.side.client.delete(desk.keys.daily_of(DAY))
    assert desk.archive()[1]["its day is not over for the monitor"] == 3


def test_a_record_that_says_something_else_than_its_row_stays(desk: Desk) -> None:
    desk.change(desk.closed[0], actual_profit_usd=1_000_000)
    assert desk.archive()[1]["not level in every store"] == 1
    assert desk.closed[0].id in desk.records()


def test_a_record_that_changed_after_it_was_read_stays(desk: Desk) -> None:
    trade = desk.closed[0]
    store = ArchiveStore(desk.side.client, desk.keys.prefix)
    _, exit_us, raw = store.oldest(desk.now_us, 0, 1)[0]
    assert raw is not None
    desk.change(trade, note="new")
    assert not store.archive(trade, exit_us, raw)
    assert (trade.id in desk.records(), desk.side.client.exists(desk.keys.archived)) == (True, 0)


def test_while_a_backup_runs_nothing_goes(desk: Desk) -> None:
    with held(desk.side.client):
        assert desk.archive()[1][MOVED] == 3
    assert desk.archive()[0] == 3


def test_a_lost_archive_index_is_noticed(desk: Desk) -> None:
    desk.archive()
    desk.side.client.zrem(desk.keys.archived_index, desk.closed[0].id)
    sentences = [violation.sentence for violation in desk.violations()]
    assert sentences == ["it counts 3 archived trades, the index has 2"]
