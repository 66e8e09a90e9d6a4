"""Review of a failed reconciliation by two people: the case, its severity, and what may happen to it. Pure.

A failed reconciliation opens a case. A maker proposes a resolution with a reason; a checker, who is another person,
approves or returns it. Invariants: nobody decides on his own proposal; a proposal holds for the figures that it was
made on and for PROPOSAL_HOURS, then it can only be returned or withdrawn; figures that move reopen what was resolved.
Source: ruling 26.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum, StrEnum

import msgspec

from results.domain.break_words import size_of
from results.domain.breaks import Break, BreakKind
from results.domain.errors import PaperDeskError
from results.domain.units import MICROSECONDS, ZERO, iso_of

PROPOSAL_HOURS = 24
PROPOSAL_LIFETIME_US = PROPOSAL_HOURS * 3_600 * MICROSECONDS
COMMENT_CHARACTERS_MAX = 2_000
FAR_OVER = 5  # times the tolerance: a break is then graver by one degree


class CaseState(StrEnum):
    """Where a case stands. `cleared`: a newer reconciliation of the trade succeeded, so nothing is to be decided."""

    OPEN = "open"
    PROPOSED = "proposed"
    RESOLVED = "resolved"
    CLEARED = "cleared"


class Resolution(StrEnum):
    """What a maker proposes: the figures stand; they are corrected by an adjustment; they are not accepted."""

    ACCEPT = "accept"
    ADJUST = "adjust"
    REJECT = "reject"


class Reason(StrEnum):
    """Why, as a code that can be counted."""

    MARKET_MOVED = "market_moved"
    THIN_BOOK = "thin_book"
    KNOWN_VENUE_DELAY = "known_venue_delay"
    WRONG_PRICE = "wrong_price"
    WRONG_QUANTITY = "wrong_quantity"
    WRONG_FEE = "wrong_fee"
    VENUE_ERROR = "venue_error"
    DATA_ERROR = "data_error"
    OTHER = "other"


REASONS_OF: dict[Resolution, tuple[Reason, ...]] = {
    Resolution.ACCEPT: (Reason.MARKET_MOVED, Reason.THIN_BOOK, Reason.KNOWN_VENUE_DELAY, Reason.OTHER),
    Resolution.ADJUST: (Reason.WRONG_PRICE, Reason.WRONG_QUANTITY, Reason.WRONG_FEE, Reason.OTHER),
    Resolution.REJECT: (Reason.VENUE_ERROR, Reason.DATA_ERROR, Reason.OTHER),
}


class Severity(IntEnum):
    """How grave a case is; the queue begins with the gravest."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


SEVERITY_OF: dict[BreakKind, Severity] = {
    BreakKind.MISSING_RESULT: Severity.CRITICAL,
    BreakKind.DUPLICATE_RESULT: Severity.CRITICAL,
    BreakKind.QUANTITY_MISMATCH: Severity.HIGH,
    BreakKind.PNL_RESIDUAL: Severity.HIGH,
    BreakKind.ADVERSE_SLIPPAGE: Severity.MEDIUM,
    BreakKind.LATENCY: Severity.LOW,
}


class ReviewRefused(PaperDeskError):
    """A step of a review that is not allowed; `field` names what is wrong with the form, if it is one of its fields."""

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


class InvalidCaseMove(ReviewRefused):
    """The case is not in a state in which this can happen."""


class OwnProposal(ReviewRefused):
    """Whoever proposes does not decide."""


class StaleProposal(ReviewRefused):
    """The figures moved after the proposal."""


class ExpiredProposal(ReviewRefused):
    """The proposal is too old to be approved."""


class StillInForce(ReviewRefused):
    """The proposal has not expired yet."""


class Basis(msgspec.Struct, frozen=True):
    """The figures that a case is about: the version of its reconciliation and the hash of that row."""

    version: int
    row_hash: int


class Person(msgspec.Struct, frozen=True):
    """Who does something. Two are the same person if their ids are: a user may be given another name."""

    id: int
    name: str


class Proposal(msgspec.Struct, frozen=True):
    """What a maker wants, on which figures, and when."""

    maker: Person
    resolution: Resolution
    reason: Reason
    comment: str
    basis: Basis
    proposed_us: int

    @property
    def expires_us(self) -> int:
        """From when it cannot be approved any more."""
        return self.proposed_us + PROPOSAL_LIFETIME_US


class Case(msgspec.Struct, frozen=True):
    """A case as it stands. `proposal` is there exactly while it is proposed."""

    trade_id: str
    state: CaseState
    basis: Basis
    proposal: Proposal | None = None


def severity_of(breaks: Sequence[Break]) -> Severity:
    """The gravest of the failures. A slippage or latency FAR_OVER times its tolerance is graver by one degree; a
    failure of another program's reconciliation, which has no breaks, is of medium severity."""
    failures = [each for each in breaks if each.is_failure]
    return max((_severity(each) for each in failures), default=Severity.MEDIUM)


def _severity(found: Break) -> Severity:
    usual = SEVERITY_OF[found.kind]
    if found.kind not in (BreakKind.ADVERSE_SLIPPAGE, BreakKind.LATENCY):
        return usual
    return Severity(usual + 1) if times_over(found) >= FAR_OVER else usual


def times_over(found: Break) -> Decimal:
    """How many times its tolerance a break is; 0 if that is unknown, or nothing is allowed."""
    return size_of(found).times or ZERO


def opened(trade_id: str, basis: Basis) -> Case:
    """The case of a reconciliation that failed."""
    return Case(trade_id, CaseState.OPEN, basis)


def moved(case: Case, failed: bool, basis: Basis) -> Case:
    """The case after a newer reconciliation of its trade: one that succeeded clears it, other figures reopen it."""
    if case.state is CaseState.RESOLVED and not failed:
        return msgspec.structs.replace(case, basis=basis)
    if not failed:
        return Case(case.trade_id, CaseState.CLEARED, basis)
    if case.state in (CaseState.RESOLVED, CaseState.CLEARED):
        return opened(case.trade_id, basis)
    return msgspec.structs.replace(case, basis=basis)  # a proposal stays to be seen, and is stale


def propose(case: Case, proposal: Proposal) -> Case:
    """The case with a maker's proposal.

    Raises InvalidCaseMove, or ReviewRefused for a reason that is none of the resolution's, or without a comment where
    the reason says nothing by itself.
    """
    _require(case, CaseState.OPEN, "propose a resolution")
    known = REASONS_OF[proposal.resolution]
    if proposal.reason not in known:
        sentence = f"reason {proposal.reason}: a resolution {proposal.resolution} has one of {', '.join(known)}"
        raise ReviewRefused(sentence, "reason")
    if proposal.reason is Reason.OTHER and not proposal.comment.strip():
        raise ReviewRefused("comment: the reason other needs one", "comment")
    if len(proposal.comment) > COMMENT_CHARACTERS_MAX:
        said = len(proposal.comment)
        raise ReviewRefused(f"comment: {said} characters, at most {COMMENT_CHARACTERS_MAX} are kept", "comment")
    if proposal.basis != case.basis:
        raise StaleProposal(
            f"trade {case.trade_id}: you saw version {proposal.basis.version} of its figures, they are at version "
            f"{case.basis.version} now; look at them again"
        )
    return msgspec.structs.replace(case, state=CaseState.PROPOSED, proposal=proposal)


def withdraw(case: Case, by: Person) -> Case:
    """The case without its proposal, which its maker takes back. Raises InvalidCaseMove, ReviewRefused."""
    proposal = _proposed(case, "withdraw a proposal")
    if by.id != proposal.maker.id:
        raise ReviewRefused(
            f"trade {case.trade_id}: {proposal.maker.name} proposed it, so {by.name} cannot withdraw it"
        )
    return Case(case.trade_id, CaseState.OPEN, case.basis)


def give_back(case: Case, checker: Person) -> Case:
    """The case without its proposal, which a checker does not approve. Raises InvalidCaseMove, OwnProposal."""
    _refuse_own(case, _proposed(case, "return a proposal"), checker)
    return Case(case.trade_id, CaseState.OPEN, case.basis)


def approve(case: Case, checker: Person, at_us: int) -> Case:
    """The case resolved as proposed, by a checker who is another person.

    Raises InvalidCaseMove, OwnProposal, StaleProposal, ExpiredProposal.
    """
    proposal = _proposed(case, "approve a proposal")
    _refuse_own(case, proposal, checker)
    maker = proposal.maker.name
    if proposal.basis != case.basis:
        raise StaleProposal(
            f"trade {case.trade_id}: its figures are at version {case.basis.version}, the proposal of {maker} is "
            f"about version {proposal.basis.version}; it can be returned or withdrawn, and made anew"
        )
    if at_us >= proposal.expires_us:
        raise ExpiredProposal(
            f"trade {case.trade_id}: the proposal of {maker} expired at {iso_of(proposal.expires_us)}, "
            f"{PROPOSAL_HOURS} hours after it was made; it can be returned or withdrawn, and made anew"
        )
    return msgspec.structs.replace(case, state=CaseState.RESOLVED)


def expire(case: Case, at_us: int) -> Case:
    """The case without its proposal, which nobody decided on in time. Raises InvalidCaseMove, StillInForce."""
    proposal = _proposed(case, "expire a proposal")
    if at_us < proposal.expires_us:
        raise StillInForce(f"trade {case.trade_id}: its proposal holds until {iso_of(proposal.expires_us)}")
    return Case(case.trade_id, CaseState.OPEN, case.basis)


def _require(case: Case, state: CaseState, to: str) -> None:
    if case.state is not state:
        raise InvalidCaseMove(f"trade {case.trade_id}: its case is {case.state}, so nobody can {to}")


def _proposed(case: Case, to: str) -> Proposal:
    _require(case, CaseState.PROPOSED, to)
    if case.proposal is None:
        raise InvalidCaseMove(f"trade {case.trade_id}: its case has no proposal")
    return case.proposal


def _refuse_own(case: Case, proposal: Proposal, checker: Person) -> None:
    if checker.id == proposal.maker.id:
        raise OwnProposal(f"trade {case.trade_id}: {checker.name} proposed it, so another person decides (four eyes)")
