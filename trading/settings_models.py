"""The settings of the desk: venues, instruments and strategies, born in Django and edited there.

A row is one struct of `trading.domain`: its columns are the struct's fields, `settings()` builds the struct, so every
rule and every sentence about a setting is the domain's. Rows are saved by `trading.settings_service` only, which
checks the whole desk and raises the version that the engine looks for. Nothing is deleted: a strategy is switched off.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from django.core.exceptions import ValidationError
from django.db import models
from simple_history.models import HistoricalRecords

from paperdesk.born import BornModel
from trading.domain.errors import ConfigurationError
from trading.domain.instruments import Instrument as InstrumentSettings
from trading.domain.instruments import Venue as VenueSettings
from trading.domain.settings import read_as
from trading.domain.strategy import Strategy as StrategySettings
from trading.settings_columns import columns_of_settings, settings_columns, values_of_row

KEY_LENGTH_MAX = 64
HISTORY_LEAVES_OUT = ("day", "row_hash", "position", "changed_at", "changed_by")


class DeskSettings(models.Model):
    """What is one for the whole desk; a single row. `version` counts the changes of the settings."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    version = models.BigIntegerField(default=0)
    seed = models.BigIntegerField(default=1, help_text="Same seed, data and settings: the same trades.")
    changed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "desk_settings"
        default_permissions = ("view",)
        verbose_name_plural = "desk settings"

    def __str__(self) -> str:
        return f"settings version {self.version}"


class SettingsModel(BornModel):
    """A row of settings. `position` is its place among its kind, `settings_version` the desk's that brought it."""

    struct: ClassVar[type[msgspec.Struct]]
    fixed: ClassVar[tuple[str, ...]] = ()  # what never changes once the row exists

    position = models.IntegerField(editable=False, default=0)
    settings_version = models.BigIntegerField(editable=False, default=0)

    class Meta(BornModel.Meta):
        abstract = True
        ordering: ClassVar = ("position", "pk")

    def settings(self) -> Any:
        """The struct of this row. Raises ConfigurationError, with the field."""
        return read_as(self.struct, values_of_row(self.struct, self), f"{self._meta.verbose_name} {self.key_now()}")

    def key_now(self) -> str:
        """The key that the row has or, before it is saved, would have."""
        return str(self.pk)

    def take(self, settings: msgspec.Struct) -> None:
        """Set every column from the struct."""
        for name, value in columns_of_settings(settings).items():
            setattr(self, name, value)

    def clean(self) -> None:
        """Raises ValidationError, beside the field, for what the struct refuses."""
        try:
            self.settings()
        except ConfigurationError as error:
            raise beside_field(self, error) from None


class Venue(SettingsModel, settings_columns(VenueSettings, name=models.CharField(max_length=64, primary_key=True))):  # type: ignore[misc]
    """An exchange: fees, latencies, and how its queues fill."""

    struct = VenueSettings
    fixed = ("name",)
    history = HistoricalRecords(excluded_fields=HISTORY_LEAVES_OUT)

    class Meta(SettingsModel.Meta):
        db_table = "venue"

    def __str__(self) -> str:
        return str(self.name)


class Instrument(SettingsModel, settings_columns(InstrumentSettings)):  # type: ignore[misc]
    """One symbol on one venue; its key is `venue:symbol`."""

    struct = InstrumentSettings
    fixed = ("venue", "symbol")
    id = models.CharField(max_length=130, primary_key=True, editable=False)
    history = HistoricalRecords(excluded_fields=HISTORY_LEAVES_OUT)

    class Meta(SettingsModel.Meta):
        db_table = "instrument"

    def key_now(self) -> str:
        """`venue:symbol`."""
        return f"{self.venue}:{self.symbol}"

    def __str__(self) -> str:
        return self.key_now()


class Strategy(
    SettingsModel,
    settings_columns(StrategySettings, prefix=models.CharField(max_length=KEY_LENGTH_MAX, primary_key=True)),  # type: ignore[misc]
):
    """One portfolio: what it trades, when it enters and leaves, and with how much."""

    struct = StrategySettings
    fixed = ("prefix", "starting_capital", "capital_mode")
    history = HistoricalRecords(excluded_fields=HISTORY_LEAVES_OUT)

    class Meta(SettingsModel.Meta):
        db_table = "strategy"
        verbose_name_plural = "strategies"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


KINDS: tuple[tuple[str, type[SettingsModel]], ...] = (
    ("venues", Venue),
    ("instruments", Instrument),
    ("strategies", Strategy),
)


def beside_field(row: SettingsModel, error: ConfigurationError) -> ValidationError:
    """The refusal as Django shows it: beside the field that it names, if this kind of row has it."""
    names = {field.name for field in row._meta.local_fields}
    return ValidationError({error.field: str(error)} if error.field in names else str(error))
