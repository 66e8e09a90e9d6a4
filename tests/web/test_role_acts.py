"""What each role may do, as one table of acts: in the admin, through the API and by the services behind them.

An act counts as done by what it left behind, not by a status; who may not is turned away and nothing changes.
"""

from __future__ import annotations

import datetime
import html
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from paperdesk import roles
from paperdesk.roles import ADMINISTRATOR, ANALYST, APPROVER, STAFF
from results.domain.errors import PaperDeskError
from results.domain.review import OwnProposal
from results.letter_services import dead_letters_retry
from results.models import DeadLetter, DeadLetterState
from results.reconcile.services import reconcile_ask
from results.reconcile.tolerances import tolerances_seed
from results.review.services import case_approve, case_assign, case_comment, case_propose, case_return
from results.review_models import AuditEntry, ReconciliationTolerance, Review, ReviewCase, ReviewComment
from tests.trading.stores.made import TRADE_ID, active_trade
from tests.web.conftest import ANONYMOUS, SUPERUSER
from tests.web.failed_cases import ACCEPT, PLACE, TRADE, failed, now_us, proposed
from tests.web.rows import row
from tests.web.test_roles import refused
from tests.web.test_tolerances_admin import FORM
from trading.engine.clock import SystemClock
from trading.models import PaperTrade
from trading.services import trade_exit_request
from trading.settings_service import settings_seed
from trading.stores import keys
from trading.stores.wire import encode_trade

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

EVERYBODY = (ANALYST, STAFF, APPROVER, ADMINISTRATOR, SUPERUSER)
WORKERS = (STAFF, APPROVER, ADMINISTRATOR, SUPERUSER)
MAKERS = (STAFF, ADMINISTRATOR, SUPERUSER)
CHECKERS = (APPROVER, ADMINISTRATOR, SUPERUSER)
KEEPERS = (ADMINISTRATOR, SUPERUSER)
ALL = (ANONYMOUS, *EVERYBODY)
LISTS = {
    "paper_trade": "/admin/trading/papertrade/", "trade_result": "/admin/results/traderesult/",
    "review_case": "/admin/results/reviewcase/", "audit_entry": "/admin/results/auditentry/",
    "reconciliation_tolerance": "/admin/results/reconciliationtolerance/", "dead_letter": "/admin/results/deadletter/",
    "strategy": "/admin/trading/strategy/",
}  # fmt: skip
TODAY = datetime.datetime.now(datetime.UTC).date()


@dataclass
class World:
    """A case with or without a proposal of somebody else, a dead letter, an active trade, tolerances and settings."""

    client_of: Callable[[str], Client]
    user_of: Callable[[str], User]
    redis: redis.Redis

    def propose(self) -> None:
        maker = User.objects.create_user("mara", is_staff=True)
        maker.groups.set([Group.objects.get(name=STAFF)])
        proposed(ReviewCase.objects.get(), maker, now_us())

    def decision(self, step: str) -> dict[str, str]:
        made = Review.objects.get()
        return {"step": step, "decision-seen": str(made.pk), "decision-comment": "look again"}


@pytest.fixture
def world(client_of: Callable[[str], Client], user_of: Callable[[str], User], redis_client: redis.Redis) -> World:
    roles.grant()
    settings_seed("synthetic", now_us())
    tolerances_seed(now_us())
    failed()
    letter = {"kind": "hash", "key": "result:1", "table": "trade_result", "reason": "x", "content": "{}"}
    DeadLetter.objects.create(id="1-0", found_at=timezone.now(), **letter)
    trade = active_trade()
    redis_client.set(keys.PortfolioKeys(trade.portfolio).active_trade(trade.id), encode_trade(trade))
    redis_client.hset(keys.PORTFOLIOS, "strategy", "{}")
    if not PaperTrade.objects.filter(pk=TRADE_ID).exists():
        row(PaperTrade, id=uuid.UUID(TRADE_ID), status="Active").save()
    return World(client_of, user_of, redis_client)


Act = Callable[[World, str], Any]  # by a role, through a page or the API: the answer
Done = Callable[[World], bool]  # whether it was done


def state_is(state: str) -> Done:
    return lambda world: ReviewCase.objects.get().state == state


def outcome_is(outcome: str) -> Done:
    return lambda world: Review.objects.filter(outcome=outcome).exists()


def step(**data: str) -> Act:
    return lambda world, role: world.client_of(role).post(PLACE, data)


def decide(name: str) -> Act:
    def act(world: World, role: str) -> Any:
        world.propose()
        return world.client_of(role).post(PLACE, world.decision(name))

    return act


def approve_in_the_queue(world: World, role: str) -> Any:
    world.propose()
    seen = [f"{TRADE}:{Review.objects.get().pk}"]
    data = {"action": "approve", "_selected_action": [str(TRADE)], "seen": seen, "comment": ""}
    return world.client_of(role).post(LISTS["review_case"], data)


def post(address: str, **data: Any) -> Act:
    return lambda world, role: world.client_of(role).post(address, data)


def tolerance_is_new(world: World) -> bool:
    return ReconciliationTolerance.objects.filter(pk="binance:BTCUSDT").exists()


def slippage_is_changed(world: World) -> bool:
    return str(ReconciliationTolerance.objects.get(pk="*:*").slippage_bps) == "2.5"


def retry_is_asked(world: World) -> bool:
    return DeadLetter.objects.get().state == DeadLetterState.ASKED


def closing_is_asked(world: World) -> bool:
    return bool(world.redis.xlen(keys.COMMANDS))


def reconciling_is_asked(world: World) -> bool:
    return bool(world.redis.exists(keys.RECONCILE_ASKED))


RECONCILE = "/admin/results/reconciliationtolerance/reconcile/"
ACTS: dict[str, tuple[Act, Done, tuple[str, ...]]] = {
    "propose": (step(**ACCEPT), state_is("proposed"), MAKERS),
    "approve": (decide("approve"), state_is("resolved"), CHECKERS),
    "approve in the queue": (approve_in_the_queue, state_is("resolved"), CHECKERS),
    "return": (decide("return"), outcome_is("returned"), CHECKERS),
    "withdraw another's": (decide("withdraw"), outcome_is("withdrawn"), ()),
    "comment": (
        step(**{"step": "comment", "comment-comment": "seen"}),
        lambda world: ReviewComment.objects.exists(),
        WORKERS,
    ),
    "add a tolerance": (
        post(f"{LISTS['reconciliation_tolerance']}add/", **FORM), tolerance_is_new, KEEPERS,
    ),
    "change a tolerance": (
        post(f"{LISTS['reconciliation_tolerance']}*_3A*/change/", **FORM), slippage_is_changed, KEEPERS,
    ),
    "delete a tolerance": (
        post(f"{LISTS['reconciliation_tolerance']}*_3A*/delete/", post="yes"),
        lambda world: not ReconciliationTolerance.objects.exists(),
        (),
    ),
    "reconcile again": (
        post(RECONCILE, first=TODAY.isoformat(), last=TODAY.isoformat()), reconciling_is_asked, MAKERS,
    ),
    "retry a dead letter": (
        post(LISTS["dead_letter"], action="retry", _selected_action="1-0"), retry_is_asked, MAKERS,
    ),
    "close a trade by the API": (post(f"/api/v1/trades/{TRADE_ID}/exit/"), closing_is_asked, MAKERS),
    "close a trade in the admin": (
        post(LISTS["paper_trade"], action="close_trades", _selected_action=TRADE_ID), closing_is_asked, MAKERS,
    ),
    "change the audit trail": (
        post(f"{LISTS['audit_entry']}1/change/", who="eve"),
        lambda world: AuditEntry.objects.filter(who="eve").exists(),
        (),
    ),
    "change a case by the API": (
        lambda world, role: world.client_of(role).patch(
            f"/api/v1/review-cases/{TRADE}/", {"state": "resolved"}, "application/json"
        ),
        state_is("resolved"),
        (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize("name", ACTS)
def test_each_role_may_do_what_the_table_says(world: World, name: str, role: str) -> None:
    act, is_done, who = ACTS[name]
    assert not is_done(world)
    answer = act(world, role)
    assert is_done(world) == (role in who), answer


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize("table", LISTS)
def test_who_sees_a_list_exports_it_and_nobody_else(world: World, table: str, role: str) -> None:
    client = world.client_of(role)
    answer = client.post(f"{LISTS[table]}export/", {"format": "csv"})
    if role not in EVERYBODY:
        assert refused(answer, anonymous=True)
        assert not AuditEntry.objects.filter(action="export begun").exists()
        return

    async def collect() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    assert answer.status_code == 200
    assert async_to_sync(collect)()
    told = AuditEntry.objects.filter(subject=f"list {table}").order_by("number").values_list("who", "action")
    assert list(told) == [(role, "export begun"), (role, "exported")]


SERVICES: dict[str, tuple[Callable[[User], Any], tuple[str, ...]]] = {
    "propose": (lambda user: proposed(ReviewCase.objects.get(), user, now_us()), MAKERS),
    "approve": (lambda user: case_approve(TRADE, "", user, now_us()), CHECKERS),
    "return": (lambda user: case_return(TRADE, "look again", user, now_us()), CHECKERS),
    "assign": (lambda user: case_assign(TRADE, "mara", user, now_us()), WORKERS),
    "comment": (lambda user: case_comment(TRADE, "seen", user, now_us()), WORKERS),
    "retry": (lambda user: dead_letters_retry(["1-0"], user), MAKERS),
    "close": (lambda user: trade_exit_request(TRADE_ID, "", user), MAKERS),
    "reconcile": (lambda user: reconcile_ask(TODAY, TODAY, (), user, SystemClock().now_us()), MAKERS),
}


@pytest.mark.parametrize("role", EVERYBODY)
@pytest.mark.parametrize("name", SERVICES)
def test_the_services_ask_again_whoever_calls_them(world: World, name: str, role: str) -> None:
    act, who = SERVICES[name]
    if name != "propose":
        world.propose()
    user = world.user_of(role)
    if role in who:
        act(user)
        return
    before = AuditEntry.objects.count()
    with pytest.raises(PaperDeskError, match="only"):
        act(user)
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("role", [ADMINISTRATOR, SUPERUSER])
def test_who_proposed_himself_cannot_approve_not_even_a_superuser(world: World, role: str) -> None:
    user, client = world.user_of(role), world.client_of(role)
    assert client.post(PLACE, ACCEPT).status_code == 302
    made = Review.objects.get()
    before = AuditEntry.objects.count()
    for name in ("approve", "return"):
        client.post(PLACE, world.decision(name))
    seen = [f"{TRADE}:{made.pk}"]
    client.post(LISTS["review_case"], {"action": "approve", "_selected_action": [str(TRADE)], "seen": seen})
    with pytest.raises(OwnProposal, match=f"{role} proposed it"):
        case_approve(TRADE, "", user, now_us())
    assert (ReviewCase.objects.get().state, Review.objects.get().outcome) == ("proposed", "")
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("role", [ANALYST, STAFF, APPROVER, ADMINISTRATOR])
def test_no_link_of_the_admin_leads_to_a_page_that_the_role_may_not_see(world: World, role: str) -> None:
    """One page of each kind, from the front page on."""
    world.propose()
    client, known, waiting = world.client_of(role), set[str](), ["/admin/"]
    while waiting:
        address = waiting.pop()
        kind = resolve(address.partition("?")[0]).view_name
        if kind in known:
            continue
        known.add(kind)
        answer = client.get(address)
        assert answer.status_code in (200, 302), address
        links = [] if answer.streaming else re.findall(r'href="(/admin/[^"#]*)', answer.content.decode())
        waiting += map(html.unescape, links)
    assert len(known) > 40
    assert ("admin:results_reconcile" in known) is (role in (STAFF, ADMINISTRATOR))
    assert ("admin:trading_strategy_add" in known) is (role == ADMINISTRATOR)


@pytest.mark.parametrize("role", [ANALYST, STAFF, APPROVER, ADMINISTRATOR])
def test_a_form_that_is_sent_to_a_version_of_before_saves_nothing(world: World, role: str) -> None:
    row = ReconciliationTolerance.objects.get()
    address = f"/admin/results/reconciliationtolerance/{row.pk}/history/{row.history.get().pk}/"
    client, before = world.client_of(role), AuditEntry.objects.count()
    assert client.get(address).status_code == 200
    sent = {**FORM, "venue": "*", "symbol": "*", "slippage_bps": "7"}
    assert client.post(address, sent).status_code == 405
    assert (ReconciliationTolerance.objects.get().version, AuditEntry.objects.count()) == (row.version, before)


def test_who_left_a_role_may_no_longer_do_what_it_may(world: World) -> None:
    user = world.user_of(STAFF)
    user.groups.set([Group.objects.get(name=ANALYST)])
    world.client_of(STAFF).post(PLACE, ACCEPT)
    assert ReviewCase.objects.get().state == "open"
    user.groups.set([Group.objects.get(name=STAFF)])
    user.is_active = False
    user.save()
    with pytest.raises(PaperDeskError, match="only staff"):
        case_propose(TRADE, None, User.objects.get(pk=user.pk), now_us())  # type: ignore[arg-type]
