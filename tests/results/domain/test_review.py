"""Who may do what to a case, and when: each state with each step, and what moves under a proposal."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.domain.breaks import Break, BreakKind
from results.domain.review import (
    COMMENT_CHARACTERS_MAX,
    PROPOSAL_LIFETIME_US,
    REASONS_OF,
    Basis,
    Case,
    CaseState,
    ExpiredProposal,
    InvalidCaseMove,
    OwnProposal,
    Person,
    Proposal,
    Reason,
    Resolution,
    ReviewRefused,
    Severity,
    StaleProposal,
    approve,
    give_back,
    moved,
    opened,
    propose,
    severity_of,
    withdraw,
)

TRADE = "550e8400-e29b-41d4-a716-446655440000"
FIRST, SECOND = Basis(1, 11), Basis(2, 22)
NOW_US = 1_731_000_000_000_000
MARA, CARL = Person(1, "mara"), Person(2, "carl")
MADE = Proposal(MARA, Resolution.ACCEPT, Reason.MARKET_MOVED, "", FIRST, NOW_US)
OPEN = opened(TRADE, FIRST)
PROPOSED = Case(TRADE, CaseState.PROPOSED, FIRST, MADE)
RESOLVED = Case(TRADE, CaseState.RESOLVED, FIRST, MADE)
CLEARED = Case(TRADE, CaseState.CLEARED, SECOND)
STEPS: dict[str, tuple[CaseState, Callable[[Case], Case]]] = {
    "propose": (CaseState.OPEN, lambda case: propose(case, MADE)),
    "withdraw": (CaseState.PROPOSED, lambda case: withdraw(case, MARA)),
    "return": (CaseState.PROPOSED, lambda case: give_back(case, CARL)),
    "approve": (CaseState.PROPOSED, lambda case: approve(case, CARL, NOW_US)),
}


def a_break(kind: BreakKind, expected: str, actual: str, tolerance: str, **changes: Any) -> Break:
    found = Break(
        id="b", trade_id=TRADE, result_id=None, portfolio="strategy", exchange="binance", symbol="BTCUSDT", leg="long",
        kind=kind, is_failure=True, expected=Decimal(expected), actual=Decimal(actual), discrepancy=None,
        tolerance=Decimal(tolerance), reason="", found_us=NOW_US,
    )  # fmt: skip
    return msgspec.structs.replace(found, **changes)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("case", [OPEN, PROPOSED, RESOLVED, CLEARED], ids=lambda case: str(case.state))
def test_each_step_is_possible_in_one_state_only(step: str, case: Case) -> None:
    state, take = STEPS[step]
    if case.state is state:
        assert take(case).state is not state
        return
    with pytest.raises(InvalidCaseMove, match=f"trade {TRADE}: its case is {case.state}, so nobody can"):
        take(case)


def test_another_person_approves_what_was_proposed() -> None:
    assert approve(propose(OPEN, MADE), CARL, NOW_US) == Case(TRADE, CaseState.RESOLVED, FIRST, MADE)


@pytest.mark.parametrize("decide", [lambda case: approve(case, MARA, NOW_US), lambda case: give_back(case, MARA)])
def test_nobody_decides_on_his_own_proposal(decide: Callable[[Case], Case]) -> None:
    with pytest.raises(OwnProposal, match="mara proposed it, so another person decides"):
        decide(PROPOSED)


def test_another_name_makes_nobody_another_person() -> None:
    with pytest.raises(OwnProposal, match="clara proposed it"):
        approve(PROPOSED, Person(MARA.id, "clara"), NOW_US)


def test_only_the_maker_withdraws() -> None:
    assert withdraw(PROPOSED, MARA) == OPEN
    with pytest.raises(ReviewRefused, match="mara proposed it, so carl cannot withdraw it"):
        withdraw(PROPOSED, CARL)


def test_a_proposal_on_figures_that_moved_is_stale_and_can_be_given_back() -> None:
    case = moved(PROPOSED, failed=True, basis=SECOND)
    with pytest.raises(StaleProposal, match="figures are at version 2, the proposal of mara is about version 1"):
        approve(case, CARL, NOW_US)
    assert give_back(case, CARL) == opened(TRADE, SECOND)
    assert withdraw(case, MARA) == opened(TRADE, SECOND)


def test_figures_of_the_same_version_with_another_hash_make_it_stale_too() -> None:
    with pytest.raises(StaleProposal):
        approve(moved(PROPOSED, failed=True, basis=Basis(1, 12)), CARL, NOW_US)


def test_who_saw_older_figures_cannot_propose_on_them() -> None:
    with pytest.raises(StaleProposal, match="you saw version 1 of its figures, they are at version 2 now"):
        propose(opened(TRADE, SECOND), MADE)


def test_a_proposal_expires_at_the_end_of_its_lifetime() -> None:
    assert approve(PROPOSED, CARL, NOW_US + PROPOSAL_LIFETIME_US - 1).state is CaseState.RESOLVED
    with pytest.raises(ExpiredProposal, match="expired at 2024-11-08T17:20:00Z, 24 hours after it was made"):
        approve(PROPOSED, CARL, NOW_US + PROPOSAL_LIFETIME_US)


def test_a_reconciliation_that_succeeds_clears_a_case_and_one_that_fails_again_reopens_it() -> None:
    assert moved(PROPOSED, failed=False, basis=SECOND) == Case(TRADE, CaseState.CLEARED, SECOND)
    assert moved(CLEARED, failed=True, basis=FIRST) == opened(TRADE, FIRST)
    assert moved(RESOLVED, failed=True, basis=SECOND) == opened(TRADE, SECOND)
    assert moved(RESOLVED, failed=False, basis=SECOND) == Case(TRADE, CaseState.RESOLVED, SECOND, MADE)


@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_one_of_its_resolution(resolution: Resolution, reason: Reason) -> None:
    proposal = msgspec.structs.replace(MADE, resolution=resolution, reason=reason, comment="seen on the tape")
    if reason in REASONS_OF[resolution]:
        assert propose(OPEN, proposal).proposal == proposal
        return
    with pytest.raises(ReviewRefused, match=f"reason {reason}: a resolution {resolution} has one of") as refused:
        propose(OPEN, proposal)
    assert refused.value.field == "reason"


@pytest.mark.parametrize(
    ("comment", "sentence"),
    [(" ", "the reason other needs one"), ("x" * 2_001, f"2001 characters, at most {COMMENT_CHARACTERS_MAX}")],
)
def test_a_comment_is_asked_for_and_bounded(comment: str, sentence: str) -> None:
    with pytest.raises(ReviewRefused, match=sentence) as refused:
        propose(OPEN, msgspec.structs.replace(MADE, reason=Reason.OTHER, comment=comment))
    assert refused.value.field == "comment"


@pytest.mark.parametrize(
    ("breaks", "severity"),
    [
        ([a_break(BreakKind.MISSING_RESULT, "1", "0", "0")], Severity.CRITICAL),
        ([a_break(BreakKind.DUPLICATE_RESULT, "1", "2", "0")], Severity.CRITICAL),
        ([a_break(BreakKind.QUANTITY_MISMATCH, "1", "2", "0")], Severity.HIGH),
        ([a_break(BreakKind.PNL_RESIDUAL, "0", "2", "0")], Severity.HIGH),
        # 40,000 -> 40,016 are 4 bps, of 1 bps allowed: 4 times; 40,020 are 5 bps
        ([a_break(BreakKind.ADVERSE_SLIPPAGE, "40000", "40016", "1")], Severity.MEDIUM),
        ([a_break(BreakKind.ADVERSE_SLIPPAGE, "40000", "40020", "1")], Severity.HIGH),
        ([a_break(BreakKind.ADVERSE_SLIPPAGE, "40000", "39980", "1")], Severity.HIGH),
        ([a_break(BreakKind.LATENCY, "100", "499", "100")], Severity.LOW),
        ([a_break(BreakKind.LATENCY, "100", "500", "100")], Severity.MEDIUM),
        ([a_break(BreakKind.ADVERSE_SLIPPAGE, "40000", "40020", "0")], Severity.MEDIUM),  # no tolerance: unknown
        ([a_break(BreakKind.PRICE_IMPROVEMENT, "40000", "30000", "1", is_failure=False)], Severity.MEDIUM),
        ([a_break(BreakKind.LATENCY, "1", "2", "1"), a_break(BreakKind.PNL_RESIDUAL, "0", "2", "0")], Severity.HIGH),
        ([], Severity.MEDIUM),
    ],
)  # fmt: skip
def test_the_gravest_failure_makes_the_severity(breaks: list[Break], severity: Severity) -> None:
    assert severity_of(breaks) is severity


STEP_NAMES = st.sampled_from(["propose", "withdraw", "return", "approve", "fail", "succeed"])


@given(st.lists(st.tuples(STEP_NAMES, st.sampled_from([MARA, CARL, Person(3, "ida")]))))
def test_no_case_is_resolved_by_its_maker_alone_or_on_other_figures(steps: list[tuple[str, Person]]) -> None:
    case, version = opened(TRADE, FIRST), 1
    for name, person in steps:
        try:
            if name == "propose":
                case = propose(case, msgspec.structs.replace(MADE, maker=person, basis=case.basis))
            elif name == "withdraw":
                case = withdraw(case, person)
            elif name == "return":
                case = give_back(case, person)
            elif name == "approve":
                before, case = case, approve(case, person, NOW_US)
                assert before.proposal is not None
                assert before.proposal.maker.id != person.id
                assert before.proposal.basis == case.basis
            else:
                version += 1
                case = moved(case, name == "fail", Basis(version, version))
        except ReviewRefused:
            continue
        assert (case.proposal is None) is (case.state in (CaseState.OPEN, CaseState.CLEARED))
