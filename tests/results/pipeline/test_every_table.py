"""How each durable table reaches the stream: by which step its rows come to be, shown with that step.

A table that is not in STEPS fails here: whoever adds one says what writes it. Every step is one atomic script (or, for
rows born in Django, an SQL transaction with its outbox row, and then one script): it is stopped before the script and
nothing has come to be; it goes through, and record and entry are there.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from django.contrib.auth.models import User

from paperdesk.models import OutboxRow
from results.domain.canonical import row_hash
from results.domain.review import Basis, Reason, Resolution
from results.pipeline.relay import Relay
from results.reconcile.tolerances import tolerances_seed
from results.review.services import Adjusted, Wanted, case_comment, case_propose
from results.review_models import ReviewCase
from results.stores.schema import TABLES
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import PREFIX, START_US, Portfolio
from tests.trading.stores.test_monitor_store import watched
from trading.domain.funding import FundingPayment
from trading.domain.orders import Leg, Role
from trading.domain.orders import Side as OrderSide
from trading.domain.shadow import ShadowFill
from trading.settings_service import settings_seed
from trading.stores import keys
from trading.stores.monitor_store import MonitorStore
from trading.stores.outbox import Outbox, row_of_text
from trading.stores.step import StepRunner
from trading.stores.transition import Transition

ORDER = "11111111-1111-4111-8111-111111111111"


def a_trade_opens(side: Side) -> None:
    Portfolio(side.client).opened(1)


def a_trade_legs_out(side: Side) -> None:
    Portfolio(side.client).legged_out(1)


def a_closed_trade_is_reconciled(side: Side) -> None:
    portfolio = Portfolio(side.client)
    portfolio.closed(portfolio.opened(1), long_exit="39000")  # far from what was asked for: a break
    reconciler = side.sync.reconciler
    reconciler.follow(side.sync.stream.state(), side.now_us, float("inf"))


def funding_is_settled(side: Side) -> None:
    portfolio = Portfolio(side.client)
    trade = portfolio.opened(1)
    one = Decimal(1)
    paid = FundingPayment(ORDER, trade.id, "binance", "BTCUSDT", Leg.LONG, START_US, one, one, one, 8, -one)
    portfolio.store.commit(Transition(operation_id="funding", at_us=START_US, funding=(paid,)))


def a_shadow_ends(side: Side) -> None:
    portfolio = Portfolio(side.client)
    trade, one = portfolio.opened(1), Decimal(1)
    shadow = ShadowFill(
        trade.id, ORDER, "binance", "BTCUSDT", Leg.LONG, Role.ENTRY, OrderSide.BUY, one, one, one, one, START_US, 500,
        (None, None, None, None), START_US + 1,
    )  # fmt: skip
    portfolio.store.commit(Transition(operation_id="shadow", at_us=START_US, shadows=(shadow,)))


def the_monitor_records_a_day(side: Side) -> None:
    Portfolio(side.client).opened(1)
    store = MonitorStore(side.client, PREFIX, Outbox(TABLES))
    reading = store.read()
    assert reading is not None
    store.write(reading, watched())


def settings_are_made_and_relayed(side: Side) -> None:
    settings_seed("synthetic", START_US)
    Relay(side.client).once(side.sync.stream.state().epoch)


def a_case_is_opened(side: Side) -> None:
    a_closed_trade_is_reconciled(side)
    side.settle()  # the Django tables take the reconciliation in, and with it comes the case
    Relay(side.client).once(side.sync.stream.state().epoch)


def a_correction_is_proposed(side: Side) -> None:
    a_case_is_opened(side)
    case = ReviewCase.objects.get()
    maker = User.objects.create_superuser("mara")
    basis = Basis(case.reconciliation_version, case.reconciliation_hash)
    price = Adjusted("trade_result", ORDER, 1, "execution_price", Decimal(39_000), Decimal(40_020))
    wanted = Wanted(Resolution.ADJUST, Reason.WRONG_PRICE, basis, "", (price,))
    case_propose(case.pk, wanted, maker, START_US)
    case_comment(case.pk, "The venue's own fill says 40,020.", maker, START_US)
    Relay(side.client).once(side.sync.stream.state().epoch)


def a_tolerance_is_stored(side: Side) -> None:
    tolerances_seed(START_US)
    Relay(side.client).once(side.sync.stream.state().epoch)


STEPS: dict[str, Callable[[Side], None]] = {
    "paper_trade": a_trade_opens,
    "trade_result": a_trade_opens,
    "result_metrics": a_trade_opens,
    "order_fill": a_trade_opens,
    "leg_out_event": a_trade_legs_out,
    "trade_reconciliation": a_closed_trade_is_reconciled,
    "trade_reconciliation_break": a_closed_trade_is_reconciled,
    "funding_payment": funding_is_settled,
    "shadow_fill": a_shadow_ends,
    "daily_metrics": the_monitor_records_a_day,
    "portfolio_snapshot": the_monitor_records_a_day,
    "venue": settings_are_made_and_relayed,
    "instrument": settings_are_made_and_relayed,
    "strategy": settings_are_made_and_relayed,
    "reconciliation_tolerance": a_tolerance_is_stored,
    "audit_entry": a_tolerance_is_stored,
    "review_case": a_case_is_opened,
    "review": a_correction_is_proposed,
    "trade_adjustment": a_correction_is_proposed,
    "review_comment": a_correction_is_proposed,
}


class Stopped(Exception):
    """Stands for a process that ends before its step is sent."""


def rows_in_stream(side: Side, table: str) -> list[dict[str, Any]]:
    """The rows of a table that the stream has, whole."""
    entries = [fields for _, fields in side.entries() if fields[b"table"] == table.encode()]
    for fields in entries:
        row = row_of_text(TABLES[table].columns, fields[b"row"])
        assert list(row) == [column.name for column in TABLES[table].columns]
        assert row["row_hash"] == row_hash(TABLES[table].columns, row)
        assert fields[b"version"] == str(row["version"]).encode()
        assert fields[b"id"] == str(row[TABLES[table].key]).encode()
    return [row_of_text(TABLES[table].columns, fields[b"row"]) for fields in entries]


@pytest.mark.parametrize("table", sorted(set(TABLES) | set(STEPS)))
def test_the_step_that_makes_a_row_puts_it_into_the_stream(side: Side, table: str) -> None:
    assert table in TABLES, f"{table} is no durable table any more: take it out of STEPS"
    assert table in STEPS, f"say in STEPS which step puts the rows of {table} into the stream"
    STEPS[table](side)
    assert rows_in_stream(side, table)
    assert side.settle().dead_letters == 0
    assert side.log_length(table) >= 1


@pytest.mark.parametrize("table", sorted(name for name in STEPS if not TABLES[name].is_born))
def test_a_step_that_was_not_sent_leaves_neither_record_nor_entry(side: Side, table: str) -> None:
    """Nothing is written beside the one script that carries the entries."""
    whole, sent = StepRunner.run, []

    def stop(runner: StepRunner, step: Any) -> list[str]:
        if any(msgspec.msgpack.encode(table) in packed for packed in step.wire()[1]):
            sent.append(state_of(side))
            raise Stopped
        return whole(runner, step)

    with patch.object(StepRunner, "run", stop), pytest.raises(Stopped):
        STEPS[table](side)
    assert sent == [state_of(side)]
    assert rows_in_stream(side, table) == []


def test_a_row_that_is_born_in_django_has_its_outbox_row_in_the_same_transaction(side: Side) -> None:
    settings_are_made_and_relayed(side)
    a_tolerance_is_stored(side)
    a_correction_is_proposed(side)
    born = {name for name, table in TABLES.items() if table.is_born}
    assert set(OutboxRow.objects.values_list("table", flat=True)) == born


def test_a_row_that_could_not_be_relayed_is_relayed_the_next_time(side: Side) -> None:
    settings_seed("synthetic", START_US)
    with patch.object(StepRunner, "run", side_effect=Stopped), pytest.raises(Stopped):
        Relay(side.client).once(side.sync.stream.state().epoch)
    assert side.entries() == []
    assert set(OutboxRow.objects.values_list("relayed_epoch", flat=True)) == {""}


def state_of(side: Side) -> dict[bytes, Any]:
    """Everything in Redis that a step could have written."""
    answers = keys.operation("").encode()
    return {key: side.client.dump(key) for key in side.client.scan_iter() if not key.startswith(answers)}
