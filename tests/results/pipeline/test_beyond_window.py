"""A desk whose trades are older than what Redis and the Django tables keep: the log is asked, and all still holds."""

from __future__ import annotations

import msgspec
import pytest
from django.contrib.auth.models import User
from django.db import connection

from paperdesk.mirror import window_began
from results.domain.outcomes import result_id_of
from results.domain.review import Basis, CaseState, Reason, Resolution
from results.models import TradeReconciliation, TradeReconciliationBreak, TradeResult
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.durable_rows import DurableRows
from results.pipeline.invariants.check import check_invariants
from results.pipeline.keep.confirmed import ConfirmedRows
from results.pipeline.keep.retention import Limits, Retained, Retention
from results.pipeline.keep.trade_archive import TradeArchive
from results.pipeline.keep.window import Window
from results.pipeline.mirror import DjangoTables, model_of
from results.pipeline.verify.look import Look, PartLook
from results.pipeline.verify.sources import Part
from results.review.services import Wanted, case_approve, case_propose
from results.review_models import ReviewCase
from results.stores.schema import TABLES
from tests.results.pipeline.foreign import settle
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import Portfolio
from trading.domain.trades import Trade
from trading.domain.units import DAY_US
from trading.stores import keys
from trading.stores.transition import Transition

DAYS = 90
MIRRORED = [name for name, table in TABLES.items() if not table.is_born]


class OldDesk:
    """Four closed trades, one legged out, and an open one. A hundred days later only Redis's records of trades, the
    log and ClickHouse have something of the closed ones."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.follower = ClickHouseTables(lambda: side.clickhouse, lambda: side.gate)
        self.portfolio = Portfolio(side.client)
        self.keys = self.portfolio.store.keys
        self.closed = [self.portfolio.closed(self.portfolio.opened(number)) for number in range(3)]
        self.closed.append(self.portfolio.legged_out(3))
        self.open = self.portfolio.opened(4)
        settle(side)
        self.days_later(100)

    def days_later(self, days: int) -> Retained:
        """That many days pass: the retention, the window and the trimming have their turns."""
        self.side.now_us += days * DAY_US
        retained = self.retain()
        self.side.client.xtrim(keys.OUTBOX, maxlen=1, approximate=False)
        self.prune()
        return retained

    def prune(self) -> None:
        """What people still have to decide on stays, so they do."""
        self.decide()
        Window(self.side.gate, lambda: self.side.clickhouse, self.follower, DAYS, lambda: self.side.now_us).run()

    def decide(self) -> None:
        """Two people accept whatever failed."""
        maker, checker = (User.objects.get_or_create(username=name, is_superuser=True)[0] for name in ("mara", "carl"))
        for case in ReviewCase.objects.filter(state=CaseState.OPEN):
            basis = Basis(case.reconciliation_version, case.reconciliation_hash)
            wanted = Wanted(Resolution.ACCEPT, Reason.THIN_BOOK, basis)
            case_propose(case.pk, wanted, maker, self.side.now_us)
            case_approve(case.pk, "", checker, self.side.now_us)
        settle(self.side)

    def retain(self) -> Retained:
        return Retention(self.side.client, self.confirmed(), Limits(DAY_US, 50_000)).once(self.side.now_us)

    def confirmed(self) -> ConfirmedRows:
        return ConfirmedRows(self.side.gate, (DjangoTables(), self.follower), lambda: self.side.clickhouse)

    def archive(self) -> tuple[int, dict[str, int]]:
        durable = DurableRows(self.side.gate)
        return TradeArchive(self.side.client, self.confirmed(), durable, DAY_US).once(self.side.now_us)

    def found(self) -> set[tuple[str, str]]:
        """Rule and key of each violation."""
        report = check_invariants(self.side.client, self.side.gate)
        return {(violation.rule, violation.key) for violation in report.violations}

    def in_log(self, statement: str, about: str) -> None:
        """Damage the log."""
        with self.side.gate.write() as log:
            assert log.execute(statement, [about]).fetchall()[0][0] >= 1

    def unlist(self) -> None:
        """More than a hundred have closed since, so that the state lists none of these."""
        state = msgspec.structs.replace(self.portfolio.state, closed_trades=())
        self.portfolio.store.commit(Transition(operation_id="unlist", at_us=self.portfolio.at_us, state=state))

    def correct(self, trade: Trade) -> str:
        """Another program corrects the exit price of a long leg: it sold for 5000 less; the result's id."""
        order = next(order for order in trade.orders if order.leg == "long")
        result_id = result_id_of(order.id)
        price = str((order.fill_price or 0) - 5_000)
        self.side.client.hset(keys.result(result_id), mapping={"execution_price": price, "slippage": "-5000"})
        settle(self.side)
        return result_id


@pytest.fixture
def desk(side: Side) -> OldDesk:
    return OldDesk(side)


@pytest.mark.both_databases
def test_what_is_older_than_every_window_breaks_no_rule(desk: OldDesk) -> None:
    left = {name: model_of(TABLES[name])._default_manager.count() for name in MIRRORED}
    of_open_trade = {"paper_trade": 1, "trade_result": 2, "order_fill": 2}
    assert {name: count for name, count in left.items() if count} == of_open_trade
    assert window_began() is not None
    hot: list[bytes] = [key for each in keys.HASH_BEGINNINGS for key in desk.side.client.scan_iter(f"{each}*")]
    assert len(hot) == 4  # result and metrics of both orders of the open trade
    report = check_invariants(desk.side.client, desk.side.gate)
    assert (report.violations, report.closed_trades, report.open_trades) == ([], 4, 1)
    assert desk.side.verifier().run().verdict == "agree"


def test_a_real_violation_in_old_data_is_still_found(desk: OldDesk) -> None:
    first, second, third, fourth = desk.closed
    result, metrics = result_id_of(first.long_order.id), result_id_of(second.long_order.id)
    filled = result_id_of(fourth.long_order.id)
    desk.in_log("DELETE FROM trade_result_log WHERE result_id = CAST(? AS UUID)", result)
    desk.in_log("DELETE FROM result_metrics_log WHERE result_id = CAST(? AS UUID)", metrics)
    desk.in_log("DELETE FROM trade_reconciliation_log WHERE trade_id = CAST(? AS UUID)", third.id)
    desk.in_log("UPDATE order_fill_log SET quantity = quantity / 2 WHERE order_id = ?", fourth.long_order.id)
    assert desk.found() == {
        ("results", keys.result(result)),
        ("results", keys.result_metrics(metrics)),
        ("reconciliation", keys.reconciliation(third.id)),
        ("fills", keys.result(filled)),
    }


def test_a_correction_of_an_old_result_is_reconciled_with_what_the_log_has(desk: OldDesk) -> None:
    trade = desk.closed[0]
    result_id = desk.correct(trade)
    row = TradeReconciliation.objects.get()
    assert (str(row.trade_id), row.version, row.rejection_reason) == (trade.id, 2, "Slippage too high")
    broken = TradeReconciliationBreak.objects.get()  # no result is missing, though one alone is in Redis
    assert (str(broken.result_id), broken.kind) == (result_id, "adverse_slippage")


def test_hashes_of_days_that_django_keeps_no_more_leave_redis_too(desk: OldDesk) -> None:
    result_id = desk.correct(desk.closed[0])
    key = keys.result(result_id).encode()
    assert TradeResult.objects.filter(pk=result_id).count() == 1  # the mirror gets whatever the log gets
    desk.prune()
    assert TradeResult.objects.filter(pk=result_id).count() == 0
    desk.side.clickhouse.command("ALTER TABLE trade_result_log DELETE WHERE version = 2 SETTINGS mutations_sync = 2")
    assert desk.days_later(2).put_off == {"in use": 4, "not level in every store": 1}
    desk.side.repair()
    retained = desk.days_later(1)
    assert (retained.put_off, desk.side.client.exists(key)) == ({"in use": 4}, 0)


def test_what_django_still_has_of_such_a_day_must_be_the_same(desk: OldDesk) -> None:
    key = keys.result(desk.correct(desk.closed[0]))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE trade_result SET row_hash = 1 WHERE version = 2")
    assert desk.days_later(2).put_off["not level in every store"] == 1
    assert desk.side.client.exists(key)


def test_trades_that_django_keeps_no_more_are_archived_and_a_correction_reconciled(desk: OldDesk) -> None:
    desk.unlist()
    desk.side.client.set(desk.keys.daily_of("2024-08-08"), "{}")
    settle(desk.side)
    assert desk.archive() == (4, {})
    desk.side.client.delete(desk.keys.daily_of("2024-08-08"))
    assert desk.found() == set()
    legged_out = desk.closed[3]
    result_id = desk.correct(legged_out)
    row = TradeReconciliation.objects.get()
    assert (str(row.trade_id), row.version, row.rejection_reason) == (legged_out.id, 2, "Slippage too high")
    kinds = {(str(each.result_id), each.kind) for each in TradeReconciliationBreak.objects.all()}
    assert kinds == {(result_id, "adverse_slippage")}  # the cancelled order is known by its result
    assert settle(desk.side).reconciled == 0
    assert desk.found() == set()


def test_days_before_the_window_are_compared_by_sums_without_django(
    desk: OldDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = desk.portfolio.closed(desk.open)
    settle(desk.side)
    desk.prune()
    assert not TradeResult.objects.filter(trade_id=trade.id).exists()
    read: list[Part] = []
    rows = Look._rows

    def noting(look: Look, part: Part) -> PartLook:
        read.append(part)
        return rows(look, part)

    monkeypatch.setattr(Look, "_rows", noting)
    verified = desk.side.verifier().run(MIRRORED, recompute=False, hot=False)
    assert (verified.verdict, read) == ("agree", [])
    desk.in_log("UPDATE trade_result_log SET row_hash = row_hash + 1 WHERE trade_id = CAST(? AS UUID)", trade.id)
    assert desk.side.verifier().run(MIRRORED, recompute=False, hot=False).verdict == "differ"
