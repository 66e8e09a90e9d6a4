"""The durable tables of results, under the documents' names. Mirrors: read, never edited (`paperdesk.mirror`).

Columns that the documents name come first and keep their names; ours follow. The tables of a review, which people
write, are in `results.review_models`.
"""

from __future__ import annotations

from django.db import models

from paperdesk.combinations import combination_index
from paperdesk.mirror import ExactDecimalField, MirroredModel
from results.review_models import AuditEntry as AuditEntry
from results.review_models import AuditHead as AuditHead
from results.review_models import ReconciliationTolerance as ReconciliationTolerance
from results.review_models import Review as Review
from results.review_models import ReviewCase as ReviewCase
from results.review_models import ReviewComment as ReviewComment
from results.review_models import TradeAdjustment as TradeAdjustment


class TradeResult(MirroredModel):
    """What one order came to. Source: result-stream-layer 1, ruling 23."""

    result_id = models.UUIDField(primary_key=True)
    trade_id = models.UUIDField()
    symbol = models.CharField(max_length=64)
    direction = models.CharField(max_length=8, help_text="buy or sell")
    lot_size = ExactDecimalField(help_text="Base quantity of the order.")
    execution_price = ExactDecimalField(help_text="Volume-weighted; 0 for an order that never executed.")
    requested_price = ExactDecimalField(null=True)
    slippage = ExactDecimalField(null=True, help_text="Execution minus requested price.")
    pnl = ExactDecimalField(null=True, help_text="Realised price P&L of the leg before fees; 0 for an entry.")
    commission = ExactDecimalField(null=True, help_text="The fee; a cost is positive.")
    fees = ExactDecimalField(null=True)
    state = models.CharField(max_length=24)
    executed_at = models.DateTimeField()
    portfolio = models.CharField(max_length=64, null=True)
    exchange = models.CharField(max_length=64, null=True)
    leg = models.CharField(max_length=8, null=True)
    role = models.CharField(max_length=8, null=True, help_text="entry, exit or hedge")
    order_id = models.CharField(max_length=64, null=True)
    filled_quantity = ExactDecimalField(null=True)
    slippage_cost_bps = ExactDecimalField(null=True, help_text="Positive is a cost.")
    origin = models.CharField(max_length=16)

    class Meta(MirroredModel.Meta):
        db_table = "trade_result"
        ordering = ("-executed_at", "result_id")
        indexes = (
            models.Index(fields=("-executed_at", "result_id"), name="trade_result_time"),
            models.Index(fields=("trade_id",), name="trade_result_trade"),
            models.Index(fields=("state", "-executed_at"), name="trade_result_state"),
            models.Index(fields=("portfolio", "-executed_at"), name="trade_result_portfolio"),
            models.Index(fields=("exchange", "-executed_at"), name="trade_result_exchange"),
            models.Index(fields=("symbol", "-executed_at"), name="trade_result_symbol"),
            combination_index(
                "symbol",
                "exchange",
                "portfolio",
                "state",
                "role",
                "direction",
                latest="executed_at",
                then="result_id",
                name="trade_result_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"{self.direction} {self.lot_size} {self.symbol}: {self.state}"


class ResultMetrics(MirroredModel):
    """How one order was executed. Source: result-stream-layer 2, ruling 23."""

    result_id = models.UUIDField(primary_key=True)
    execution_latency_ms = models.BigIntegerField(null=True)
    broker_latency_ms = models.BigIntegerField(null=True)
    network_latency_ms = models.BigIntegerField(null=True)
    slippage = ExactDecimalField(null=True)
    created_at = models.DateTimeField()
    portfolio = models.CharField(max_length=64, null=True)
    queue_wait_ms = models.BigIntegerField(null=True, help_text="Time at rest in the queue; under no limit.")
    origin = models.CharField(max_length=16)

    class Meta(MirroredModel.Meta):
        db_table = "result_metrics"
        ordering = ("-created_at", "result_id")
        indexes = (
            models.Index(fields=("-created_at", "result_id"), name="result_metrics_time"),
            combination_index("portfolio", latest="created_at", then="result_id", name="result_metrics_list"),
        )
        verbose_name_plural = "result metrics"

    def __str__(self) -> str:
        return f"metrics of {self.result_id}"


class TradeReconciliation(MirroredModel):
    """Whether a trade came out as intended: its worst break. Source: result-stream-layer 3, ruling 25."""

    trade_id = models.UUIDField(primary_key=True)
    reconciliation_status = models.CharField(max_length=16, help_text="success or failed")
    discrepancy = ExactDecimalField(null=True, help_text="Execution minus requested price of the worst order.")
    rejection_reason = models.CharField(max_length=200, null=True)
    reconciled_at = models.DateTimeField()
    portfolio = models.CharField(max_length=64, null=True)
    symbol = models.CharField(max_length=64, null=True)
    break_count = models.BigIntegerField(null=True)
    improvement_count = models.BigIntegerField(null=True)
    origin = models.CharField(max_length=16)

    class Meta(MirroredModel.Meta):
        db_table = "trade_reconciliation"
        ordering = ("-reconciled_at", "trade_id")
        indexes = (
            models.Index(fields=("-reconciled_at", "trade_id"), name="reconciliation_time"),
            models.Index(fields=("reconciliation_status", "-reconciled_at"), name="reconciliation_status"),
            models.Index(fields=("portfolio", "-reconciled_at"), name="reconciliation_portfolio"),
            combination_index(
                "symbol",
                "portfolio",
                "reconciliation_status",
                latest="reconciled_at",
                then="trade_id",
                name="reconciliation_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"{self.reconciliation_status}: {self.trade_id}"


class TradeReconciliationBreak(MirroredModel):
    """One difference between intended and actual: per order (or trade) and kind. Source: ruling 25."""

    id = models.UUIDField(primary_key=True)
    trade_id = models.UUIDField()
    result_id = models.UUIDField(null=True)
    portfolio = models.CharField(max_length=64)
    exchange = models.CharField(max_length=64, null=True)
    symbol = models.CharField(max_length=64)
    leg = models.CharField(max_length=8, null=True)
    kind = models.CharField(max_length=32)
    is_failure = models.BooleanField(help_text="False for an improvement: favourable, over the tolerance.")
    expected = ExactDecimalField(null=True)
    actual = ExactDecimalField(null=True)
    discrepancy = ExactDecimalField(null=True)
    tolerance = ExactDecimalField(null=True)
    reason = models.CharField(max_length=200)
    found_at = models.DateTimeField()

    class Meta(MirroredModel.Meta):
        db_table = "trade_reconciliation_break"
        ordering = ("-found_at", "id")
        indexes = (
            models.Index(fields=("-found_at", "id"), name="break_time"),
            models.Index(fields=("trade_id",), name="break_trade"),
            models.Index(fields=("kind", "-found_at"), name="break_kind"),
            combination_index(
                "symbol",
                "exchange",
                "portfolio",
                "kind",
                "is_failure",
                latest="found_at",
                then="id",
                name="break_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"{self.kind} in {self.trade_id}"


class FollowerWatermark(models.Model):
    """How far a follower of the durable log has come; moved in the SQL transaction that wrote its rows.

    `mark` tells the log's row at `seq` from another that had the number in a log that was restored or replaced.
    """

    name = models.CharField(primary_key=True, max_length=32)
    seq = models.BigIntegerField(help_text="Everything of the log up to here is in the tables.")
    mark = models.CharField(max_length=120, help_text="Stream id and hash of the last row up to `seq`.")
    moved_at = models.DateTimeField()

    class Meta:
        db_table = "follower_watermark"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.name}: {self.seq}"


class DeadLetterState(models.TextChoices):
    """Whether anything is to be done about a dead letter."""

    OPEN = "open", "open"
    ASKED = "asked", "to be retried"
    DONE = "done", "done"


class DeadLetter(models.Model):
    """What could not become a durable row: its content, and why. Kept for ever; staff may have it tried again.

    `kind` is entry (of the outbox), reconciliation (of a trade), or that of a record of another program: hash, open,
    closed (trades), element (of the leg-out list), wrong (not even of the right type).
    """

    id = models.CharField(primary_key=True, max_length=40, help_text="Its place in the stream of dead letters.")
    kind = models.CharField(max_length=16)
    key = models.CharField(max_length=512, help_text="The record in Redis, or the stream entry, that it is about.")
    table = models.CharField(max_length=64, help_text="The durable table that was meant.")
    reason = models.TextField(help_text="Why it is no row, as of the last try.")
    content = models.TextField(help_text="What was found, as it was.")
    found_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=DeadLetterState, default=DeadLetterState.OPEN)
    outcome = models.TextField(default="", help_text="What became of it, once it is done.")
    tries = models.IntegerField(default=0, help_text="How often it was tried again.")
    tried_at = models.DateTimeField(null=True, help_text="When it was tried last.")
    asked_by = models.CharField(max_length=150, default="", help_text="Who last asked for another try.")

    class Meta:
        db_table = "dead_letter"
        ordering = ("-found_at", "id")
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=("-found_at", "id"), name="dead_letter_time"),
            models.Index(fields=("state", "-found_at"), name="dead_letter_state"),
            models.Index(fields=("key",), name="dead_letter_key"),
            combination_index("table", "kind", "state", latest="found_at", then="id", name="dead_letter_list"),
        )

    def __str__(self) -> str:
        return self.key
