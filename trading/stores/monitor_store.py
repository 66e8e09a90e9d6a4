"""What the monitor reads of a portfolio each second, and the one step in which it writes what it found.

It never writes a trade or the state. Metrics are written only if the state string that they were computed from still
stands (ruling 17); `marks` and `equity` are keys of our own.
Marks are a hash of JSON arrays, one element per open trade, oldest first: `trade_ids`, `unrealised_usd`, `spread_bps`
(null where unknown), and `at_us`. `listing` is a digest of `trade_ids`, which is as large as all else and is written
only when it differs.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import ResponseError

from trading.domain.metrics import DailyMetrics, PortfolioMetrics
from trading.domain.portfolio import DayTally, PortfolioState, tally_from
from trading.domain.trades import Trade
from trading.domain.units import DAY_US, day_start_us
from trading.stores import keys, rows, wire
from trading.stores.connection import answering, raw_of, raws_of
from trading.stores.errors import StepConflict, WireError
from trading.stores.floors import Floors, floors_of
from trading.stores.keys import PortfolioKeys
from trading.stores.lease import Lease
from trading.stores.open_trades import OpenTrades
from trading.stores.outbox import Outbox
from trading.stores.step import Step, StepRunner

LEG_OUTS_READ = 10
LISTING_BYTES = 8


class Reading(msgspec.Struct, frozen=True):
    """A portfolio as it stands in Redis: open trades oldest first, `equity` the monitor's own JSON of the last tick,
    `leg_outs` the newest elements of the leg-out list, and the raw strings that a write is compared with."""

    state: PortfolioState
    trades: tuple[Trade, ...]
    equity: bytes | None
    leg_outs: tuple[msgspec.Raw, ...]
    state_raw: bytes
    metrics_raw: bytes | None
    daily_raw: bytes | None
    listing: bytes | None = None


class MarkList(msgspec.Struct, frozen=True):
    """The marks of trades at one instant: parallel lists, USD and basis points, NaN where unknown."""

    at_us: int
    trades: Sequence[Trade]
    unrealised_usd: list[float]
    spread_bps: list[float]


class DayRow(msgspec.Struct, frozen=True):
    """The durable rows of one UTC day: its metrics and the portfolio as of `at_us`. Amounts in USD."""

    daily: DailyMetrics
    state: PortfolioState
    at_us: int
    unrealised_usd: Decimal | None
    equity_usd: Decimal | None


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick writes. `finished` are the last records of the days that ended, `equity` is what the next tick reads
    back; its decimals become strings."""

    metrics: PortfolioMetrics
    daily: DailyMetrics
    finished: tuple[DailyMetrics, ...] = ()
    marks: MarkList
    equity: Any
    day_rows: tuple[DayRow, ...] = ()


class MonitorStore:
    """One portfolio as the monitor sees it."""

    def __init__(self, client: Redis, prefix: str, outbox: Outbox, lease: Lease | None = None) -> None:
        self.keys = PortfolioKeys(prefix)
        self._client = client
        self._outbox = outbox
        self._lease = lease
        self._runner = StepRunner(client)
        self._open_trades = OpenTrades(client, self.keys, pulse=lease.renew if lease else lambda: None)
        self._state: tuple[bytes, PortfolioState] | None = None
        self._marked: Sequence[Trade] | None = None
        self._marked_ids: list[str] | None = None
        self._listing = (b"", b"")

    @property
    def unreadable(self) -> Mapping[str, WireError]:
        """Why trades could not be read at the last look, by key."""
        return self._open_trades.unreadable

    def read(self) -> Reading | None:
        """The portfolio, None while it has no state. Trades that cannot be read are in `unreadable` by key.

        Raises RedisAway, and WireError for the state.
        """
        with answering(f"reading portfolio {self.keys.prefix}"):
            state_raw, own, leg_outs, listing = self._own_keys()
            if state_raw is None:
                return None
            trades = self._open_trades.look()
        return Reading(
            state=self._decoded(state_raw),
            trades=trades,
            equity=own[0],
            leg_outs=tuple(msgspec.Raw(element) for element in leg_outs),
            state_raw=state_raw,
            metrics_raw=own[1],
            daily_raw=own[2],
            listing=listing,
        )

    def tallies(self, dates: Sequence[str]) -> dict[str, DayTally]:
        """What was closed and legged out on these UTC days, from the records themselves; what cannot be read is left
        out, `check_invariants` names it. Raises RedisAway."""
        days = [datetime.date.fromisoformat(date) for date in dates]
        with answering(f"reading the closed trades of {self.keys.prefix}"):
            end_us = day_start_us(max(days)) + DAY_US - 1
            ids: Any = self._client.zrangebyscore(self.keys.closed_index, day_start_us(min(days)), end_us)
            names = [self.keys.closed_trade(trade_id.decode()) for trade_id in ids]
            raws = raws_of(self._client, names)
            events: Any = self._client.lrange(self.keys.leg_out_events, 0, -1)
        read = zip(names, raws, strict=True)
        trades, leg_outs = [], []
        for name, raw in read:
            with contextlib.suppress(WireError):
                trades += [wire.decode_trade(raw, name, self.keys.prefix)] if raw is not None else []
        for raw in events:
            with contextlib.suppress(WireError):
                leg_outs.append(wire.decode_leg_out(raw, self.keys.leg_out_events)[1])
        return {date: tally_from(date, trades, leg_outs) for date in dates}

    def write(self, reading: Reading, watched: Watched) -> dict[str, msgspec.Raw] | None:
        """Writes what was found in one step, durable rows included, and returns the documents' `metrics` and `daily`
        as they are now on their keys; None, and nothing was written, if the portfolio has moved on since `reading`.

        Raises LeaseLost, RedisAway.
        """
        metrics = wire.encode_metrics(watched.metrics, reading.metrics_raw)
        daily = wire.encode_daily(watched.daily, _same_day(reading.daily_raw, watched.daily.date))
        step = self._under_lease(Step(f"monitor:{self.keys.prefix}:{uuid.uuid4()}"))
        step.expect(self.keys.state, reading.state_raw)
        step.expect(self.keys.metrics, reading.metrics_raw).set(self.keys.metrics, metrics)
        step.expect(self.keys.daily, reading.daily_raw).set(self.keys.daily, daily)
        for finished in watched.finished:
            self._archive(step, finished, reading.daily_raw)
        step.set(self.keys.equity, msgspec.json.encode(watched.equity))
        self._mark(step, watched.marks, reading.listing)
        if watched.day_rows:
            floors = floors_of(self._client)
            floors.guard(step)
            for row in watched.day_rows:
                self._emit(step, row, floors)
        try:
            self._runner.run(step)
        except StepConflict:
            return None
        return {"metrics": msgspec.Raw(metrics), "daily": msgspec.Raw(daily)}

    def _archive(self, step: Step, finished: DailyMetrics, daily_raw: bytes | None) -> None:
        raw = wire.encode_daily(finished, _same_day(daily_raw, finished.date))
        step.set(self.keys.daily_of(finished.date), raw)

    def _mark(self, step: Step, marks: MarkList, listing_held: bytes | None) -> None:
        trade_ids, listing = self._listing_of(marks.trades)
        if listing == listing_held:
            step.expect_field(self.keys.marks, "listing", listing)
        else:
            step.delete(self.keys.marks).hset(self.keys.marks, {"listing": listing, "trade_ids": trade_ids})
        values = {
            "at_us": str(marks.at_us),
            "unrealised_usd": msgspec.json.encode(marks.unrealised_usd),
            "spread_bps": msgspec.json.encode(marks.spread_bps),
        }
        step.hset(self.keys.marks, values)

    def _listing_of(self, trades: Sequence[Trade]) -> tuple[bytes, bytes]:
        """The ids as JSON, and their digest; kept for as long as they are the same."""
        if trades is not self._marked:
            ids = [trade.id for trade in trades]
            if ids != self._marked_ids:
                raw = msgspec.json.encode(ids)
                digest = hashlib.blake2b(raw, digest_size=LISTING_BYTES).hexdigest().encode()
                self._marked_ids, self._listing = ids, (raw, digest)
            self._marked = trades
        return self._listing

    def _emit(self, step: Step, row: DayRow, floors: Floors) -> None:
        prefix = self.keys.prefix
        daily = rows.daily_row(row.daily, prefix, row.at_us)
        snapshot = rows.snapshot_row(row.state, prefix, row.daily.date, row.at_us, row.unrealised_usd, row.equity_usd)
        for table, made in ((rows.DAILY_METRICS, daily), (rows.PORTFOLIO_SNAPSHOT, snapshot)):
            step.emit(self._outbox.entry(table, {**made, "version": floors.above(table, made["version"])}))

    def _own_keys(self) -> tuple[bytes | None, list[bytes | None], list[bytes], bytes | None]:
        """State; equity, metrics and daily record; newest leg-outs; the listing of the marks."""
        reading = self._client.pipeline(transaction=False)
        reading.get(self.keys.state)
        reading.mget([self.keys.equity, self.keys.metrics, self.keys.daily])
        reading.lrange(self.keys.leg_out_events, 0, LEG_OUTS_READ - 1)
        reading.hget(self.keys.marks, "listing")
        state_raw, own, leg_outs, listing = reading.execute(raise_on_error=False)
        for key, answer in ((self.keys.state, state_raw), (self.keys.leg_out_events, leg_outs)):
            if isinstance(answer, ResponseError):
                raise WireError(f"{key}: {answer}")
        return state_raw, own, leg_outs, listing if isinstance(listing, bytes) else None

    def _decoded(self, raw: bytes) -> PortfolioState:
        """The state in a record; the list of open trades makes it large, so it is parsed once."""
        if self._state is None or self._state[0] != raw:
            self._state = raw, wire.decode_state(raw, self.keys.state)
        return self._state[1]

    def _under_lease(self, step: Step) -> Step:
        return step if self._lease is None else self._lease.guard(step)


class SnapshotStore:
    """The newest snapshot for the browsers, and what goes into it from elsewhere."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def publish(self, body: bytes) -> None:
        """Replaces the snapshot. Raises RedisAway."""
        with answering("publishing the snapshot"):
            self._client.set(keys.SNAPSHOT, body)

    def newest(self) -> bytes | None:
        """The snapshot's JSON, None before the first one. Raises RedisAway."""
        with answering("reading the snapshot"):
            return raw_of(self._client, keys.SNAPSHOT)

    def sync(self) -> dict[str, Any]:
        """How far each follower is: name -> `position`, `lag`, `at_us`, `error`. Raises RedisAway."""
        with answering("reading how far the followers are"):
            fields = self._client.hgetall(keys.SYNC)
        return {_text(name): msgspec.json.decode(value) for name, value in fields.items()}


def _same_day(raw: bytes | None, date: str) -> bytes | None:
    """The record, if it is of this day: annotations of yesterday's do not belong to today's."""
    try:
        found = None if raw is None else msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get("date")
    except msgspec.DecodeError:
        return None
    return raw if found is not None and msgspec.json.decode(found) == date else None


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
