"""A CSV file of Tardis or of Binance -> its events. Columns and meaning: `csv_tardis`, `csv_binance`.

What a file is, its first line says (the names of its columns), else its name. Which market it is: Tardis' rows name
exchange and symbol, Binance's files have the symbol in their name; `venue=PATH` and `venue:SYMBOL=PATH` overrule both.
Where amounts are contracts, `venue:SYMBOL*SIZE=PATH` says how much of the base asset one is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from trading.domain.events import MarketEvent
from trading.domain.instruments import Instrument
from trading.market import csv_binance, csv_tardis
from trading.market.capture_lines import CaptureLines
from trading.market.csv_rows import Market, Rows, Table
from trading.market.errors import CaptureError
from trading.market.lanes import Batch, Source

TABLES = (*csv_tardis.TABLES, *csv_binance.TABLES)
_BINANCE_NAME = re.compile(r"^(?P<symbol>[A-Z0-9]+)-(?P<kind>trades|aggTrades|bookTicker)\b")


def is_csv(first_line: bytes) -> bool:
    """Whether a file that begins with this line is one of comma-separated values."""
    return b"," in first_line and b"{" not in first_line


class CsvCapture:
    """Raises CaptureError for a file whose columns or market cannot be told. Counts: see `RecordedFile`."""

    def __init__(self, source: Source, window_us: int) -> None:
        self.lines = CaptureLines(source.path)
        self.instruments: list[Instrument] = []
        self.messages = self.late = 0
        self.unknown: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._window_us = window_us
        self._latest_us = 0
        self._floor_us = 1
        head = _first_two(self.lines)
        self.table, self._has_names = _table(source.path, head[0])
        if len(head) <= self._has_names:
            raise CaptureError(f"{self.path}: there is no row in it")
        self._row_market = tuple(head[-1][:2]) if self._names_market else ()
        self.venue, self._market = self._identity(source)

    @property
    def path(self) -> Path:
        """The file."""
        return self.lines.path

    @property
    def venues(self) -> list[str]:
        """Its one venue."""
        return [self.venue]

    def batches(self) -> Iterator[Batch]:
        """Reads the file once. Raises CaptureError naming file, line and column for what cannot be read."""
        self.messages = self.late = 0
        self._latest_us, self._floor_us = 0, 1
        rows = self.table.rows(self._market)
        self.skipped = rows.skipped
        for lines in self.lines:
            yield Batch(list(self._in_window(self._events(lines, rows))), self._floor_us)
        yield Batch(list(self._in_window(rows.end())), self._floor_us)

    @property
    def _names_market(self) -> bool:
        return not self.table.venue

    def _events(self, lines: list[bytes], rows: Rows) -> Iterator[MarketEvent]:
        columns = len(self.table.columns)
        for number, line in enumerate(lines, self.lines.lines_read + 1):
            if not line or (number == 1 and self._has_names):
                continue
            fields = _split(line)
            try:
                if len(fields) != columns:
                    raise CaptureError(f"it has {len(fields)} columns, {self.table.name} has {columns}")
                if self._row_market and tuple(fields[:2]) != self._row_market:
                    raise CaptureError(
                        f"column symbol: {' '.join(fields[:2])} in a file of {' '.join(self._row_market)}"
                    )
                events = rows.events(fields)
            except CaptureError as error:
                raise CaptureError(f"{self.path}: line {number}: {error}") from None
            self.messages += 1
            yield from events

    def _in_window(self, events: Iterable[MarketEvent]) -> Iterator[MarketEvent]:
        """The events; one that comes later than the window allows is counted and moved up in time."""
        for event in events:
            if event.event_us > self._latest_us:
                self._latest_us = event.event_us
                self._floor_us = max(event.event_us - self._window_us, 1)
                yield event
            elif event.event_us >= self._floor_us:
                yield event
            else:
                self.late += 1
                yield msgspec.structs.replace(event, event_us=self._floor_us)

    def _identity(self, source: Source) -> tuple[str, Market]:
        """The venue, and the market of the rows."""
        size = source.contract_size
        if self._row_market:
            exchange, symbol = self._row_market
            venue = source.venue or csv_tardis.EXCHANGES.get(exchange)
            if venue is None:
                raise CaptureError(f"{self.path}: exchange {exchange!r} is none of ours; write VENUE={self.path}")
            symbol = source.symbol or csv_tardis.symbol_of(symbol)
            if size is None and exchange not in csv_tardis.IN_BASE_ASSET:
                raise CaptureError(
                    f"{self.path}: amounts of {exchange} are contracts; say how much {symbol} one is: "
                    f"{venue}:{symbol}*SIZE={self.path}"
                )
        else:
            by_name = _BINANCE_NAME.match(self.path.name)
            venue = source.venue or self.table.venue
            found = source.symbol or (by_name["symbol"] if by_name else None)
            if found is None:
                raise CaptureError(f"{self.path}: its name tells no symbol; write {venue}:SYMBOL={self.path}")
            symbol = found
        return venue, Market(f"{venue}:{symbol}", size or Decimal(1))


def _split(line: bytes) -> list[str]:
    return line.decode(errors="replace").rstrip("\r").split(",")


def _first_two(lines: CaptureLines) -> list[list[str]]:
    found: list[list[str]] = []
    for some in lines:
        found += [_split(line) for line in some if line]
        if len(found) >= 2:
            break
    return found[:2]


def _table(path: Path, first: list[str]) -> tuple[Table, bool]:
    """What the file is, and whether its first line has the names of its columns."""
    for table in TABLES:
        if tuple(first) == table.columns:
            return table, True
    by_name = _BINANCE_NAME.match(path.name)
    if by_name and first[0].isdigit():
        columns = csv_binance.KINDS[by_name["kind"]]
        for table in csv_binance.TABLES:
            if table.columns[: len(columns)] == columns and len(first) == len(table.columns):
                return table, False
        raise CaptureError(f"{path}: line 1: a file of {by_name['kind']} does not have {len(first)} columns")
    raise CaptureError(f"{path}: line 1: {_unlike(first)}")


def _unlike(first: list[str]) -> str:
    """In words how a first line differs from the kind of file that is most like it."""
    nearest = max(TABLES, key=lambda table: len(set(table.columns) & set(first)))
    if not set(nearest.columns) & set(first):
        return f"no kind of CSV that is known ({'; '.join(table.name for table in TABLES)}): {','.join(first)[:80]!r}"
    missing = [name for name in nearest.columns if name not in first]
    strange = [name for name in first if name not in nearest.columns]
    words = [f"column {name} is missing" for name in missing] + [f"column {name[:40]!r} is unknown" for name in strange]
    return f"{nearest.name} has the columns {','.join(nearest.columns)}: {'; '.join(words) or 'their order differs'}"
