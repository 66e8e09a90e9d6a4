"""The tables of a review, born in Django: tolerances, cases, proposals, comments, adjustments, and the audit trail.

Rows are saved by `results.review.services` only, each change with its outbox row and its entry of the audit trail in
one transaction. No foreign key of theirs points at a mirrored row, which may leave its table while the case stays. That
somebody decides on his own proposal, or that a case has two undecided ones, the database refuses as well.
Source: rulings 25 and 26.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from paperdesk.born import BornModel
from paperdesk.combinations import combination_index
from paperdesk.mirror import ExactDecimalField, JsonTextField
from paperdesk.roles import APPROVE, PROPOSE
from results.domain.breaks import BreakKind
from results.domain.review import CaseState, Reason, Resolution, Severity
from results.domain.tolerances import ANY

NAME_CHARACTERS = 150  # of Django's users
HISTORY_LEAVES_OUT = ("day", "row_hash", "changed_at", "changed_by")


def choices_of(kind: type) -> list[tuple[object, str]]:
    """The members of an enumeration as a form shows them."""
    return [(each.value, str(getattr(each, "name", each)).lower().replace("_", " ")) for each in kind]  # type: ignore[attr-defined]


class Outcome(models.TextChoices):
    """What became of a proposal; empty while nobody has decided. The last two are the desk's doing: nobody decided in
    time, or there was nothing to decide any more."""

    NONE = "", "undecided"
    APPROVED = "approved", "approved"
    RETURNED = "returned", "returned"
    WITHDRAWN = "withdrawn", "withdrawn"
    EXPIRED = "expired", "expired"
    CLEARED = "cleared", "cleared"


class ReconciliationTolerance(BornModel):
    """How far an order may be off on a venue and symbol, or on any of them, before it is a break."""

    id = models.CharField(primary_key=True, max_length=130, editable=False)
    venue = models.CharField(max_length=64, default=ANY, help_text="A venue's name, or * for any.")
    symbol = models.CharField(max_length=64, default=ANY, help_text="A symbol, or * for any.")
    enabled = models.BooleanField(default=True, help_text="Switched off, the next wider one counts.")
    slippage_bps = ExactDecimalField(help_text="Adverse slippage of an order, in bps of its requested price.")
    quantity = ExactDecimalField(help_text="Difference of an order's and its result's quantity, in base asset.")
    residual_usd = ExactDecimalField(help_text="P&L that the terms do not explain, over the rounding of averages.")
    execution_ms = models.BigIntegerField(help_text="Signal to last fill, without the wait in the queue.")
    broker_ms = models.BigIntegerField(help_text="Acceptance to fill of an order that crosses.")
    network_ms = models.BigIntegerField(help_text="Order and response on their way.")
    missing_results = models.BigIntegerField(help_text="Orders of a trade on the venue that may lack a result.")
    duplicate_results = models.BigIntegerField(help_text="Results of a trade on the venue that may be too many.")
    history = HistoricalRecords(excluded_fields=HISTORY_LEAVES_OUT)

    class Meta(BornModel.Meta):
        db_table = "reconciliation_tolerance"
        ordering = ("venue", "symbol")

    def __str__(self) -> str:
        return f"{self.venue}:{self.symbol}"


class ReviewCase(BornModel):
    """One failed reconciliation, until two people have decided what becomes of it."""

    trade_id = models.UUIDField(primary_key=True)
    portfolio = models.CharField(max_length=64)
    symbol = models.CharField(max_length=64)
    exchange = models.CharField(max_length=64, null=True, help_text="Of the gravest break, where it has one.")
    kind = models.CharField(max_length=32, null=True, choices=choices_of(BreakKind), help_text="The gravest break.")
    severity = models.BigIntegerField(choices=choices_of(Severity))
    state = models.CharField(max_length=16, choices=choices_of(CaseState))
    rejection_reason = models.CharField(max_length=200, null=True)
    break_count = models.BigIntegerField(help_text="Failures among the breaks.")
    opened_at = models.DateTimeField(help_text="When the reconciliation failed; the age of the case.")
    reconciliation_version = models.BigIntegerField(help_text="The figures that the case is about.")
    reconciliation_hash = models.BigIntegerField()
    assignee = models.CharField(max_length=NAME_CHARACTERS, default="")
    review_id = models.UUIDField(null=True, help_text="The proposal that waits for a decision, or was approved.")
    resolution = models.CharField(max_length=8, null=True, choices=choices_of(Resolution))
    resolved_at = models.DateTimeField(null=True)
    history = HistoricalRecords(excluded_fields=HISTORY_LEAVES_OUT)

    class Meta(BornModel.Meta):
        db_table = "review_case"
        default_permissions = ("view",)
        ordering = ("-severity", "opened_at", "trade_id")
        indexes = (
            models.Index(fields=("state", "-severity", "opened_at", "trade_id"), name="case_queue"),
            models.Index(fields=("state", "assignee", "-severity", "opened_at", "trade_id"), name="case_mine"),
            models.Index(fields=("state", "exchange", "-severity", "opened_at", "trade_id"), name="case_venue"),
            models.Index(fields=("state", "symbol", "-severity", "opened_at", "trade_id"), name="case_symbol"),
            models.Index(fields=("state", "kind", "-severity", "opened_at", "trade_id"), name="case_kind"),
            models.Index(fields=("state", "portfolio", "-severity", "opened_at", "trade_id"), name="case_portfolio"),
            models.Index(fields=("state", "opened_at"), name="case_aged"),
        )

    def __str__(self) -> str:
        return f"case of trade {self.trade_id}"


class Review(BornModel):
    """One proposal and what was decided on it. Neither is ever changed; another proposal is another row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    trade_id = models.UUIDField()
    resolution = models.CharField(max_length=8, choices=choices_of(Resolution))
    reason = models.CharField(max_length=32, choices=choices_of(Reason))
    comment = models.TextField(default="")
    maker = models.CharField(max_length=NAME_CHARACTERS)
    maker_id = models.BigIntegerField(help_text="The user, whatever the name is by now.")
    proposed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    basis_version = models.BigIntegerField(help_text="The reconciliation that the maker saw.")
    basis_hash = models.BigIntegerField()
    outcome = models.CharField(max_length=12, choices=Outcome, default=Outcome.NONE)
    checker = models.CharField(max_length=NAME_CHARACTERS, default="", help_text="Who decided; who withdrew it.")
    checker_id = models.BigIntegerField(null=True)
    decided_at = models.DateTimeField(null=True)
    decision_comment = models.TextField(default="")

    class Meta(BornModel.Meta):
        db_table = "review"
        default_permissions = ("view",)
        permissions = ((PROPOSE, "Can work on cases and propose"), (APPROVE, "Can decide on proposals of others"))
        ordering = ("-proposed_at", "id")
        indexes = (
            models.Index(fields=("trade_id", "-proposed_at"), name="review_trade"),
            models.Index(fields=("-proposed_at", "id"), name="review_time"),
            combination_index(
                "reason",
                "resolution",
                "outcome",
                latest="proposed_at",
                then="id",
                name="review_list",
            ),  # fmt: skip
        )
        constraints = (
            models.UniqueConstraint(fields=("trade_id",), condition=Q(outcome=""), name="review_one_undecided"),
            models.CheckConstraint(
                condition=~Q(outcome__in=("approved", "returned")) | ~Q(checker_id=F("maker_id")),
                name="review_four_eyes",
            ),
            models.CheckConstraint(
                condition=Q(outcome="", checker_id=None, decided_at=None)
                | Q(outcome__in=("expired", "cleared"), checker_id=None, decided_at__isnull=False)
                | Q(outcome__in=("approved", "returned", "withdrawn"), checker_id__isnull=False)
                & Q(decided_at__isnull=False),
                name="review_decided_by_somebody",
            ),
        )

    def __str__(self) -> str:
        return f"{self.resolution} of trade {self.trade_id} by {self.maker}"


class TradeAdjustment(BornModel):
    """A corrected figure: a row that names the old one, which stays as it is."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    trade_id = models.UUIDField()
    review_id = models.UUIDField(help_text="The proposal that was approved.")
    adjusted_table = models.CharField(max_length=64)
    adjusted_key = models.CharField(max_length=128)
    adjusted_version = models.BigIntegerField()
    adjusted_column = models.CharField(max_length=64)
    value_before = ExactDecimalField(null=True)
    value_after = ExactDecimalField()
    in_force = models.BooleanField(default=False, help_text="Since its proposal was approved.")

    class Meta(BornModel.Meta):
        db_table = "trade_adjustment"
        default_permissions = ("view",)
        ordering = ("-changed_at", "id")
        indexes = (
            models.Index(fields=("trade_id",), name="adjustment_trade"),
            models.Index(fields=("review_id",), name="adjustment_review"),
            models.Index(fields=("-changed_at", "id"), name="adjustment_time"),
            combination_index(
                "adjusted_table",
                "adjusted_column",
                "in_force",
                latest="changed_at",
                then="id",
                name="adjustment_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"{self.adjusted_column} of {self.adjusted_table} {self.adjusted_key}: {self.value_after}"


class ReviewComment(BornModel):
    """What somebody had to say of a case."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    trade_id = models.UUIDField()
    author = models.CharField(max_length=NAME_CHARACTERS)
    text = models.TextField()
    said_at = models.DateTimeField()

    class Meta(BornModel.Meta):
        db_table = "review_comment"
        default_permissions = ("view",)
        ordering = ("said_at", "id")
        indexes = (
            models.Index(fields=("trade_id", "said_at"), name="comment_trade"),
            models.Index(fields=("-said_at", "id"), name="comment_time"),
        )

    def __str__(self) -> str:
        return f"{self.author} of trade {self.trade_id}"


class AuditEntry(BornModel):
    """One thing that somebody did, chained to the one before by its hash. Written once; the database refuses more.

    `chain` is the BLAKE2b hash of the chain before and of this entry's own figures: whoever changes, removes or adds an
    entry in between breaks every later one.
    """

    number = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 ... without a gap.")
    at = models.DateTimeField()
    who = models.CharField(max_length=NAME_CHARACTERS)
    action = models.CharField(max_length=32)
    subject = models.CharField(max_length=200, help_text="What it was done to: table and key.")
    before = JsonTextField(null=True)
    after = JsonTextField(null=True)
    chain = models.CharField(max_length=64)

    class Meta(BornModel.Meta):
        db_table = "audit_entry"
        verbose_name_plural = "audit entries"
        ordering = ("-number",)
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=("subject", "number"), name="audit_subject"),
            models.Index(fields=("who", "number"), name="audit_who"),
            models.Index(fields=("action", "number"), name="audit_action"),
            models.Index(fields=("at", "number"), name="audit_at"),
        )

    def __str__(self) -> str:
        return f"{self.number}: {self.who} {self.action} {self.subject}"


class AuditHead(models.Model):
    """The end of the audit trail, a single row: locked by whoever adds to it, and what tells that its tail is there."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)
    chain = models.CharField(max_length=64, default="")

    class Meta:
        db_table = "audit_head"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number} entries"
