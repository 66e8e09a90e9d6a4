"""Everything is written again: the outbox from its start, the followers from theirs, a batch twice. Nothing changes."""

from __future__ import annotations

import uuid
from pathlib import Path

from results.models import FollowerWatermark
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.log_slice import next_slices
from results.pipeline.mirror import DjangoTables
from results.pipeline.stream import START, OutboxStream
from results.stores import duck
from results.stores.gate import Gate
from results.stores.marks import Mark
from results.stores.rows import Entry
from tests.faults.lives import Plan
from tests.faults.runs import Run, seed_or
from tests.results.pipeline.conftest import clickhouse, fresh_clickhouse_url, gate, side
from tests.results.pipeline.made import Side
from trading.stores import keys

__all__ = ["clickhouse", "fresh_clickhouse_url", "gate", "side"]

KILLS, BYTES_MAX = 5, 40_000
ENTRIES_MAX = 1_000_000


def followers_set_back(side: Side) -> None:
    """Both followers have forgotten how far they are."""
    FollowerWatermark.objects.filter(name=DjangoTables.name).update(seq=0, mark="")
    side.clickhouse.forget(Mark(0, ""))


def stream_read_from_its_start(side: Side) -> None:
    """A new epoch: positions in the stream mean nothing any more."""
    side.client.set(keys.OUTBOX_EPOCH, str(uuid.uuid4()))


def fresh_log(side: Side) -> None:
    """The log is another file, empty: a fresh consumer of the stream; its followers follow it anew."""
    side.gate = Gate(side.gate.path.with_name("fresh.duckdb"))
    with side.gate.write() as connection:
        duck.migrate(connection)


def batches_twice(side: Side) -> None:
    """The stream's entries are appended again, and each follower gets the first slice of the log twice."""
    stream = OutboxStream(side.client)
    told = [(each.stream_id, each.fields) for each in stream.after(START, ENTRIES_MAX)]
    entries = [Entry(stream_id, fields[b"table"].decode(), fields[b"row"]) for stream_id, fields in told]
    assert entries
    followers = (DjangoTables(), ClickHouseTables(lambda: side.clickhouse, lambda: side.gate))
    with side.gate.write() as connection:
        state = stream.state()
        appended = duck.append(connection, entries, state.epoch, state.last_id, at_us=side.now_us)
        log = next_slices(connection, {"anybody": [Mark(0, "")]})["anybody"]
    assert (appended.rows, appended.ignored) == (0, len(entries))
    assert log is not None
    for follower in followers:
        for _ in range(2):
            follower.write(log, side.now_us)


AGAIN = (batches_twice, followers_set_back, stream_read_from_its_start, fresh_log)


def test_what_is_written_again_changes_nothing(side: Side, tmp_path: Path) -> None:
    run = Run(side, Plan(seed_or(5), KILLS, slots=1, bytes_max=BYTES_MAX), tmp_path)
    before = run.play()
    run.require_right(before)
    for again in AGAIN:
        again(side)
        side.sync = side.new_sync()
        after = run.settled()
        assert not after.findings, f"{again.__name__}: {after}\n{run.replay}"
        assert (after.versions, after.rows) == (before.versions, before.rows), f"{again.__name__}\n{run.replay}"
