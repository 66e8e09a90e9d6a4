"""What the monitor reads of a portfolio each second, and the one step in which it writes what it found.

It never writes a trade or the state. Metrics are written only if the state string that they were computed from still
stands (ruling 17); `marks` and `equity` are keys of our own. Parsed trades are kept as long as their raw string stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from redis import Redis

from trading.domain.metrics import DailyMetrics, PortfolioMetrics
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade
from trading.stores import keys, rows, wire
from trading.stores.connection import answering, members_of, raw_of, raws_of
from trading.stores.errors import StepConflict, WireError
from trading.stores.keys import PortfolioKeys
from trading.stores.lease import Lease
from trading.stores.outbox import Outbox
from trading.stores.step import Step, StepRunner

LEG_OUTS_READ = 10
FIELDS_PER_WRITE = 1_000
Objects = Mapping[str, Mapping[str, Any]]


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


class DayRow(msgspec.Struct, frozen=True):
    """The durable rows of one UTC day: its metrics and the portfolio as of `at_us`. Amounts in USD."""

    daily: DailyMetrics
    state: PortfolioState
    at_us: int
    unrealised_usd: Decimal | None
    equity_usd: Decimal | None


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick writes. `finished` is the last record of a day that ended, `marks` has one object per open trade
    id, `equity` is what the next tick reads back; decimals in these two become strings."""

    metrics: PortfolioMetrics
    daily: DailyMetrics
    finished: DailyMetrics | None = None
    marks: Objects
    equity: Any
    day_rows: tuple[DayRow, ...] = ()


class MonitorStore:
    """One portfolio as the monitor sees it."""

    def __init__(self, client: Redis, prefix: str, outbox: Outbox, lease: Lease | None = None) -> None:
        self.keys = PortfolioKeys(prefix)
        self.unreadable: dict[str, WireError] = {}
        self._client = client
        self._outbox = outbox
        self._lease = lease
        self._runner = StepRunner(client)
        self._parsed: dict[str, tuple[bytes, Trade]] = {}

    def read(self) -> Reading | None:
        """The portfolio, None while it has no state. Trades that cannot be read are in `unreadable` by key.

        Raises RedisAway, and WireError for the state.
        """
        with answering(f"reading portfolio {self.keys.prefix}"):
            state_raw = raw_of(self._client, self.keys.state)
            if state_raw is None:
                return None
            trade_ids = sorted(members_of(self._client, self.keys.active_trades))
            raws = raws_of(self._client, [self.keys.active_trade(trade_id) for trade_id in trade_ids])
            own = [self.keys.equity, self.keys.metrics, self.keys.daily]
            equity, metrics_raw, daily_raw = raws_of(self._client, own)
            leg_outs = self._client.lrange(self.keys.leg_out_events, 0, LEG_OUTS_READ - 1)
        return Reading(
            state=wire.decode_state(state_raw, self.keys.state),
            trades=self._trades(dict(zip(trade_ids, raws, strict=True))),
            equity=equity,
            leg_outs=tuple(msgspec.Raw(element) for element in leg_outs if isinstance(element, bytes)),
            state_raw=state_raw,
            metrics_raw=metrics_raw,
            daily_raw=daily_raw,
        )

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
        if watched.finished is not None:
            self._archive(step, watched.finished, reading.daily_raw)
        self._own(step, watched)
        for row in watched.day_rows:
            self._emit(step, row)
        try:
            self._runner.run(step)
        except StepConflict:
            return None
        return {"metrics": msgspec.Raw(metrics), "daily": msgspec.Raw(daily)}

    def _archive(self, step: Step, finished: DailyMetrics, daily_raw: bytes | None) -> None:
        raw = wire.encode_daily(finished, _same_day(daily_raw, finished.date))
        step.set(self.keys.daily_of(finished.date), raw)

    def _own(self, step: Step, watched: Watched) -> None:
        step.set(self.keys.equity, msgspec.json.encode(watched.equity)).delete(self.keys.marks)
        fields = [(trade_id, msgspec.json.encode(mark)) for trade_id, mark in watched.marks.items()]
        for start in range(0, len(fields), FIELDS_PER_WRITE):
            step.hset(self.keys.marks, dict(fields[start : start + FIELDS_PER_WRITE]))

    def _emit(self, step: Step, row: DayRow) -> None:
        prefix = self.keys.prefix
        step.emit(self._outbox.entry(rows.DAILY_METRICS, rows.daily_row(row.daily, prefix, row.at_us)))
        snapshot = rows.snapshot_row(row.state, prefix, row.daily.date, row.at_us, row.unrealised_usd, row.equity_usd)
        step.emit(self._outbox.entry(rows.PORTFOLIO_SNAPSHOT, snapshot))

    def _trades(self, raws: Mapping[str, bytes | None]) -> tuple[Trade, ...]:
        self.unreadable = {}
        parsed = {}
        for trade_id, raw in raws.items():
            key = self.keys.active_trade(trade_id)
            known = self._parsed.get(trade_id)
            try:
                if raw is None:
                    raise WireError(f"{key}: the trade is listed as open and has no record")
                same = known is not None and known[0] == raw
                parsed[trade_id] = known if known and same else (raw, wire.decode_trade(raw, key, self.keys.prefix))
            except WireError as error:
                self.unreadable[key] = error
        self._parsed = parsed
        return tuple(sorted((trade for _, trade in parsed.values()), key=lambda trade: (trade.entry_us, trade.id)))

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
