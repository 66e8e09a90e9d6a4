"""`python -m tests.faults.judge FOLDER [emptied]`: the clients' own lists against every store, after a run of faults.

FOLDER has the lists of `tests.faults.load`: `api*.jsonl` and `foreign*.jsonl`. It prints one JSON object (`Judgement`).
With "emptied" Redis was, and need not have any record any more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import django
import msgspec

if __name__ == "__main__":
    django.setup()  # the tables are Django's models

from redis import Redis  # noqa: E402

from results import wiring  # noqa: E402
from results.pipeline.newest import newest_rows  # noqa: E402
from results.stores.gate import Gate  # noqa: E402
from results.stores.schema import TABLES  # noqa: E402
from tests.faults import checker, contents  # noqa: E402
from tests.faults.acknowledged import Outcome, operations_in  # noqa: E402
from tests.faults.checker import Finding, Kind  # noqa: E402
from trading.stores import keys  # noqa: E402
from trading.stores.hashes import BOOKKEEPING, given_of_hash  # noqa: E402
from trading.stores.sweep_store import SweepStore  # noqa: E402

TABLE_OF = {"result": "trade_result", "result_metrics": "result_metrics", "reconciliation": "trade_reconciliation"}
SHOWN_MAX = 40


class Judgement(msgspec.Struct, frozen=True):
    """What was acknowledged, what the stores hold of it, and what is wrong."""

    operations: int
    acknowledged: int
    unanswered: int
    foreign: int
    rows: int
    findings: dict[str, int]
    shown: list[str]


def judged(folder: Path, was_emptied: bool) -> Judgement:
    """Compare the lists with all stores of this process's settings."""
    client, gate = wiring.redis_client(), wiring.gate()
    operations = list(operations_in(folder.glob("api*.jsonl")).values())
    log = contents.log_contents(gate)
    stores = [contents.django_contents(), contents.clickhouse_contents(wiring.clickhouse())]
    found = [*checker.compare_with_log(operations, log), *checker.compare_checksums(log, stores)]
    for store in stores:
        found += checker.compare_with_store(operations, log, store)
    found += checker.compare_hot(log, contents.redis_contents(client))
    written = last_of(folder.glob("foreign*.jsonl"))
    found += [*compare_foreign(written, client, gate, was_emptied), *_miscounted(client)]
    return Judgement(
        operations=len(operations),
        acknowledged=checker.acknowledged_changes(operations),
        unanswered=sum(each.outcome is Outcome.MAYBE for each in operations),
        foreign=sum(line.count(b"\n") for line in map(Path.read_bytes, folder.glob("foreign*.jsonl"))),
        rows=sum(len(rows) for rows in log.rows.values()),
        findings=checker.by_kind(found),
        shown=[str(each) for each in found[:SHOWN_MAX]],
    )


def last_of(paths: Iterable[Path]) -> dict[str, dict[str, str]]:
    """What each record of other programs was last acknowledged to hold."""
    told: dict[str, dict[str, str]] = {}
    for path in sorted(paths):
        for line in path.read_bytes().splitlines():
            each = msgspec.json.decode(line)
            told[each["key"]] = each["fields"]
    return told


def compare_foreign(
    written: Mapping[str, Mapping[str, str]], client: Redis, gate: Gate, was_emptied: bool
) -> Iterator[Finding]:
    """Each record of another program as it was last acknowledged, in Redis and as the newest row of the log."""
    wanted: dict[str, list[str]] = {table: [] for table in TABLE_OF.values()}
    for key in written:
        wanted[_table_of(key)].append(keys.id_of(key))
    with gate.read() as connection:
        newest = newest_rows(connection, wanted)
    for key, fields in written.items():
        table, row_id = _table_of(key), keys.id_of(key)
        there = client.hgetall(key)
        if (there or not was_emptied) and any(
            there.get(name.encode()) != text.encode() for name, text in fields.items()
        ):
            yield Finding(Kind.LOST, "redis", key, f"it holds {there!r}, acknowledged was {fields!r}")
        row = newest.get(table, {}).get(row_id)
        if row is None:
            yield Finding(Kind.LOST, "duckdb", key, "the log has no such row")
            continue
        given = given_of_hash(TABLES[table], key, {name.encode(): text.encode() for name, text in fields.items()})
        differing = [name for name, value in given.items() if name not in BOOKKEEPING and row[name] != value]
        if differing:
            sentence = ", ".join(f"{name} is {row[name]}, acknowledged was {given[name]}" for name in differing)
            yield Finding(Kind.DIFFERENT, "duckdb", key, sentence)


def _table_of(key: str) -> str:
    return TABLE_OF[key.partition(":")[0]]


def _miscounted(client: Redis) -> Iterator[Finding]:
    counts = SweepStore(client).counts()
    if counts.seen != counts.accepted + counts.set_aside:
        yield Finding(Kind.INVARIANT, "redis", keys.SWEEP_COUNTS, f"seen is not accepted + set aside: {counts}")


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(judged(Path(sys.argv[1]), "emptied" in sys.argv[2:])))
