"""The stream is trimmed only behind what every reader has, and not while anybody holds it."""

from __future__ import annotations

import time
from typing import Any

import duckdb
import pytest

from results.pipeline import report as report_module
from results.pipeline import stream, sync
from results.pipeline.stream import BATCH_ENTRIES, MARGIN_MS, OutboxStream
from tests.results.pipeline.made import Side
from trading.engine.alarms import alarms
from trading.stores import keys
from trading.stores.monitor_store import SnapshotStore

OLD_MS = 1_000_000_000_000
DAY_MS = 86_400_000


def entry(side: Side) -> dict[bytes, bytes]:
    """An entry of a result, which is no longer in the stream."""
    side.emit("trade_result", 1)
    made = side.entries()[0][1]
    side.client.delete(keys.OUTBOX)
    return made


def old_entries(side: Side, count: int) -> None:
    """As many entries as that, of one millisecond each, and one a minute and more later: all can be trimmed but it."""
    made = entry(side)
    for number in range(count):
        side.add(made, f"{OLD_MS + number}-0")
    side.add(made, f"{OLD_MS + count + 2 * MARGIN_MS}-0")


def test_the_stream_is_trimmed_only_behind_what_every_reader_has(side: Side) -> None:
    old = 1_000_000_000_000
    side.emit("trade_result", 1)
    entry = side.entries()[0][1]
    side.client.delete(keys.OUTBOX)
    side.add(entry, f"{old}-0")
    side.add(entry, f"{old + 1}-0")
    assert side.settle().trimmed == 0  # within a minute of the end
    side.add(entry, f"{old + 100_000}-0")
    reconciler = side.sync.reconciler
    side.sync.reconciler = Stuck(f"{old}-0")  # type: ignore[assignment]
    side.sync.once()
    assert side.client.xlen(keys.OUTBOX) == 3
    side.sync.reconciler = reconciler
    side.add(entry, f"{old + 100_001}-0")
    assert side.settle().trimmed == 2
    assert side.log_length("trade_result") == 4


class Stuck:
    """A reader of the stream that does not come further."""

    def __init__(self, position: str) -> None:
        self._position = position

    def position(self, _epoch: str) -> str:
        return self._position

    def follow(self, *_: object) -> int:
        return 0


def test_nothing_is_trimmed_while_somebody_holds_trimming(side: Side) -> None:
    holder = OutboxStream(side.client)
    holder.hold_trimming("backup", 60)
    holder.hold_trimming("another", 60)
    old_entries(side, 5)
    assert side.settle().trimmed == 0
    holder.release_trimming("another")
    side.emit("trade_result", 2)
    assert side.settle().trimmed == 0
    holder.release_trimming("backup")
    side.emit("trade_result", 3)
    assert side.settle().trimmed == 6  # the last of the old ones is far behind today's
    assert side.client.xlen(keys.OUTBOX) == 2


def test_a_hold_whose_holder_died_ends_by_itself(side: Side) -> None:
    OutboxStream(side.client).hold_trimming("backup", 0.01)
    time.sleep(0.02)
    old_entries(side, 5)
    assert side.settle().trimmed == 5


def test_much_is_trimmed_in_slices_and_to_the_last_entry(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TRIM_SLICE", 200)
    monkeypatch.setattr(stream, "TRIM_SLICES_MAX", 3)
    old_entries(side, 1_001)
    followed = OutboxStream(side.client)
    confirmed = followed.state().last_id
    removed = []
    while side.client.xlen(keys.OUTBOX) > 1:
        removed.append(followed.trim_behind(confirmed))
    assert sum(removed) == 1_001
    assert max(removed[:-1]) <= 600  # in one turn


def test_ids_far_ahead_of_a_clock_that_was_set_back_are_trimmed_too(side: Side) -> None:
    made = entry(side)
    ahead = time.time_ns() // 1_000_000 + DAY_MS
    side.add(made, f"{ahead}-0")
    ids = [side.add(made) for _ in range(5)]
    assert ids == [f"{ahead}-{number}" for number in range(1, 6)]  # Redis gives no lower id than the last one
    assert side.settle().trimmed == 5
    assert [stream_id for stream_id, _ in side.entries()] == [f"{ahead}-5"]


def test_a_backlog_that_one_turn_does_not_take_is_gone_on_with_though_nothing_new_comes(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BATCHES_PER_TURN", 1)
    count = 2 * BATCH_ENTRIES + 1
    for number in range(count):
        side.emit("shadow_fill", number)
    turns = [side.sync.once(seconds_max=0.0) for _ in range(3)]  # one round each
    assert [turn.appended for turn in turns] == [BATCH_ENTRIES, BATCH_ENTRIES, 1]


def test_a_log_that_is_away_for_days_keeps_every_entry_and_takes_them_when_it_is_back(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_entries(side, 5)
    with monkeypatch.context() as away:

        def refuse(*_: Any) -> Any:
            raise duckdb.IOException("No space left on device")

        away.setattr(side.gate, "write", refuse)
        for _ in range(3):
            report = side.sync.once()
            assert report.trimmed == 0
            assert report.followers["duckdb"].lag == 6
    assert side.client.xlen(keys.OUTBOX) == 6
    report = side.settle()
    assert (report.appended, report.trimmed, report.is_level) == (6, 5, True)


def test_a_large_backlog_is_told_with_its_numbers_until_it_is_gone(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "BACKLOG_ENTRIES", 6)
    old_entries(side, 5)
    with monkeypatch.context() as away:

        def refuse(*_: Any) -> Any:
            raise duckdb.IOException("No space left on device")

        away.setattr(side.gate, "write", refuse)
        side.sync.once()
    told = SnapshotStore(side.client).sync()
    (sentence,) = alarms({"age_ms": 0}, {}, {"outbox": told["outbox"]}, {})
    said = "The outbox grows: 6 entries stand in Redis, none of which may be removed: duckdb has yet to take 6 or more"
    assert sentence.startswith(said + "; Redis uses ")
    assert sentence.endswith(" MB.")
    side.new_sync().once()
    assert "outbox" not in SnapshotStore(side.client).sync()
