"""Errors of the durable stores. `retryable`: the same call may succeed later without anybody changing anything."""

from __future__ import annotations

from results.domain.errors import PaperDeskError


class StoreError(PaperDeskError):
    """The root of what the durable stores refuse or cannot do."""


class WarehouseBusy(StoreError):
    """The DuckDB file was in others' hands for longer than the timeout."""

    retryable = True


class WarehouseMissing(StoreError):
    """The DuckDB file, or its tables, are not there yet: `manage.py warehouse migrate` makes them."""


class WarehouseUnusable(StoreError):
    """DUCKDB_PATH is something that DuckDB cannot open: a folder, another program's file, one without permission."""


class CommitUnknown(StoreError):
    """DuckDB failed at COMMIT, so whether the rows are there is unknown: reopen, and append the same once more."""

    retryable = True


class ClickHouseAway(StoreError):
    """ClickHouse did not answer, or answered that it cannot now."""

    retryable = True


class ClickHouseRefused(StoreError):
    """ClickHouse understood and refused: the same statement will fail again. `code` is ClickHouse's."""

    def __init__(self, sentence: str, code: int = 0) -> None:
        super().__init__(sentence)
        self.code = code


class RowsMissing(StoreError):
    """ClickHouse acknowledged an INSERT, and then did not have all of its rows."""

    retryable = True


class DestructiveChange(StoreError):
    """The models ask for a change that could lose what a store holds; nothing was changed."""
