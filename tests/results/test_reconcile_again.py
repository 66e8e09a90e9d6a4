"""A person has trades reconciled once more: asked for on a page, done by the worker in turns, told when it is done."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from paperdesk import roles
from results import services, tasks, wiring
from results.audit.trail import audit_broken
from results.pipeline.reconcile import period
from results.pipeline.reconcile.asked import asked_now
from results.reconcile import services as reconcile_services
from results.reconcile.services import ReconcileForbidden, ReconcileRefused, reconcile_ask, reconcile_ask_trades
from results.reconcile.tolerances import shipped, tolerance_save
from results.review_models import AuditEntry, ReviewCase
from tests.results.pipeline.conftest import clickhouse, embedded, fresh_clickhouse_url, gate, side
from tests.results.pipeline.made import NOW_US, Side
from tests.results.pipeline.made_trades import PREFIX, START_US, Portfolio
from tests.web.conftest import client_of, user_of
from trading.domain.units import day_of
from trading.stores import keys

__all__ = ["clickhouse", "client_of", "embedded", "fresh_clickhouse_url", "gate", "side", "user_of"]

CLOSED_ON = day_of(START_US)
PAGE = "/admin/results/reconciliationtolerance/reconcile/"
LIST = "/admin/results/tradereconciliation/"


@pytest.fixture
def desk(side: Side, monkeypatch: pytest.MonkeyPatch) -> Side:
    """Pages and worker on the side's own servers."""
    monkeypatch.setattr(wiring, "redis_client", lambda: side.client)
    monkeypatch.setattr(wiring, "gate", lambda: side.gate)
    monkeypatch.setattr(reconcile_services, "_client", lambda: side.client)
    return side


@pytest.fixture
def portfolio(desk: Side) -> Portfolio:
    return Portfolio(desk.client)


@pytest.fixture
def staff(user_of: Callable[[str], User]) -> User:
    return user_of(roles.STAFF)


def wider(bps: str) -> None:
    row = shipped()
    for name, value in {"venue": "binance", "slippage_bps": Decimal(bps)}.items():
        setattr(row, name, value)
    tolerance_save(row, NOW_US, "mara")


def words_of(answer: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def asked_by(user: User, portfolios: tuple[str, ...] = ()) -> Any:
    return reconcile_ask(CLOSED_ON, CLOSED_ON, portfolios, user, NOW_US + 1)


def test_what_was_asked_for_on_the_page_is_done_by_the_worker_and_told(
    desk: Side, portfolio: Portfolio, client_of: Callable[[str], Client]
) -> None:
    portfolio.closed(portfolio.opened(1), long_exit="39980")
    portfolio.closed(portfolio.opened(2))
    desk.settle()
    wider("11")
    client = client_of(roles.STAFF)
    days = {"first": CLOSED_ON.isoformat(), "last": CLOSED_ON.isoformat()}
    page = client.post(PAGE, {**days, "portfolios": [PREFIX]}, follow=True)
    assert "under way 0 of 2 trades reconciled again" in words_of(page)
    assert 'http-equiv="refresh"' in page.content.decode()
    tasks.reconcile()
    page = client.get(PAGE)
    assert "done 2 of 2 trades reconciled again, 1 with a new outcome." in words_of(page)
    assert 'http-equiv="refresh"' not in page.content.decode()
    desk.settle()
    assert ReviewCase.objects.get().state == "cleared"
    told = [(entry.who, entry.action) for entry in AuditEntry.objects.filter(subject="trade_reconciliation")]
    assert told == [("desk", "reconciled again"), (roles.STAFF, "reconciling asked")]
    assert audit_broken() is None


def test_a_long_period_is_done_in_turns_that_go_on_where_the_last_one_ended(
    desk: Side, portfolio: Portfolio, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(period, "TRADES_PER_BATCH", 2)
    for number in range(1, 6):
        portfolio.closed(portfolio.opened(number))
    desk.settle()
    assert asked_by(staff).of == 5
    done = []
    while (asked := services.trades_reconcile_turn(0.000_001)) is not None:
        done.append((asked.done, asked.ended_us is not None))
    assert done == [(2, False), (4, False), (5, False), (5, False), (5, True)]
    assert services.trades_reconcile_turn(1.0) is None


def test_trades_that_were_closed_at_one_instant_are_all_met(
    desk: Side, portfolio: Portfolio, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades = [portfolio.closed(portfolio.opened(number)) for number in range(1, 8)]
    index = keys.PortfolioKeys(PREFIX).closed_index
    desk.client.zadd(index, {trade.id: START_US for trade in trades[:5]})
    monkeypatch.setattr(period, "TRADES_PER_BATCH", 2)
    asked_by(staff)
    asked = services.trades_reconcile_turn(60.0)
    assert asked and (asked.done, asked.changed) == (7, 7)


def test_chosen_trades_are_reconciled_again_from_their_list(
    desk: Side, portfolio: Portfolio, client_of: Callable[[str], Client]
) -> None:
    chosen, other = (portfolio.closed(portfolio.opened(number), long_exit="39980") for number in (1, 2))
    desk.settle()
    wider("11")
    posted = {"action": "reconcile_again", "_selected_action": [chosen.id]}
    page = client_of(roles.STAFF).post(LIST, posted, follow=True)
    assert "1 trade is reconciled again, by the tolerances of now." in words_of(page)
    tasks.reconcile()
    desk.settle()
    states = dict(ReviewCase.objects.values_list("trade_id", "state"))
    assert states == {uuid.UUID(chosen.id): "cleared", uuid.UUID(other.id): "open"}


def test_a_second_wish_waits_for_the_first(desk: Side, portfolio: Portfolio, staff: User) -> None:
    portfolio.closed(portfolio.opened(1))
    first = asked_by(staff)
    before = AuditEntry.objects.count()
    with pytest.raises(ReconcileRefused, match="staff has trades reconciled already, 0 are done"):
        reconcile_ask(CLOSED_ON, CLOSED_ON, (), staff, NOW_US + 2)
    assert (asked_now(desk.client), AuditEntry.objects.count()) == (first, before)
    tasks.reconcile()
    assert reconcile_ask(CLOSED_ON, CLOSED_ON, (), staff, NOW_US + 2).of == 1


def test_a_trade_that_cannot_be_read_is_named_and_not_in_the_way(
    desk: Side, portfolio: Portfolio, client_of: Callable[[str], Client], staff: User
) -> None:
    broken, _ = portfolio.closed(portfolio.opened(1)), portfolio.closed(portfolio.opened(2))
    desk.client.set(keys.PortfolioKeys(PREFIX).closed_trade(broken.id), b'{"id": 5}')
    asked_by(staff)
    tasks.reconcile()
    told = words_of(client_of(roles.STAFF).get(PAGE))
    assert "2 of 2 trades reconciled again, 1 with a new outcome, 1 that cannot be read." in told
    assert f"trade {broken.id}:" in told


@pytest.mark.parametrize("role", [roles.ANALYST, roles.APPROVER])
def test_who_may_not_asks_for_nothing(
    desk: Side, client_of: Callable[[str], Client], user_of: Callable[[str], User], role: str
) -> None:
    assert client_of(role).get(PAGE).status_code == 403
    assert client_of(role).post(PAGE, {"first": "2024-08-08", "last": "2024-08-08"}).status_code == 403
    with pytest.raises(ReconcileForbidden, match="only staff and administrators"):
        asked_by(user_of(role))
    assert asked_now(desk.client) is None
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"first": "2024-08-09"}, "last", "from 2024-08-09 is after to 2024-08-08"),
        ({"first": "yesterday"}, "first", "Enter a valid date."),
        ({"last": ""}, "last", "This field is required."),
        ({"portfolios": "nobody"}, "portfolios", "nobody is not one of the available choices"),
    ],
)
def test_a_wrong_period_is_refused_beside_its_field(
    desk: Side,
    portfolio: Portfolio,
    client_of: Callable[[str], Client],
    changes: dict[str, str],
    field: str,
    sentence: str,
) -> None:
    posted = {"first": "2024-08-08", "last": "2024-08-08", **changes}
    answer = client_of(roles.STAFF).post(PAGE, posted)
    assert answer.status_code == 200
    errors = answer.context["form"].errors
    assert list(errors) == [field]
    assert sentence in errors[field][0]
    assert asked_now(desk.client) is None


def test_a_portfolio_or_trade_that_is_not_known_is_refused(desk: Side, portfolio: Portfolio, staff: User) -> None:
    with pytest.raises(ReconcileRefused, match="portfolio nobody is not known; there is strategy"):
        asked_by(staff, ("nobody",))
    with pytest.raises(ReconcileRefused, match="none of these trades"):
        reconcile_ask_trades([uuid.uuid4()], staff, NOW_US)
