"""What people do to a case: each step with its row, its history, its outbox row and its entry of the audit trail."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, IntegrityError, connection, transaction

from paperdesk import roles
from paperdesk.models import OutboxRow
from paperdesk.outbox import canonical_row
from results.audit.trail import audit_broken
from results.domain.review import (
    PROPOSAL_LIFETIME_US,
    Basis,
    ExpiredProposal,
    InvalidCaseMove,
    OwnProposal,
    Reason,
    Resolution,
    ReviewRefused,
    StaleProposal,
)
from results.review.following import cases_follow
from results.review.services import (
    Adjusted,
    CaseUnknown,
    ReviewForbidden,
    Wanted,
    case_approve,
    case_assign,
    case_comment,
    case_propose,
    case_return,
    case_withdraw,
    proposals_expire,
)
from results.review_models import AuditEntry, Review, ReviewCase, TradeAdjustment

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

TRADE = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")
NOW_US = 1_731_000_000_000_000
FIRST = Basis(1, 11)
ACCEPT = Wanted(Resolution.ACCEPT, Reason.MARKET_MOVED, FIRST, "the book was gone")
PRICE = Adjusted("trade_result", str(uuid.uuid4()), 3, "execution_price", Decimal("40010"), Decimal("40000"))
ADJUST = Wanted(Resolution.ADJUST, Reason.WRONG_PRICE, FIRST, "", (PRICE,))


def reconciled(version: int, failed: bool = True, **changes: Any) -> dict[str, Any]:
    """A row of `trade_reconciliation` as the log has it."""
    row = {
        "trade_id": str(TRADE), "portfolio": "strategy", "symbol": "BTCUSDT", "version": version,
        "row_hash": 11 * version, "reconciliation_status": "failed" if failed else "success", "reconciled_at": NOW_US,
        "rejection_reason": "Slippage too high" if failed else None,
    }  # fmt: skip
    return {**row, **changes}


def take_in(*rows: dict[str, Any]) -> int:
    with transaction.atomic():
        return cases_follow(rows, NOW_US)


def user(name: str, *groups: str, superuser: bool = False) -> User:
    made = User.objects.create_user(name, is_staff=True, is_superuser=superuser)
    made.groups.set(Group.objects.filter(name__in=groups))
    return made


@pytest.fixture
def case(db: None) -> ReviewCase:
    take_in(reconciled(1))
    return ReviewCase.objects.get()


@pytest.fixture
def mara(db: None) -> User:
    return user("mara", roles.STAFF, roles.APPROVER)


@pytest.fixture
def carl(db: None) -> User:
    return user("carl", roles.APPROVER)


def state() -> str:
    return ReviewCase.objects.get().state


def test_a_failed_reconciliation_opens_a_case_once(case: ReviewCase) -> None:
    assert (case.state, case.portfolio, case.rejection_reason, case.severity) == (
        "open",
        "strategy",
        "Slippage too high",
        2,
    )
    assert take_in(reconciled(1)) == 0
    assert ReviewCase.objects.count() == 1
    assert [entry.action for entry in AuditEntry.objects.all()] == ["opened"]


def test_a_reconciliation_that_succeeded_opens_none() -> None:
    assert take_in(reconciled(1, failed=False)) == 0
    assert not ReviewCase.objects.exists()


def test_a_proposal_that_another_person_approves_resolves_the_case(case: ReviewCase, mara: User, carl: User) -> None:
    made = case_propose(TRADE, ACCEPT, mara, NOW_US)
    assert state() == "proposed"
    case_approve(TRADE, "", carl, NOW_US + 1)
    row, review = ReviewCase.objects.get(), Review.objects.get()
    assert (row.state, row.resolution, row.review_id) == ("resolved", "accept", made.pk)
    assert (review.outcome, review.maker, review.checker) == ("approved", "mara", "carl")
    assert [each.action for each in AuditEntry.objects.order_by("number")] == ["opened", "proposed", "approved"]
    assert audit_broken() is None


def test_every_version_of_every_row_waits_in_the_outbox_as_it_was(case: ReviewCase, mara: User, carl: User) -> None:
    case_propose(TRADE, ADJUST, mara, NOW_US)
    case_approve(TRADE, "", carl, NOW_US + 1)
    for row in (
        ReviewCase.objects.get(),
        Review.objects.get(),
        TradeAdjustment.objects.get(),
        *AuditEntry.objects.all(),
    ):
        newest = OutboxRow.objects.filter(table=row._meta.db_table, key=str(row.pk)).latest("version")
        assert (newest.version, newest.row_hash) == (row.version, canonical_row(row)["row_hash"])
    assert OutboxRow.objects.filter(table="review_case").count() == 3


def test_an_adjustment_names_the_old_figure_and_is_in_force_once_approved(
    case: ReviewCase, mara: User, carl: User
) -> None:
    case_propose(TRADE, ADJUST, mara, NOW_US)
    row = TradeAdjustment.objects.get()
    assert row.adjusted_column == "execution_price"
    assert (row.value_before, row.value_after) == (Decimal(40_010), Decimal(40_000))
    assert not row.in_force
    case_approve(TRADE, "", carl, NOW_US + 1)
    assert TradeAdjustment.objects.get().in_force


@pytest.mark.parametrize("decide", [case_approve, case_return])
def test_nobody_decides_on_his_own_proposal_superusers_included(
    case: ReviewCase, mara: User, decide: Callable[..., Any]
) -> None:
    root = user("root", superuser=True)
    for maker in (mara, root):
        case_propose(TRADE, ACCEPT, maker, NOW_US)
        before = AuditEntry.objects.count()
        with pytest.raises(OwnProposal, match=f"{maker.username} proposed it"):
            decide(TRADE, "a word", maker, NOW_US)
        assert (state(), AuditEntry.objects.count()) == ("proposed", before)
        case_withdraw(TRADE, maker, NOW_US)


def test_the_database_refuses_two_eyes_too(case: ReviewCase, mara: User) -> None:
    case_propose(TRADE, ACCEPT, mara, NOW_US)
    with pytest.raises(IntegrityError), transaction.atomic():
        Review.objects.update(outcome="approved", checker="carl", checker_id=mara.pk, decided_at="2024-11-08T00:00Z")
    with pytest.raises(IntegrityError), transaction.atomic():
        Review.objects.update(outcome="approved", checker="carl")
    with pytest.raises(IntegrityError), transaction.atomic():
        made = Review.objects.get()
        made.pk = uuid.uuid4()
        made.save(force_insert=True)


def test_a_user_who_was_renamed_is_still_the_same_person(case: ReviewCase, mara: User) -> None:
    case_propose(TRADE, ACCEPT, mara, NOW_US)
    mara.username = "clara"
    mara.save()
    with pytest.raises(OwnProposal, match="clara proposed it"):
        case_approve(TRADE, "", mara, NOW_US)


def test_a_proposal_on_figures_that_moved_cannot_be_approved(case: ReviewCase, mara: User, carl: User) -> None:
    case_propose(TRADE, ACCEPT, mara, NOW_US)
    take_in(reconciled(2))
    with pytest.raises(StaleProposal, match="at version 2"):
        case_approve(TRADE, "", carl, NOW_US)
    case_return(TRADE, "look again", carl, NOW_US)
    assert state() == "open"
    assert Review.objects.get().outcome == "returned"


def test_a_proposal_expires(case: ReviewCase, mara: User, carl: User) -> None:
    case_propose(TRADE, ACCEPT, mara, NOW_US)
    with pytest.raises(ExpiredProposal):
        case_approve(TRADE, "", carl, NOW_US + PROPOSAL_LIFETIME_US)
    assert state() == "proposed"


def test_an_expired_proposal_ends_by_itself_and_the_case_is_open_again(
    case: ReviewCase, mara: User, carl: User
) -> None:
    case_propose(TRADE, ACCEPT, mara, NOW_US)
    assert proposals_expire(NOW_US + PROPOSAL_LIFETIME_US - 1) == 0
    assert state() == "proposed"
    assert proposals_expire(NOW_US + PROPOSAL_LIFETIME_US) == 1
    made = Review.objects.get()
    assert (state(), ReviewCase.objects.get().review_id) == ("open", None)
    assert (made.outcome, made.checker, made.checker_id) == ("expired", "desk", None)
    last = AuditEntry.objects.latest("number")
    assert (last.who, last.action, last.subject) == ("desk", "expired", f"review_case {TRADE}")
    assert proposals_expire(NOW_US + PROPOSAL_LIFETIME_US) == 0
    case_propose(TRADE, ACCEPT, mara, NOW_US + PROPOSAL_LIFETIME_US)
    case_approve(TRADE, "", carl, NOW_US + PROPOSAL_LIFETIME_US)
    assert (state(), audit_broken()) == ("resolved", None)


def test_a_case_that_was_cleared_while_proposed_takes_another_proposal_once_it_fails_again(
    case: ReviewCase, mara: User, carl: User
) -> None:
    case_propose(TRADE, ACCEPT, mara, NOW_US)
    take_in(reconciled(2, failed=False))
    made = Review.objects.get()
    assert (state(), made.outcome, made.checker, made.checker_id) == ("cleared", "cleared", "desk", None)
    take_in(reconciled(3))
    case_propose(TRADE, msgspec.structs.replace(ACCEPT, basis=Basis(3, 33)), mara, NOW_US)
    case_approve(TRADE, "", carl, NOW_US)
    assert state() == "resolved"


def test_the_trail_keeps_what_was_corrected_from_what_to_what(case: ReviewCase, mara: User) -> None:
    case_propose(TRADE, ADJUST, mara, NOW_US)
    told = msgspec.json.decode(AuditEntry.objects.latest("number").after)
    assert told["corrections"] == [
        {"table": "trade_result", "key": PRICE.key, "column": "execution_price", "before": "40010", "after": "40000"}
    ]


def test_figures_that_are_right_by_now_clear_the_case_and_wrong_ones_reopen_it(
    case: ReviewCase, mara: User, carl: User
) -> None:
    case_propose(TRADE, ACCEPT, mara, NOW_US)
    case_approve(TRADE, "", carl, NOW_US)
    take_in(reconciled(2))
    assert (state(), ReviewCase.objects.get().resolution) == ("open", None)
    take_in(reconciled(3, failed=False))
    assert state() == "cleared"
    assert take_in(reconciled(2)) == 0  # the log is read once more
    assert state() == "cleared"


@pytest.mark.django_db(transaction=True)
def test_of_many_who_decide_at_once_one_does_and_the_maker_never() -> None:
    roles.grant()
    maker, *checkers = [user(name, superuser=True) for name in ("mara", "carl", "dora", "emil")]
    take_in(reconciled(1))
    made = case_propose(TRADE, ACCEPT, maker, NOW_US)
    begin, told = threading.Barrier(5), list[str]()

    def run(deed: Callable[[], Any]) -> None:
        begin.wait(60)
        try:
            deed()
            told.append("done")
        except ReviewRefused as refused:
            told.append(type(refused).__name__)
        finally:
            connection.close()

    deeds = [partial(case_approve, TRADE, "", each, NOW_US, made.pk) for each in (maker, *checkers)]
    threads = [threading.Thread(target=run, args=(deed,)) for deed in (*deeds, lambda: case_withdraw(TRADE, maker, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(told), told.count("done")) == (5, 1), told
    assert {*told} <= {"done", "OwnProposal", "InvalidCaseMove"}
    assert [each.action for each in AuditEntry.objects.order_by("number")][2:] in (["approved"], ["withdrawn"])
    assert Review.objects.get().checker_id != maker.pk or state() == "open"
    assert audit_broken() is None


MAY: dict[str, dict[str, bool]] = {
    roles.ANALYST: {"propose": False, "approve": False, "return": False, "assign": False, "comment": False},
    roles.STAFF: {"propose": True, "approve": False, "return": False, "assign": True, "comment": True},
    roles.APPROVER: {"propose": False, "approve": True, "return": True, "assign": True, "comment": True},
    roles.ADMINISTRATOR: {"propose": True, "approve": True, "return": True, "assign": True, "comment": True},
}
STEPS: dict[str, Callable[[User], Any]] = {
    "propose": lambda who: case_propose(TRADE, ACCEPT, who, NOW_US),
    "approve": lambda who: case_approve(TRADE, "", who, NOW_US),
    "return": lambda who: case_return(TRADE, "look again", who, NOW_US),
    "assign": lambda who: case_assign(TRADE, "mara", who, NOW_US),
    "comment": lambda who: case_comment(TRADE, "seen", who, NOW_US),
}


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize("step", STEPS)
def test_each_role_may_do_what_the_table_says(case: ReviewCase, mara: User, role: str, step: str) -> None:
    if step in ("approve", "return"):
        case_propose(TRADE, ACCEPT, mara, NOW_US)
    before = (state(), AuditEntry.objects.count())
    somebody = user("somebody", role)
    if MAY[role][step]:
        STEPS[step](somebody)
        assert AuditEntry.objects.count() == before[1] + 1
        return
    with pytest.raises(ReviewForbidden, match=f"trade {TRADE}: only"):
        STEPS[step](somebody)
    assert (state(), AuditEntry.objects.count()) == before


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (msgspec.structs.replace(ACCEPT, adjusted=(PRICE,)), "value_after"),
        (msgspec.structs.replace(ADJUST, adjusted=()), "value_after"),
        (msgspec.structs.replace(ACCEPT, reason=Reason.WRONG_FEE), "reason"),
        (msgspec.structs.replace(ACCEPT, reason=Reason.OTHER, comment=" "), "comment"),
        (msgspec.structs.replace(ACCEPT, comment="x" * 2_001), "comment"),
    ],
)
def test_a_wrong_proposal_names_its_field_and_changes_nothing(
    case: ReviewCase, mara: User, wanted: Wanted, field: str
) -> None:
    with pytest.raises(ReviewRefused) as refused:
        case_propose(TRADE, wanted, mara, NOW_US)
    assert refused.value.field == field
    assert (state(), Review.objects.count()) == ("open", 0)


def test_a_trade_without_a_case_is_named(mara: User) -> None:
    with pytest.raises(CaseUnknown, match=f"trade {TRADE} has no case"):
        case_propose(TRADE, ACCEPT, mara, NOW_US)


def test_a_case_that_is_proposed_cannot_be_proposed_again(case: ReviewCase, mara: User) -> None:
    case_propose(TRADE, ACCEPT, mara, NOW_US)
    with pytest.raises(InvalidCaseMove, match="its case is proposed"):
        case_propose(TRADE, ACCEPT, mara, NOW_US)


@pytest.mark.parametrize("name", ["nobody", "anna"])
def test_a_case_is_given_only_to_who_may_work_on_it(case: ReviewCase, mara: User, name: str) -> None:
    user("anna", roles.ANALYST)
    with pytest.raises(ReviewRefused, match=f"assignee: {name} is nobody who may work on a case"):
        case_assign(TRADE, name, mara, NOW_US)


@pytest.mark.parametrize("statement", ["UPDATE audit_entry SET who = 'carl'", "DELETE FROM audit_entry"])
def test_the_database_refuses_to_change_the_audit_trail(case: ReviewCase, statement: str) -> None:
    refused = pytest.raises(DatabaseError, match="an entry of the audit trail is never changed or removed")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert audit_broken() is None
