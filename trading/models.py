"""The durable tables of trading. Mirrors of what the engine wrote, which are read and never edited
(`paperdesk.mirror`), and the settings, which people edit (`trading.settings_models`).

Prices are quote per base, `_usd` amounts the account currency, `_bps` basis points, times UTC microseconds.
"""

from __future__ import annotations

from django.db import models

from paperdesk.combinations import combination_index
from paperdesk.mirror import ExactDecimalField, JsonTextField, MirroredModel
from trading.settings_models import DeskSettings as DeskSettings
from trading.settings_models import Instrument as Instrument
from trading.settings_models import Strategy as Strategy
from trading.settings_models import Venue as Venue


class PaperTrade(MirroredModel):
    """A trade: the documents' PaperTrade, flattened, with the terms of its P&L (ruling 15)."""

    id = models.UUIDField(primary_key=True)
    portfolio = models.CharField(max_length=64)
    symbol = models.CharField(max_length=64)
    long_exchange = models.CharField(max_length=64)
    short_exchange = models.CharField(max_length=64)
    status = models.CharField(max_length=16)
    entry_time = models.DateTimeField()
    exit_time = models.DateTimeField(null=True)
    exit_reason = models.CharField(max_length=32, null=True)
    entry_long_price = ExactDecimalField()
    entry_short_price = ExactDecimalField()
    entry_spread_bps = ExactDecimalField()
    position_size_usd = ExactDecimalField()
    quantity = ExactDecimalField(help_text="Base asset, the same on both legs.")
    funding_delta_entry = ExactDecimalField(help_text="Short minus long rate per 8 hours, a ratio.")
    projected_profit_usd = ExactDecimalField()
    projected_spread_usd = ExactDecimalField()
    projected_funding_usd = ExactDecimalField()
    projected_fees_usd = ExactDecimalField()
    exit_long_price = ExactDecimalField(null=True)
    exit_short_price = ExactDecimalField(null=True)
    price_pnl_long_usd = ExactDecimalField(null=True)
    price_pnl_short_usd = ExactDecimalField(null=True)
    funding_long_usd = ExactDecimalField()
    funding_short_usd = ExactDecimalField()
    fees_usd = ExactDecimalField()
    hedge_fees_usd = ExactDecimalField()
    actual_profit_usd = ExactDecimalField(null=True, help_text="Realised net; null until closed.")
    residual_usd = ExactDecimalField(null=True, help_text="Net cash minus the sum of its terms; 0 but for rounding.")
    legged_out = models.BooleanField()
    origin = models.CharField(max_length=16)

    class Meta(MirroredModel.Meta):
        db_table = "paper_trade"
        ordering = ("-entry_time", "id")
        indexes = (
            models.Index(fields=("-entry_time", "id"), name="paper_trade_entry"),
            models.Index(fields=("portfolio", "-entry_time"), name="paper_trade_portfolio"),
            models.Index(fields=("symbol", "-entry_time"), name="paper_trade_symbol"),
            models.Index(fields=("status", "-entry_time"), name="paper_trade_status"),
            models.Index(fields=("exit_reason", "-entry_time"), name="paper_trade_reason"),
            models.Index(fields=("long_exchange", "-entry_time"), name="paper_trade_long"),
            models.Index(fields=("short_exchange", "-entry_time"), name="paper_trade_short"),
            combination_index(
                "symbol",
                "long_exchange",
                "short_exchange",
                "portfolio",
                "status",
                "exit_reason",
                latest="entry_time",
                then="id",
                name="paper_trade_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"{self.symbol} {self.long_exchange}/{self.short_exchange} {self.id}"


class LegOutEvent(MirroredModel):
    """One leg was filled and the other was not in time (ruling 11). One row per trade."""

    added_columns = frozenset({"origin"})

    trade_id = models.UUIDField(primary_key=True)
    portfolio = models.CharField(max_length=64)
    symbol = models.CharField(max_length=64)
    timestamp = models.DateTimeField()
    filled_leg = models.CharField(max_length=8)
    filled_at = models.DateTimeField()
    filled_price = ExactDecimalField()
    unfilled_leg = models.CharField(max_length=8)
    hedge = models.CharField(max_length=16, help_text="unwind or complete")
    hedge_executed = models.BooleanField()
    hedge_price = ExactDecimalField(null=True)
    hedge_loss = ExactDecimalField(null=True, help_text="Quote asset; positive is a loss.")
    reason = models.CharField(max_length=32)
    origin = models.CharField(max_length=16, null=True, help_text="foreign; null for the engine's own.")

    class Meta(MirroredModel.Meta):
        db_table = "leg_out_event"
        ordering = ("-timestamp", "trade_id")
        indexes = (
            models.Index(fields=("-timestamp", "trade_id"), name="leg_out_time"),
            models.Index(fields=("portfolio", "-timestamp"), name="leg_out_portfolio"),
            combination_index(
                "symbol",
                "portfolio",
                "hedge",
                "filled_leg",
                latest="timestamp",
                then="trade_id",
                name="leg_out_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"leg-out of {self.trade_id}"


class FundingPayment(MirroredModel):
    """Funding of one leg at one settlement (ruling 13). `cash_usd` is positive when received."""

    added_columns = frozenset({"basis"})

    id = models.UUIDField(primary_key=True)
    trade_id = models.UUIDField()
    portfolio = models.CharField(max_length=64)
    exchange = models.CharField(max_length=64)
    symbol = models.CharField(max_length=64)
    leg = models.CharField(max_length=8)
    settled_at = models.DateTimeField()
    quantity = ExactDecimalField(help_text="Signed base quantity: negative is short.")
    mark_price = ExactDecimalField()
    rate = ExactDecimalField(help_text="A ratio per interval.")
    interval_hours = models.IntegerField()
    cash_usd = ExactDecimalField()
    basis = models.CharField(
        max_length=16,
        null=True,
        help_text="How rate and mark price were known: settled (told after the settlement), announced (the last word "
        "before it) or estimated (nobody heard it). Null in rows that are older than the column.",
    )

    class Meta(MirroredModel.Meta):
        db_table = "funding_payment"
        ordering = ("-settled_at", "id")
        indexes = (
            models.Index(fields=("-settled_at", "id"), name="funding_time"),
            models.Index(fields=("trade_id",), name="funding_trade"),
            models.Index(fields=("portfolio", "-settled_at"), name="funding_portfolio"),
            combination_index(
                "symbol",
                "exchange",
                "portfolio",
                "leg",
                "basis",
                latest="settled_at",
                then="id",
                name="funding_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"{self.cash_usd} USD for {self.trade_id}"


class OrderFill(MirroredModel):
    """One fill of an order, with the evidence for it (ruling 10): what it waited behind, or which levels it took."""

    id = models.UUIDField(primary_key=True)
    trade_id = models.UUIDField()
    order_id = models.CharField(max_length=64)
    result_id = models.UUIDField()
    portfolio = models.CharField(max_length=64)
    exchange = models.CharField(max_length=64)
    symbol = models.CharField(max_length=64)
    leg = models.CharField(max_length=8)
    role = models.CharField(max_length=8, help_text="entry, exit or hedge")
    direction = models.CharField(max_length=8, help_text="buy or sell")
    liquidity = models.CharField(max_length=8, help_text="maker if it rested, taker if it crossed or walked")
    price = ExactDecimalField()
    quantity = ExactDecimalField(help_text="Of this fill.")
    order_quantity = ExactDecimalField()
    fee = ExactDecimalField(help_text="A cost is positive, a rebate negative.")
    sent_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, help_text="When the order had arrived at the venue.")
    filled_at = models.DateTimeField()
    evidence = JsonTextField(null=True, help_text="Depth, threshold and prints that counted, or the levels taken.")

    class Meta(MirroredModel.Meta):
        db_table = "order_fill"
        ordering = ("-filled_at", "id")
        indexes = (
            models.Index(fields=("-filled_at", "id"), name="order_fill_time"),
            models.Index(fields=("trade_id",), name="order_fill_trade"),
            models.Index(fields=("order_id",), name="order_fill_order"),
            models.Index(fields=("portfolio", "-filled_at"), name="order_fill_portfolio"),
            combination_index(
                "symbol",
                "exchange",
                "portfolio",
                "role",
                "leg",
                "liquidity",
                latest="filled_at",
                then="id",
                name="order_fill_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"{self.quantity} at {self.price} for {self.trade_id}"


class ShadowFill(MirroredModel):
    """When a resting order would have filled behind 20%, 50% or 100% of the depth, and by trade-through alone.

    Null: not until `watched_until`. One row per order that joined a queue.
    """

    id = models.UUIDField(primary_key=True)
    trade_id = models.UUIDField()
    order_id = models.CharField(max_length=64)
    portfolio = models.CharField(max_length=64)
    exchange = models.CharField(max_length=64)
    symbol = models.CharField(max_length=64)
    leg = models.CharField(max_length=8)
    role = models.CharField(max_length=8, help_text="entry, exit or hedge")
    direction = models.CharField(max_length=8, help_text="buy or sell")
    price = ExactDecimalField()
    quantity = ExactDecimalField()
    depth = ExactDecimalField(help_text="Resting at the price when the order was accepted.")
    volume = ExactDecimalField(help_text="Traded at the price while it was watched.")
    accepted_at = models.DateTimeField()
    leg_out_ms = models.IntegerField(help_text="The strategy's leg-out time.")
    filled_20_at = models.DateTimeField(null=True, help_text="Behind 20% of the depth.")
    filled_50_at = models.DateTimeField(null=True, help_text="Behind 50% of the depth.")
    filled_100_at = models.DateTimeField(null=True, help_text="Behind all of the depth.")
    filled_through_at = models.DateTimeField(null=True, help_text="By a print through the price.")
    watched_until = models.DateTimeField()

    class Meta(MirroredModel.Meta):
        db_table = "shadow_fill"
        ordering = ("-accepted_at", "id")
        indexes = (
            models.Index(fields=("-accepted_at", "id"), name="shadow_fill_time"),
            models.Index(fields=("trade_id",), name="shadow_fill_trade"),
            models.Index(fields=("portfolio", "-accepted_at"), name="shadow_fill_portfolio"),
            combination_index(
                "symbol",
                "exchange",
                "portfolio",
                "role",
                "leg",
                latest="accepted_at",
                then="id",
                name="shadow_fill_list",
            ),  # fmt: skip
        )

    def __str__(self) -> str:
        return f"shadows of {self.order_id}"


class DailyMetrics(MirroredModel):
    """One portfolio's UTC day: the documents' daily metrics. Ratios are null where undefined (ruling 3)."""

    id = models.CharField(primary_key=True, max_length=96, help_text="portfolio:date")
    portfolio = models.CharField(max_length=64)
    date = models.DateField()
    trades_executed = models.BigIntegerField()
    trades_won = models.BigIntegerField()
    trades_lost = models.BigIntegerField()
    win_rate = ExactDecimalField(null=True)
    daily_pnl = ExactDecimalField()
    daily_pnl_percentage = ExactDecimalField(help_text="Percent of the starting capital.")
    leg_out_events = models.BigIntegerField()
    leg_out_loss = ExactDecimalField()
    average_trade_duration_seconds = ExactDecimalField(null=True)
    max_drawdown = ExactDecimalField(null=True)
    sharpe_ratio = ExactDecimalField(null=True)
    sortino_ratio = ExactDecimalField(null=True)
    realistic_apr = ExactDecimalField(null=True)
    updated_at = models.DateTimeField()

    class Meta(MirroredModel.Meta):
        db_table = "daily_metrics"
        ordering = ("-date", "portfolio")
        indexes = (
            models.Index(fields=("-date", "portfolio"), name="daily_metrics_date"),
            combination_index("portfolio", latest="date", then="portfolio", name="daily_metrics_list"),
        )
        verbose_name_plural = "daily metrics"

    def __str__(self) -> str:
        return str(self.id)


class PortfolioSnapshot(MirroredModel):
    """A portfolio's state on a UTC day, the last one seen (ruling 19)."""

    id = models.CharField(primary_key=True, max_length=96, help_text="portfolio:date")
    portfolio = models.CharField(max_length=64)
    date = models.DateField()
    taken_at = models.DateTimeField()
    starting_capital = ExactDecimalField()
    available_capital = ExactDecimalField()
    total_open_positions = ExactDecimalField()
    cumulative_pnl = ExactDecimalField()
    unrealised_usd = ExactDecimalField(null=True)
    equity_usd = ExactDecimalField(null=True)
    active_trade_count = models.BigIntegerField()
    total_trades = models.BigIntegerField()
    win_count = models.BigIntegerField()
    loss_count = models.BigIntegerField()
    leg_out_count = models.BigIntegerField()
    leg_out_total_loss = ExactDecimalField()
    fees_paid = ExactDecimalField()
    funding_received = ExactDecimalField()

    class Meta(MirroredModel.Meta):
        db_table = "portfolio_snapshot"
        ordering = ("-date", "portfolio")
        indexes = (
            models.Index(fields=("-date", "portfolio"), name="portfolio_snapshot_date"),
            combination_index("portfolio", latest="date", then="portfolio", name="portfolio_snapshot_list"),
        )

    def __str__(self) -> str:
        return str(self.id)
