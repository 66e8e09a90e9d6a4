"""Malformed input by hypothesis: records, outbox entries and commands that no program of ours writes.

Names are those of the documents, so that what is wrong is what stands there; now and then they are wrong too.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from redis import Redis

from results.stores.schema import TABLES
from trading.stores import keys

EXAMPLES = 40
HASHES = {"result": "trade_result", "result_metrics": "result_metrics", "reconciliation": "trade_reconciliation"}

IDS = st.uuids().map(str) | st.text(max_size=20)
VALUES = st.binary(max_size=40) | st.decimals().map(str) | st.datetimes().map(str) | st.integers().map(str)


def _fields(names: list[str]) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=9), VALUES, min_size=1, max_size=len(names))


RECORDS = st.sampled_from(sorted(HASHES)).flatmap(
    lambda name: st.tuples(
        st.just(name), IDS, _fields([each.name for each in TABLES[HASHES[name]].columns if each.name != "row_hash"])
    )
)
STREAMS = {
    "entries": (keys.OUTBOX, _fields(["table", "id", "version", "row"])),
    "commands": (keys.COMMANDS, _fields(["kind", "portfolio", "trade_id", "reason", "expires_us"])),
}
ONCE = settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def write_malformed(client: Redis, what: str, number: int) -> list[str]:
    """Write some: "records", "entries" or "commands", by a seed; the keys of the records."""
    written: list[str] = []

    @seed(number)
    @ONCE
    @given(RECORDS)
    def write_record(record: tuple[str, str, dict[Any, Any]]) -> None:
        name, row_id, fields = record
        written.append(f"{name}:{row_id}")
        client.hset(written[-1], mapping=fields)

    if what == "records":
        write_record()
        return written
    stream, strategy = STREAMS[what]

    @seed(number)
    @ONCE
    @given(strategy)
    def write_entry(fields: dict[Any, Any]) -> None:
        client.xadd(stream, fields)

    write_entry()
    return written
