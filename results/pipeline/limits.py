"""What every store can hold, so that no row that one of them would refuse gets into the log.

PostgreSQL refuses a text that is too long or has a NUL, and an integer of more than its bits; ClickHouse's dates and
times go from 1900 to 2299, and silently stop there.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import cache
from typing import Any

import pyarrow
from django.db import models
from pyarrow import compute

from results.domain.units import EPOCH, datetime_of, day_start_us
from results.pipeline.mirror import model_of
from results.stores.schema import TABLES, Table

YEARS = range(1900, 2300)
DAYS = (datetime.date(YEARS.start, 1, 1), datetime.date(YEARS.stop, 1, 1))  # the first, and the one behind the last
INTEGER_MAX = 2**31
BIG_INTEGER_MAX = 2**63


def misfit(table: Table, row: Mapping[str, Any]) -> str | None:
    """Why a canonical row, sealed or not, does not fit every store, in a sentence; None when it does."""
    sizes = _sizes(table.name)
    for column in table.columns:
        value = row.get(column.name)
        if value is not None and not _fits(column.kind, value, sizes.get(column.name)):
            return f"{column.name} is {str(value)[:80]!r}, which not every store can hold"
    return None


def all_fit(table: Table, columns: pyarrow.Table) -> bool:
    """Whether every row of the table fits every store: what `misfit` says of them one by one."""
    sizes = _sizes(table.name)
    return all(_all_fit(column.kind, columns[column.name], sizes.get(column.name)) for column in table.columns)


def _all_fit(kind: str, values: pyarrow.ChunkedArray, size: int | None) -> bool:
    match kind:
        case "text" | "json":
            longest = compute.max(compute.utf8_length(values)).as_py() or 0
            return (size is None or longest <= size) and not compute.any(compute.match_substring(values, "\0")).as_py()
        case "integer":
            return size is None or _within(values, -size, size)
        case "time":
            return _within(values.cast(pyarrow.int64()), *map(day_start_us, DAYS))
        case "date":
            return _within(values.cast(pyarrow.int32()), *((day - EPOCH.date()).days for day in DAYS))
        case _:
            return True


def _within(values: pyarrow.ChunkedArray, first: int, behind: int) -> bool:
    found = compute.min_max(values)
    return all(first <= each.as_py() < behind for each in found.values() if each.is_valid)


def _fits(kind: str, value: Any, size: int | None) -> bool:
    match kind:
        case "text" | "json":
            return "\0" not in value and (size is None or len(value) <= size)
        case "integer":
            return size is None or -size <= value < size
        case "time":
            return _year_of(value) in YEARS
        case "date":
            return value.year in YEARS if isinstance(value, datetime.date) else False
        case _:
            return True


def _year_of(time_us: int) -> int:
    try:
        return datetime_of(time_us).year
    except OverflowError:
        return 0


@cache
def _sizes(table: str) -> dict[str, int]:
    """Characters of a text column, the bound of an integer one."""
    sizes = {}
    for field in model_of(TABLES[table])._meta.local_fields:
        if isinstance(field, models.CharField) and field.max_length:
            sizes[field.column] = field.max_length
        elif isinstance(field, models.IntegerField):
            sizes[field.column] = BIG_INTEGER_MAX if isinstance(field, models.BigIntegerField) else INTEGER_MAX
    return sizes
