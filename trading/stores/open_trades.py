"""The open trades of one portfolio, kept parsed: of a large portfolio only a part is read again at each look.

Read again each time: what the outbox says has changed, what waits for a fill (its queue progress moves without an
outbox entry), what could not be read, and the next slice of all others in turn: a record that another program changed
in silence is seen after `SLICES` looks, in a small portfolio at the next one. Who is open is read from the set of
active trades when their number differs from what the outbox told, and at least every `SLICES` looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from operator import attrgetter

import msgspec
from redis import Redis
from redis.exceptions import ResponseError

from trading.domain.trades import Trade
from trading.stores import keys, rows, wire
from trading.stores.connection import members_of, raws_of
from trading.stores.errors import WireError
from trading.stores.keys import PortfolioKeys

SLICES = 30  # looks, one a second: everything is read again within 30 s
SLICE_MIN = 500  # one MGET of about 1.5 MB
ENTRIES_MAX = 5_000  # of the outbox in one look; who is behind by more reads everything
BEGINNING = b"0-0"


class ChangedRow(msgspec.Struct):
    """The columns of a `paper_trade` row that tell whose it is."""

    id: str
    portfolio: str


class OpenTrades:
    """The open trades of one portfolio. What cannot be read is in `unreadable` by key."""

    def __init__(self, client: Redis, of: PortfolioKeys) -> None:
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
        self._oldest_first: tuple[Trade, ...] = ()

    def look(self) -> tuple[Trade, ...]:
        """The open trades, oldest first; the very same tuple while none of them has changed. Raises WireError."""
        everything, changed, open_count = self._news()
        known = self._listed
        self._list(everything, changed, open_count)
        gone: set[str] = set()
        if self._listed is not known:
            gone, changed = known.keys() - self._listed.keys(), changed | (self._listed.keys() - known.keys())
        due = self._due(everything, changed)
        for trade_id in gone:
            self._forget(trade_id)
        fresh = [self._take_in(*record) for record in zip(due, self._records(due), strict=True)]
        if gone or any(fresh):
            in_order = sorted(self._trades.values(), key=attrgetter("entry_us", "id"))
            self._trades = {trade.id: trade for trade in in_order}
            self._oldest_first = tuple(in_order)
        return self._oldest_first

    def _news(self) -> tuple[bool, set[str], int]:
        """Whether everything is to be read, else the ids that the outbox says have changed; how many are open."""
        reading = self._client.pipeline(transaction=False)
        reading.scard(self._keys.active_trades)
        reading.xrevrange(keys.OUTBOX, count=1)
        if self._position is not None:
            reading.xrange(keys.OUTBOX, min=f"({self._position.decode()}", count=ENTRIES_MAX)
        try:
            open_count, newest, *found = reading.execute()
        except ResponseError as error:
            raise WireError(f"{self._keys.active_trades}: {error}") from None
        entries = found[0] if found else []
        everything = self._position is None or len(entries) == ENTRIES_MAX
        self._position = newest[0][0] if newest else BEGINNING
        return everything, self._ours(fields for _, fields in entries), open_count

    def _ours(self, entries: Iterable[Mapping[bytes, bytes]]) -> set[str]:
        """The ids of our trades among entries of the outbox."""
        table = rows.PAPER_TRADE.encode()
        changed = [msgspec.json.decode(each[b"row"], type=ChangedRow) for each in entries if each[b"table"] == table]
        return {row.id for row in changed if row.portfolio == self._keys.prefix}

    def _list(self, everything: bool, changed: set[str], open_count: int) -> None:
        """Brings up to date who is open."""
        self._looks_until_listing -= 1
        if not everything and self._looks_until_listing > 0 and len(self._listed) > SLICE_MIN:
            self._listed = self._listed_after(changed) if changed else self._listed
            if len(self._listed) == open_count:
                return
        self._looks_until_listing = SLICES
        self._listed = dict.fromkeys(sorted(members_of(self._client, self._keys.active_trades)))

    def _listed_after(self, changed: set[str]) -> dict[str, None]:
        ids = list(changed)
        answers = self._client.smismember(self._keys.active_trades, ids)
        is_open = dict(zip(ids, answers, strict=True))
        kept = {trade_id: None for trade_id in self._listed if is_open.get(trade_id, True)}
        return kept | {trade_id: None for trade_id in ids if is_open[trade_id]}

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

    def _take_in(self, trade_id: str, raw: bytes | None) -> bool:
        """Takes in one record; whether it is another than before."""
        fingerprint = hash(raw)
        if self._fingerprints.get(trade_id) == fingerprint:
            return False
        self._forget(trade_id)
        self._fingerprints[trade_id] = fingerprint
        key = self._keys.active_trade(trade_id)
        try:
            trade = self._parsed(trade_id, key, raw)
        except WireError as error:
            self.unreadable[key] = error
        else:
            self._trades[trade_id] = trade
            if any(order.is_pending for order in trade.all_orders):
                self._waiting.add(trade_id)
        return True

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
