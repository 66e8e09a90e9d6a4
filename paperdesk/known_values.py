"""Which values a text column has, for filters: found by hopping along its index, never by reading the table."""

from __future__ import annotations

from typing import Any

from django.db import models

VALUES_MAX = 100


def known_values(model: type[models.Model], column: str, limit: int = VALUES_MAX) -> list[str]:
    """The distinct values of `column` in rising order, at most `limit`.

    One query per value, each a step along an index that begins with `column`; SELECT DISTINCT would read every row.
    """
    values: list[str] = []
    rows = model._default_manager.exclude(**{column: None}).order_by(column).values_list(column, flat=True)
    found = rows.first()
    while found is not None and len(values) < limit:
        values.append(found)
        found = rows.filter(**_after(column, found)).first()
    return values


def _after(column: str, value: str) -> dict[str, Any]:
    return {f"{column}__gt": value}
