"""What a kind of CSV file is: its columns, and what makes events of its rows."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Protocol

import msgspec

from trading.domain.events import MarketEvent


class Market(msgspec.Struct, frozen=True):
    """Whose rows they are. `contract_size` is the base asset in one unit of the file's quantities."""

    instrument: str
    contract_size: Decimal = Decimal(1)


class Rows(Protocol):
    """Makes events of the rows of one pass through a file. `skipped` counts rows that are none, by the reason."""

    skipped: Counter[str]

    def events(self, fields: list[str]) -> list[MarketEvent]:
        """The events that are complete with this row. Raises FieldError."""

    def end(self) -> list[MarketEvent]:
        """The events that the end of the file completes."""


class RowsOf(Protocol):
    """Begins a pass."""

    def __call__(self, market: Market) -> Rows: ...


class Table(msgspec.Struct, frozen=True):
    """A kind of file. `venue` is what it says of the venue, "" if the file's rows do."""

    name: str
    columns: tuple[str, ...]
    rows: RowsOf
    venue: str = ""
