"""The whole examination of a desk's durable side after faults: every store against the clients' own list, each store
against the others with hashes made anew, and the rules that hold in Redis. Nothing is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from results.pipeline.invariants.check import check_invariants
from results.pipeline.verify.comparison import Kind as Differing
from results.pipeline.verify.verifier import VerifyReport
from tests.faults import checker
from tests.faults.acknowledged import Operation
from tests.faults.checker import Finding, Kind
from tests.faults.contents import Contents, clickhouse_contents, django_contents, log_contents, redis_contents
from tests.results.pipeline.made import Side
from trading.stores import keys

KINDS = {
    Differing.MISSING: Kind.LOST,
    Differing.EXTRA: Kind.UNKNOWN,
    Differing.OLDER: Kind.OLDER,
    Differing.NEWER: Kind.UNKNOWN,
    Differing.DIFFERENT: Kind.DIFFERENT,
    Differing.CORRUPT: Kind.DIFFERENT,
}


class Audit(msgspec.Struct, frozen=True):
    """What was found, and of how much: acknowledged changes, versions in the log, rows in each other store."""

    findings: list[Finding]
    changes: int
    versions: int
    rows: dict[str, int]

    @property
    def kinds(self) -> dict[str, int]:
        """How many findings there are of each kind."""
        return checker.by_kind(self.findings)

    def __str__(self) -> str:
        rows = ", ".join(f"{count} rows in {store}" for store, count in self.rows.items())
        size = f"{self.changes} acknowledged changes, {self.versions} versions in the log, {rows}"
        return f"{size}: {checker.shown(self.findings)}"


def audit(side: Side, operations: Collection[Operation], tables_of_clients: Collection[str] = ()) -> Audit:
    """Examine everything. In `tables_of_clients` nobody but these clients writes."""
    log = log_contents(side.gate)
    stores = [django_contents(), clickhouse_contents(side.clickhouse)]
    hot = redis_contents(side.client)
    found = checker.compare_with_log(operations, log, tables_of_clients)
    for store in stores:
        found += checker.compare_with_store(operations, log, store)
    found += checker.compare_hot(log, hot)
    found += checker.compare_checksums(log, stores)
    found += broken_rules(side)
    found += differences(side.verifier().run())
    return Audit(
        findings=found,
        changes=checker.acknowledged_changes(operations),
        versions=_size(log),
        rows={store.store: _size(store) for store in [*stores, hot]},
    )


def broken_rules(side: Side) -> Iterable[Finding]:
    """What does not hold in Redis; dead letters, of which correct clients make none."""
    for violation in check_invariants(side.client, side.gate).violations:
        yield Finding(Kind.INVARIANT, "redis", f"{violation.rule} at {violation.key}", violation.sentence)
    for stream_id, fields in side.entries(keys.DEAD_LETTERS):
        yield Finding(Kind.DEAD_LETTER, "redis", stream_id, fields.get(b"reason", b"").decode())


def differences(report: VerifyReport) -> Iterable[Finding]:
    """What the verifier says. Once everything was drained, nobody may be behind."""
    for each in report.differences:
        yield Finding(KINDS[each.kind], each.store, f"{each.table} {each.key}", each.sentence)
    for sentence in report.unreadable:
        yield Finding(Kind.DIFFERENT, "redis", "unreadable", sentence)
    for store, count in report.behind.items():
        yield Finding(Kind.OLDER, store, "verifier", f"{count} rows are behind")
    for store, reason in report.away.items():
        yield Finding(Kind.LOST, store, "verifier", reason)


def _size(contents: Contents) -> int:
    return sum(map(len, contents.rows.values()))
