"""The open trades of one portfolio, kept parsed: of a large portfolio only a part is read again at each look.

Read again each time: what the outbox says has changed, what waits for a fill (its queue progress moves without an
outbox entry), what could not be read, and the next slice of all others in turn: a record that another program changed
in silence is seen after `SLICES` looks, in a small portfolio at the next one. Who is open is read from the set of
active trades when their number differs from what the outbox told, and at least every `SLICES` looks.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from operator import attrgetter

import msgspec
from redis import Redis

from trading.domain.trades import Trade
from trading.stores import keys, rows, wire
from trading.stores.connection import members_of, raws_of, typed
from trading.stores.errors import WireError
from trading.stores.keys import PortfolioKeys

SLICES = 30  # looks, one a second: everything is read again within 30 s
SLICE_MIN = 500  # one MGET of about 1.5 MB
READ_AT_ONCE = 2_000  # records of some 3 kB: 0.15 s of parsing
ENTRIES_MAX = 5_000  # of the outbox in one look; who is behind by more reads everything
MOVES_MAX = 2_000  # beyond it, sorting all anew is faster than finding each trade's place
BEGINNING = b"0-0"
AGE = attrgetter("entry_us", "id")


class ChangedRow(msgspec.Struct):
    """The columns of a `paper_trade` row that tell whose it is."""

    id: str
    portfolio: str


class OpenTrades:
    """The open trades of one portfolio. What cannot be read is in `unreadable` by key.

    A first look at very many takes longer than a lease lives: `pulse` is called after each READ_AT_ONCE of them. If it
    raises, the next look goes on from there.
    """

    def __init__(self, client: Redis, of: PortfolioKeys, pulse: Callable[[], None] = lambda: None) -> None:
        self.unreadable: dict[str, WireError] = {}
        self._client = client
        self._keys = of
        self._position: bytes | None = None  # the last entry of the outbox that was looked at; None: read everything
        self._listed: dict[str, None] = {}  # trade ids in the order in which their turn comes
        self._turn = 0
        self._looks_until_listing = 0
        self._trades: dict[str, Trade] = {}
        self._fingerprints: dict[str, int] = {}  # of the raw records, which would double the memory
        self._waiting: set[str] = set()
        self._order: list[Trade] = []
        self._is_torn = False  # a look broke off: `_order` is not that of `_trades`
        self._pulse = pulse
        self._oldest_first: tuple[Trade, ...] = ()

    def look(self) -> tuple[Trade, ...]:
        """The open trades, oldest first; the very same tuple while none of them has changed. Raises WireError."""
        newest, everything, changed, open_count = self._news()
        self._position = None  # a look that breaks off is made up for by reading everything
        gone, opened = self._list(everything, changed, open_count)
        due = self._due(everything, changed | opened)
        before = {trade_id: self._trades[trade_id] for trade_id in gone if trade_id in self._trades}
        is_torn, self._is_torn = self._is_torn, True
        for trade_id in gone:
            self._forget(trade_id)
        fresh = self._read(due, before)
        if gone or fresh or is_torn:
            self._sort(before, fresh, is_torn)
        self._position, self._is_torn = newest, False
        return self._oldest_first

    def _read(self, due: list[str], before: dict[str, Trade]) -> list[str]:
        """Takes in the records that are due, a slice at a time; the ids of those that differ. What they were goes into
        `before`."""
        fresh: list[str] = []
        for start in range(0, len(due), READ_AT_ONCE):
            ids = due[start : start + READ_AT_ONCE]
            for trade_id, raw in zip(ids, self._records(ids), strict=True):
                if self._fingerprints.get(trade_id) != hash(raw):
                    if trade_id in self._trades:
                        before[trade_id] = self._trades[trade_id]
                    self._forget(trade_id)
                    self._take_in(trade_id, raw)
                    fresh.append(trade_id)
            if len(due) > READ_AT_ONCE:
                self._pulse()
        return fresh

    def _sort(self, before: Mapping[str, Trade], fresh: Iterable[str], anew: bool) -> None:
        """Brings the order up to date."""
        after = {trade_id: self._trades[trade_id] for trade_id in fresh if trade_id in self._trades}
        if anew or len(before) + len(after) > MOVES_MAX:
            self._order = sorted(self._trades.values(), key=AGE)
        else:
            self._move(before, after)
        self._oldest_first = tuple(self._order)

    def _move(self, before: Mapping[str, Trade], after: Mapping[str, Trade]) -> None:
        """Takes trades out of the order and others in; one that is as old as before stays in its place."""
        for trade_id, trade in before.items():
            place = bisect_left(self._order, AGE(trade), key=AGE)
            if trade_id in after and AGE(after[trade_id]) == AGE(trade):
                self._order[place] = after[trade_id]
            else:
                del self._order[place]
        for trade_id, trade in after.items():
            if trade_id not in before or AGE(before[trade_id]) != AGE(trade):
                insort(self._order, trade, key=AGE)

    def _news(self) -> tuple[bytes, bool, set[str], int]:
        """The outbox's newest entry; whether everything is to be read, else the ids of which it says that they have
        changed; how many trades are open."""
        reading = self._client.pipeline(transaction=False)
        reading.scard(self._keys.active_trades)
        reading.xrevrange(keys.OUTBOX, count=1)
        if self._position is not None:
            reading.xrange(keys.OUTBOX, min=f"({self._position.decode()}", count=ENTRIES_MAX)
        with typed(self._keys.active_trades):
            open_count, newest, *found = reading.execute()
        entries = found[0] if found else []
        everything = self._position is None or len(entries) == ENTRIES_MAX
        last = newest[0][0] if newest else BEGINNING
        return last, everything, self._ours(fields for _, fields in entries), open_count

    def _ours(self, entries: Iterable[Mapping[bytes, bytes]]) -> set[str]:
        """The ids of our trades among entries of the outbox. What is no row tells nothing; the log sets it aside."""
        table, ours = rows.PAPER_TRADE.encode(), set()
        for each in entries:
            if each.get(b"table") != table:
                continue
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                row = msgspec.json.decode(each.get(b"row", b""), type=ChangedRow)
                ours |= {row.id} if row.portfolio == self._keys.prefix else set()
        return ours

    def _list(self, everything: bool, changed: set[str], open_count: int) -> tuple[set[str], set[str]]:
        """Brings up to date who is open; the ids of those that no longer are, and of those newly open."""
        self._looks_until_listing -= 1
        if not everything and self._looks_until_listing > 0 and len(self._listed) > SLICE_MIN:
            closed, opened = self._listed_anew(changed) if changed else (set(), set())
            if len(self._listed) == open_count:
                return closed, opened
        self._looks_until_listing = SLICES
        self._listed = dict.fromkeys(sorted(members_of(self._client, self._keys.active_trades)))
        return self._fingerprints.keys() - self._listed.keys(), self._listed.keys() - self._fingerprints.keys()

    def _listed_anew(self, changed: set[str]) -> tuple[set[str], set[str]]:
        """Lists the trades that were opened and no longer those that were closed, among these; the ids of both."""
        ids = list(changed)
        answers = self._client.smismember(self._keys.active_trades, ids)
        is_open = {trade_id for trade_id, answer in zip(ids, answers, strict=True) if answer}
        closed = {trade_id for trade_id in changed - is_open if trade_id in self._listed}
        opened = {trade_id for trade_id in is_open if trade_id not in self._listed}
        for trade_id in closed:
            del self._listed[trade_id]
        self._listed |= dict.fromkeys(opened)
        return closed, opened

    def _due(self, everything: bool, news: set[str]) -> list[str]:
        """The ids of the records to read now."""
        if everything:
            return list(self._listed)
        size = max(SLICE_MIN, -(-len(self._listed) // SLICES))
        start = self._turn if self._turn < len(self._listed) else 0
        self._turn = start + size
        turn = islice(self._listed, start, self._turn)
        return list(self._listed.keys() & {*turn, *news, *self._waiting, *map(keys.id_of, self.unreadable)})

    def _records(self, trade_ids: list[str]) -> list[bytes | None]:
        return raws_of(self._client, [self._keys.active_trade(trade_id) for trade_id in trade_ids])

    def _take_in(self, trade_id: str, raw: bytes | None) -> None:
        self._fingerprints[trade_id] = hash(raw)
        key = self._keys.active_trade(trade_id)
        try:
            trade = self._parsed(trade_id, key, raw)
        except WireError as error:
            self.unreadable[key] = error
            return
        self._trades[trade_id] = trade
        if any(order.is_pending for order in trade.all_orders):
            self._waiting.add(trade_id)

    def _parsed(self, trade_id: str, key: str, raw: bytes | None) -> Trade:
        if raw is None:
            raise WireError(f"{key}: the trade is listed as open and has no record")
        trade = wire.decode_trade(raw, key, self._keys.prefix)
        if trade.id != trade_id:
            raise WireError(f"{key}: id is {trade.id!r}, not that of the key")
        return trade

    def _forget(self, trade_id: str) -> None:
        self._trades.pop(trade_id, None)
        self._fingerprints.pop(trade_id, None)
        self._waiting.discard(trade_id)
        self.unreadable.pop(self._keys.active_trade(trade_id), None)
