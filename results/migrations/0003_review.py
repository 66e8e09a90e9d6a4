"""The tables of a review: tolerances, cases, proposals, comments, adjustments and the audit trail."""

import uuid

import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import paperdesk.mirror


class Migration(migrations.Migration):
    dependencies = [
        ("results", "0002_dead_letter"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("number", models.BigIntegerField(default=0)),
                ("chain", models.CharField(default="", max_length=64)),
            ],
            options={
                "db_table": "audit_head",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ReconciliationTolerance",
            fields=[
                (
                    "version",
                    models.BigIntegerField(default=0, editable=False, help_text="Grows with every change of this row."),
                ),
                ("day", models.DateField(editable=False, help_text="UTC day of the row's first version.")),
                ("row_hash", models.BigIntegerField(default=0, editable=False, help_text="Hash of the canonical row.")),
                ("changed_at", models.DateTimeField(editable=False, help_text="When this version came to be.")),
                (
                    "changed_by",
                    models.CharField(default="", editable=False, help_text="Who made this version.", max_length=150),
                ),
                ("id", models.CharField(editable=False, max_length=130, primary_key=True, serialize=False)),
                ("venue", models.CharField(default="*", help_text="A venue's name, or * for any.", max_length=64)),
                ("symbol", models.CharField(default="*", help_text="A symbol, or * for any.", max_length=64)),
                ("enabled", models.BooleanField(default=True, help_text="Switched off, the next wider one counts.")),
                (
                    "slippage_bps",
                    paperdesk.mirror.ExactDecimalField(
                        help_text="Adverse slippage of an order, in bps of its requested price."
                    ),
                ),
                (
                    "quantity",
                    paperdesk.mirror.ExactDecimalField(
                        help_text="Difference of an order's and its result's quantity, in base asset."
                    ),
                ),
                (
                    "residual_usd",
                    paperdesk.mirror.ExactDecimalField(
                        help_text="P&L that the terms do not explain, over the rounding of averages."
                    ),
                ),
                (
                    "execution_ms",
                    models.BigIntegerField(help_text="Signal to last fill, without the wait in the queue."),
                ),
                ("broker_ms", models.BigIntegerField(help_text="Acceptance to fill of an order that crosses.")),
                ("network_ms", models.BigIntegerField(help_text="Order and response on their way.")),
                (
                    "missing_results",
                    models.BigIntegerField(help_text="Orders of a trade on the venue that may lack a result."),
                ),
                (
                    "duplicate_results",
                    models.BigIntegerField(help_text="Results of a trade on the venue that may be too many."),
                ),
            ],
            options={
                "db_table": "reconciliation_tolerance",
                "ordering": ("venue", "symbol"),
                "abstract": False,
                "default_permissions": ("add", "change", "view"),
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "version",
                    models.BigIntegerField(default=0, editable=False, help_text="Grows with every change of this row."),
                ),
                ("day", models.DateField(editable=False, help_text="UTC day of the row's first version.")),
                ("row_hash", models.BigIntegerField(default=0, editable=False, help_text="Hash of the canonical row.")),
                ("changed_at", models.DateTimeField(editable=False, help_text="When this version came to be.")),
                (
                    "changed_by",
                    models.CharField(default="", editable=False, help_text="Who made this version.", max_length=150),
                ),
                (
                    "number",
                    models.BigIntegerField(help_text="1, 2, 3 ... without a gap.", primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField()),
                ("who", models.CharField(max_length=150)),
                ("action", models.CharField(max_length=32)),
                ("subject", models.CharField(help_text="What it was done to: table and key.", max_length=200)),
                ("before", paperdesk.mirror.JsonTextField(null=True)),
                ("after", paperdesk.mirror.JsonTextField(null=True)),
                ("chain", models.CharField(max_length=64)),
            ],
            options={
                "db_table": "audit_entry",
                "ordering": ("-number",),
                "abstract": False,
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["subject", "number"], name="audit_subject"),
                    models.Index(fields=["who", "number"], name="audit_who"),
                ],
            },
        ),
        migrations.CreateModel(
            name="HistoricalReconciliationTolerance",
            fields=[
                (
                    "version",
                    models.BigIntegerField(default=0, editable=False, help_text="Grows with every change of this row."),
                ),
                ("id", models.CharField(db_index=True, editable=False, max_length=130)),
                ("venue", models.CharField(default="*", help_text="A venue's name, or * for any.", max_length=64)),
                ("symbol", models.CharField(default="*", help_text="A symbol, or * for any.", max_length=64)),
                ("enabled", models.BooleanField(default=True, help_text="Switched off, the next wider one counts.")),
                (
                    "slippage_bps",
                    paperdesk.mirror.ExactDecimalField(
                        help_text="Adverse slippage of an order, in bps of its requested price."
                    ),
                ),
                (
                    "quantity",
                    paperdesk.mirror.ExactDecimalField(
                        help_text="Difference of an order's and its result's quantity, in base asset."
                    ),
                ),
                (
                    "residual_usd",
                    paperdesk.mirror.ExactDecimalField(
                        help_text="P&L that the terms do not explain, over the rounding of averages."
                    ),
                ),
                (
                    "execution_ms",
                    models.BigIntegerField(help_text="Signal to last fill, without the wait in the queue."),
                ),
                ("broker_ms", models.BigIntegerField(help_text="Acceptance to fill of an order that crosses.")),
                ("network_ms", models.BigIntegerField(help_text="Order and response on their way.")),
                (
                    "missing_results",
                    models.BigIntegerField(help_text="Orders of a trade on the venue that may lack a result."),
                ),
                (
                    "duplicate_results",
                    models.BigIntegerField(help_text="Results of a trade on the venue that may be too many."),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical reconciliation tolerance",
                "verbose_name_plural": "historical reconciliation tolerances",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalReviewCase",
            fields=[
                (
                    "version",
                    models.BigIntegerField(default=0, editable=False, help_text="Grows with every change of this row."),
                ),
                ("trade_id", models.UUIDField(db_index=True)),
                ("portfolio", models.CharField(max_length=64)),
                ("symbol", models.CharField(max_length=64)),
                (
                    "exchange",
                    models.CharField(help_text="Of the gravest break, where it has one.", max_length=64, null=True),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("missing_result", "missing result"),
                            ("duplicate_result", "duplicate result"),
                            ("quantity_mismatch", "quantity mismatch"),
                            ("pnl_residual", "pnl residual"),
                            ("adverse_slippage", "adverse slippage"),
                            ("latency", "latency"),
                            ("price_improvement", "price improvement"),
                        ],
                        help_text="The gravest break.",
                        max_length=32,
                        null=True,
                    ),
                ),
                ("severity", models.BigIntegerField(choices=[(1, "low"), (2, "medium"), (3, "high"), (4, "critical")])),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "open"),
                            ("proposed", "proposed"),
                            ("resolved", "resolved"),
                            ("cleared", "cleared"),
                        ],
                        max_length=16,
                    ),
                ),
                ("rejection_reason", models.CharField(max_length=200, null=True)),
                ("break_count", models.BigIntegerField(help_text="Failures among the breaks.")),
                ("opened_at", models.DateTimeField(help_text="When the reconciliation failed; the age of the case.")),
                ("reconciliation_version", models.BigIntegerField(help_text="The figures that the case is about.")),
                ("reconciliation_hash", models.BigIntegerField()),
                ("assignee", models.CharField(default="", max_length=150)),
                (
                    "review_id",
                    models.UUIDField(help_text="The proposal that waits for a decision, or was approved.", null=True),
                ),
                (
                    "resolution",
                    models.CharField(
                        choices=[("accept", "accept"), ("adjust", "adjust"), ("reject", "reject")],
                        max_length=8,
                        null=True,
                    ),
                ),
                ("resolved_at", models.DateTimeField(null=True)),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical review case",
                "verbose_name_plural": "historical review cases",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Review",
            fields=[
                (
                    "version",
                    models.BigIntegerField(default=0, editable=False, help_text="Grows with every change of this row."),
                ),
                ("day", models.DateField(editable=False, help_text="UTC day of the row's first version.")),
                ("row_hash", models.BigIntegerField(default=0, editable=False, help_text="Hash of the canonical row.")),
                ("changed_at", models.DateTimeField(editable=False, help_text="When this version came to be.")),
                (
                    "changed_by",
                    models.CharField(default="", editable=False, help_text="Who made this version.", max_length=150),
                ),
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("trade_id", models.UUIDField()),
                (
                    "resolution",
                    models.CharField(
                        choices=[("accept", "accept"), ("adjust", "adjust"), ("reject", "reject")], max_length=8
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("market_moved", "market moved"),
                            ("thin_book", "thin book"),
                            ("known_venue_delay", "known venue delay"),
                            ("wrong_price", "wrong price"),
                            ("wrong_quantity", "wrong quantity"),
                            ("wrong_fee", "wrong fee"),
                            ("venue_error", "venue error"),
                            ("data_error", "data error"),
                            ("other", "other"),
                        ],
                        max_length=32,
                    ),
                ),
                ("comment", models.TextField(default="")),
                ("maker", models.CharField(max_length=150)),
                ("maker_id", models.BigIntegerField(help_text="The user, whatever the name is by now.")),
                ("proposed_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("basis_version", models.BigIntegerField(help_text="The reconciliation that the maker saw.")),
                ("basis_hash", models.BigIntegerField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("", "undecided"),
                            ("approved", "approved"),
                            ("returned", "returned"),
                            ("withdrawn", "withdrawn"),
                        ],
                        default="",
                        max_length=12,
                    ),
                ),
                ("checker", models.CharField(default="", help_text="Who decided; who withdrew it.", max_length=150)),
                ("checker_id", models.BigIntegerField(null=True)),
                ("decided_at", models.DateTimeField(null=True)),
                ("decision_comment", models.TextField(default="")),
            ],
            options={
                "db_table": "review",
                "ordering": ("-proposed_at", "id"),
                "permissions": (
                    ("propose_review", "Can work on cases and propose"),
                    ("approve_review", "Can decide on proposals of others"),
                ),
                "abstract": False,
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["trade_id", "-proposed_at"], name="review_trade")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("outcome", "")), fields=("trade_id",), name="review_one_undecided"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("outcome__in", ("approved", "returned")), _negated=True),
                            models.Q(("checker_id", models.F("maker_id")), _negated=True),
                            _connector="OR",
                        ),
                        name="review_four_eyes",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("checker_id", None), ("decided_at", None), ("outcome", "")),
                            models.Q(
                                models.Q(("outcome", ""), _negated=True),
                                ("checker_id__isnull", False),
                                ("decided_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="review_decided_by_somebody",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReviewCase",
            fields=[
                (
                    "version",
                    models.BigIntegerField(default=0, editable=False, help_text="Grows with every change of this row."),
                ),
                ("day", models.DateField(editable=False, help_text="UTC day of the row's first version.")),
                ("row_hash", models.BigIntegerField(default=0, editable=False, help_text="Hash of the canonical row.")),
                ("changed_at", models.DateTimeField(editable=False, help_text="When this version came to be.")),
                (
                    "changed_by",
                    models.CharField(default="", editable=False, help_text="Who made this version.", max_length=150),
                ),
                ("trade_id", models.UUIDField(primary_key=True, serialize=False)),
                ("portfolio", models.CharField(max_length=64)),
                ("symbol", models.CharField(max_length=64)),
                (
                    "exchange",
                    models.CharField(help_text="Of the gravest break, where it has one.", max_length=64, null=True),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("missing_result", "missing result"),
                            ("duplicate_result", "duplicate result"),
                            ("quantity_mismatch", "quantity mismatch"),
                            ("pnl_residual", "pnl residual"),
                            ("adverse_slippage", "adverse slippage"),
                            ("latency", "latency"),
                            ("price_improvement", "price improvement"),
                        ],
                        help_text="The gravest break.",
                        max_length=32,
                        null=True,
                    ),
                ),
                ("severity", models.BigIntegerField(choices=[(1, "low"), (2, "medium"), (3, "high"), (4, "critical")])),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "open"),
                            ("proposed", "proposed"),
                            ("resolved", "resolved"),
                            ("cleared", "cleared"),
                        ],
                        max_length=16,
                    ),
                ),
                ("rejection_reason", models.CharField(max_length=200, null=True)),
                ("break_count", models.BigIntegerField(help_text="Failures among the breaks.")),
                ("opened_at", models.DateTimeField(help_text="When the reconciliation failed; the age of the case.")),
                ("reconciliation_version", models.BigIntegerField(help_text="The figures that the case is about.")),
                ("reconciliation_hash", models.BigIntegerField()),
                ("assignee", models.CharField(default="", max_length=150)),
                (
                    "review_id",
                    models.UUIDField(help_text="The proposal that waits for a decision, or was approved.", null=True),
                ),
                (
                    "resolution",
                    models.CharField(
                        choices=[("accept", "accept"), ("adjust", "adjust"), ("reject", "reject")],
                        max_length=8,
                        null=True,
                    ),
                ),
                ("resolved_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "review_case",
                "ordering": ("-severity", "opened_at", "trade_id"),
                "abstract": False,
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["state", "-severity", "opened_at", "trade_id"], name="case_queue"),
                    models.Index(fields=["state", "assignee", "-severity", "opened_at"], name="case_mine"),
                    models.Index(fields=["state", "exchange", "-severity", "opened_at"], name="case_venue"),
                    models.Index(fields=["state", "symbol", "-severity", "opened_at"], name="case_symbol"),
                    models.Index(fields=["state", "kind", "-severity", "opened_at"], name="case_kind"),
                    models.Index(fields=["state", "opened_at"], name="case_aged"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReviewComment",
            fields=[
                (
                    "version",
                    models.BigIntegerField(default=0, editable=False, help_text="Grows with every change of this row."),
                ),
                ("day", models.DateField(editable=False, help_text="UTC day of the row's first version.")),
                ("row_hash", models.BigIntegerField(default=0, editable=False, help_text="Hash of the canonical row.")),
                ("changed_at", models.DateTimeField(editable=False, help_text="When this version came to be.")),
                (
                    "changed_by",
                    models.CharField(default="", editable=False, help_text="Who made this version.", max_length=150),
                ),
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("trade_id", models.UUIDField()),
                ("author", models.CharField(max_length=150)),
                ("text", models.TextField()),
                ("said_at", models.DateTimeField()),
            ],
            options={
                "db_table": "review_comment",
                "ordering": ("said_at", "id"),
                "abstract": False,
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["trade_id", "said_at"], name="comment_trade")],
            },
        ),
        migrations.CreateModel(
            name="TradeAdjustment",
            fields=[
                (
                    "version",
                    models.BigIntegerField(default=0, editable=False, help_text="Grows with every change of this row."),
                ),
                ("day", models.DateField(editable=False, help_text="UTC day of the row's first version.")),
                ("row_hash", models.BigIntegerField(default=0, editable=False, help_text="Hash of the canonical row.")),
                ("changed_at", models.DateTimeField(editable=False, help_text="When this version came to be.")),
                (
                    "changed_by",
                    models.CharField(default="", editable=False, help_text="Who made this version.", max_length=150),
                ),
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("trade_id", models.UUIDField()),
                ("review_id", models.UUIDField(help_text="The proposal that was approved.")),
                ("adjusted_table", models.CharField(max_length=64)),
                ("adjusted_key", models.CharField(max_length=128)),
                ("adjusted_version", models.BigIntegerField()),
                ("adjusted_column", models.CharField(max_length=64)),
                ("value_before", paperdesk.mirror.ExactDecimalField(null=True)),
                ("value_after", paperdesk.mirror.ExactDecimalField()),
                ("in_force", models.BooleanField(default=False, help_text="Since its proposal was approved.")),
            ],
            options={
                "db_table": "trade_adjustment",
                "ordering": ("-changed_at", "id"),
                "abstract": False,
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["trade_id"], name="adjustment_trade"),
                    models.Index(fields=["review_id"], name="adjustment_review"),
                ],
            },
        ),
    ]
