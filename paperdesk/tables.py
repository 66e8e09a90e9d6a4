"""The durable tables: their names, keys and canonical columns, read from the mirrored and the born models of all apps.

This is what a writer of rows needs to know; how the stores spell a column is in `results.stores.schema`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import msgspec
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from paperdesk.born import BornModel
from paperdesk.mirror import INGESTION_COLUMNS, JsonTextField, MirroredModel
from results.domain.canonical import Column

LOG_COLUMNS = (Column("seq", "integer"), Column("stream_id", "text"), Column("ingested_at", "time"))
# The first class that fits decides: a DateTimeField is a DateField too.
KIND_OF_FIELD: tuple[tuple[type[models.Field], str], ...] = (
    (models.UUIDField, "uuid"),
    (models.DecimalField, "decimal"),
    (models.BooleanField, "boolean"),
    (models.IntegerField, "integer"),
    (models.DateTimeField, "time"),
    (models.DateField, "date"),
    (JsonTextField, "json"),
    (models.CharField, "text"),
    (models.TextField, "text"),
)


class Table(msgspec.Struct, frozen=True):
    """A durable table: its name in every store, the name of its key column, its canonical columns in model order.

    `is_born`: its rows come to be in Django and go from there into the other stores; Django mirrors all other tables.
    """

    name: str
    key: str
    columns: tuple[Column, ...]
    is_born: bool = False

    @property
    def log_name(self) -> str:
        """The table that holds every version."""
        return f"{self.name}_log"

    @property
    def log_columns(self) -> tuple[Column, ...]:
        """The canonical columns, then `seq`, `stream_id`, `ingested_at`."""
        return self.columns + LOG_COLUMNS


def table_of(model: type[models.Model]) -> Table:
    """The table of a mirrored or born model. Raises ImproperlyConfigured for a field of a kind that no store knows."""
    fields = [field for field in model._meta.local_fields if field.column not in INGESTION_COLUMNS]
    key = model._meta.pk
    added: frozenset[str] = getattr(model, "added_columns", frozenset())
    columns = tuple(Column(field.column, kind_of(field), field.null, field.column in added) for field in fields)
    return Table(model._meta.db_table, str(key.column), columns, issubclass(model, BornModel))


def kind_of(field: models.Field) -> str:
    """The kind of a field's column (`results.domain.canonical`). Raises ImproperlyConfigured."""
    for field_class, kind in KIND_OF_FIELD:
        if isinstance(field, field_class):
            return kind
    raise ImproperlyConfigured(f"{field.model.__name__}.{field.name}: no durable store knows a {type(field).__name__}")


@cache
def _tables() -> dict[str, Table]:
    durable = [model for model in apps.get_models() if issubclass(model, MirroredModel | BornModel)]
    return {table.name: table for table in sorted(map(table_of, durable), key=lambda table: table.name)}


class _Tables(Mapping[str, Table]):
    """The durable tables of all installed apps by name, read from the models at first use."""

    def __getitem__(self, name: str) -> Table:
        return _tables()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_tables())

    def __len__(self) -> int:
        return len(_tables())


TABLES: Mapping[str, Table] = _Tables()
