"""Reconciling a period once more: by the tolerances of now, and nothing is written that came out as it was."""

from __future__ import annotations

import datetime
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from results import wiring
from results.domain.tolerances import ToleranceRefused
from results.models import TradeReconciliation
from results.pipeline.reconcile.period import Period, PeriodReport
from results.pipeline.reconcile.reconciler import Reconciler
from results.reconcile.tolerances import shipped, tolerance_save, tolerances_in_force, tolerances_seed
from results.review_models import AuditEntry, ReconciliationTolerance, ReviewCase
from tests.results.pipeline.made import NOW_US, Side
from tests.results.pipeline.made_trades import PREFIX, START_US, Portfolio
from trading.domain.units import DAY_US, day_of
from trading.stores import keys

CLOSED_ON = day_of(START_US)


@pytest.fixture
def portfolio(side: Side) -> Portfolio:
    return Portfolio(side.client)


def again(side: Side, first: datetime.date = CLOSED_ON, last: datetime.date = CLOSED_ON) -> PeriodReport:
    reconciler = Reconciler(side.client, tolerances_in_force, side.gate)
    return Period(side.client, reconciler, (first, last), [PREFIX]).run(NOW_US + 1, lambda done, of: None)


def tolerance(**figures: Any) -> ReconciliationTolerance:
    row = shipped()
    for name, value in figures.items():
        setattr(row, name, value)
    return row


def test_a_second_pass_over_the_same_facts_changes_nothing(side: Side, portfolio: Portfolio) -> None:
    portfolio.closed(portfolio.opened(1), long_exit="39980")
    portfolio.closed(portfolio.opened(2))
    side.settle()
    length = side.client.xlen(keys.OUTBOX)
    assert again(side) == PeriodReport(2, 0, ())
    assert side.client.xlen(keys.OUTBOX) == length


def test_a_wider_tolerance_clears_what_failed_and_a_narrow_one_opens_it_again(side: Side, portfolio: Portfolio) -> None:
    portfolio.closed(portfolio.opened(1), long_exit="39980")  # 40020 was asked for: 10 bps worse
    side.settle()
    assert ReviewCase.objects.get().state == "open"
    tolerance_save(tolerance(venue="binance", symbol="BTCUSDT", slippage_bps=Decimal(11)), NOW_US, "mara")
    assert again(side) == PeriodReport(1, 1, ())
    side.settle()
    assert TradeReconciliation.objects.get().reconciliation_status == "success"
    assert ReviewCase.objects.get().state == "cleared"
    changed = ReconciliationTolerance.objects.get(pk="binance:BTCUSDT")
    changed.enabled = False
    tolerance_save(changed, NOW_US + 1, "mara")
    assert again(side) == PeriodReport(1, 1, ())
    side.settle()
    assert ReviewCase.objects.get().state == "open"


def test_only_trades_that_were_closed_in_the_period_are_looked_at(side: Side, portfolio: Portfolio) -> None:
    portfolio.closed(portfolio.opened(1))
    portfolio.at_us = START_US + DAY_US
    portfolio.closed(portfolio.opened(2))
    side.settle()
    day = datetime.timedelta(days=1)
    assert [again(side, CLOSED_ON + n * day, CLOSED_ON + n * day).trades for n in (-1, 0, 1, 2)] == [0, 1, 1, 0]
    assert again(side, CLOSED_ON, CLOSED_ON + day).trades == 2


def test_a_trade_that_cannot_be_read_is_named_and_not_in_the_way(side: Side, portfolio: Portfolio) -> None:
    broken, good = portfolio.closed(portfolio.opened(1)), portfolio.closed(portfolio.opened(2))
    side.client.set(keys.PortfolioKeys(PREFIX).closed_trade(broken.id), b'{"id": 5}')
    report = again(side)
    assert (report.trades, report.changed) == (2, 1)
    assert [each.trade_id for each in report.unreadable] == [broken.id]
    assert side.client.exists(keys.reconciliation(good.id))


@pytest.mark.parametrize(
    ("figures", "field", "sentence"),
    [
        ({"slippage_bps": Decimal("-0.1")}, "slippage_bps", "slippage_bps is -0.1: a tolerance is 0 or more"),
        ({"missing_results": -1}, "missing_results", "missing_results is -1"),
        ({"venue": ""}, "venue", "venue '': 1 to 64 characters"),
        ({"symbol": "BTC:USDT"}, "symbol", "symbol 'BTC:USDT'"),
        ({"enabled": False, "version": 1}, "", ""),
    ],
)
def test_a_wrong_tolerance_is_refused_beside_its_field(
    db: None, figures: dict[str, Any], field: str, sentence: str
) -> None:
    tolerances_seed(NOW_US)
    if not field:  # the one of last resort
        field, sentence = "enabled", "it is the one of last resort"
        row = ReconciliationTolerance.objects.get()
        row.enabled = False
    else:
        row = tolerance(**figures)
    before = AuditEntry.objects.count()
    with pytest.raises(ToleranceRefused, match=sentence) as refused:
        tolerance_save(row, NOW_US, "mara")
    assert refused.value.field == field
    assert AuditEntry.objects.count() == before


def test_saving_the_same_once_more_is_no_change(db: None) -> None:
    assert tolerances_seed(NOW_US)
    assert not tolerances_seed(NOW_US + 1)
    assert not tolerance_save(ReconciliationTolerance.objects.get(), NOW_US + 2, "mara")
    assert AuditEntry.objects.count() == 1


def test_the_command_says_how_many_are_new(side: Side, portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    portfolio.closed(portfolio.opened(1))
    monkeypatch.setattr(wiring, "redis_client", lambda: side.client)
    monkeypatch.setattr(wiring, "gate", lambda: side.gate)
    out = io.StringIO()
    call_command("reconcile", f"--from={CLOSED_ON}", f"--to={CLOSED_ON}", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"ok": True, "trades": 1, "changed": 1, "unreadable": []}
    with pytest.raises(Exception, match="portfolio nobody is not known; there is strategy"):
        call_command("reconcile", "--portfolio=nobody")
    with pytest.raises(CommandError, match="--from 2024-08-09 is after --to 2024-08-08"):
        call_command("reconcile", "--from=2024-08-09", "--to=2024-08-08")
