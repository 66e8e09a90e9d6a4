"""The detector: compares a client's own list of acknowledged operations with what every store holds.

What is right: each acknowledged change is in the log exactly once, with the content that was acknowledged; of an
operation that was never answered all changes are there or none, of a refused one none; every other store has the
newest version of each row of the log, once, and nothing else; the fingerprints of all stores are equal.
Everything else is a finding. Pure: stores are read by `tests.faults.contents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from results.pipeline.verify.fingerprints import Fingerprint, RowMark, fingerprint_of
from tests.faults.acknowledged import Change, Operation, Outcome
from tests.faults.contents import Contents

SHOWN_MAX = 12

Subject = tuple[str, str]  # table, key


class Kind(StrEnum):
    """In what way something is wrong."""

    LOST = "lost"  # acknowledged and not there
    DUPLICATED = "duplicated"  # there more than once
    HALF = "half"  # of one operation a part is there
    REFUSED = "refused"  # there, though its client was told that it is not
    CONTESTED = "contested"  # two operations were both told that they made this version
    UNKNOWN = "unknown"  # there, and nobody asked for it
    DIFFERENT = "different"  # there with another content
    OLDER = "older"  # a store stayed behind the log
    CHECKSUM = "checksum"  # stores hold different sets of rows
    INVARIANT = "invariant"  # a rule of the portfolio or of its results does not hold
    DEAD_LETTER = "dead letter"  # something of ours was set aside


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong, where, and why."""

    kind: Kind
    store: str
    subject: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.store}: {self.subject}: {self.sentence}"


Findings = Iterator[Finding]


def compare_with_log(
    operations: Iterable[Operation], log: Contents, tables_of_clients: Collection[str] = ()
) -> list[Finding]:
    """Compare the list with the log, which has every version. In `tables_of_clients` nobody else writes."""
    listed = list(operations)
    held = {(table, *row[:2]): row[2] for table, rows in log.rows.items() for row in rows}
    claims = _claims(listed)
    found = [*_duplicated(log)]
    for operation in listed:
        found += _judged(operation, held, claims, log.store)
    for (table, key, version), makers in claims.items():
        acknowledged = sorted({each.id for each in makers if each.outcome is Outcome.ACKNOWLEDGED})
        if len(acknowledged) > 1:
            sentence = f"version {version} was acknowledged to {', '.join(acknowledged)}"
            found.append(Finding(Kind.CONTESTED, log.store, f"{table} {key}", sentence))
    for table, key, version in held.keys() - claims.keys():
        if table in tables_of_clients:
            found.append(Finding(Kind.UNKNOWN, log.store, f"{table} {key}", f"nobody asked for version {version}"))
    return found


def compare_with_store(operations: Iterable[Operation], log: Contents, store: Contents) -> list[Finding]:
    """Compare a store of newest versions with the log, and with the list itself."""
    newest = newest_of(log)
    there = newest_of(store)
    found = [*_counted_twice(store)]
    for subject, expected in newest.items():
        if subject[0] in store.rows:
            found += _unlike(store.store, subject, expected, there.get(subject))
    for table, key in there.keys() - newest.keys():
        found.append(Finding(Kind.UNKNOWN, store.store, f"{table} {key}", "the log has no such row"))
    for operation in operations:
        if operation.outcome is Outcome.ACKNOWLEDGED:
            found += _lost(operation, there, store)
    return found


def compare_hot(log: Contents, hot: Contents) -> list[Finding]:
    """Compare what is still hot with the log: it must be the newest. What was removed from Redis is no fault."""
    newest = newest_of(log)
    found: list[Finding] = []
    for subject, held in newest_of(hot).items():
        if subject not in newest:
            found.append(Finding(Kind.UNKNOWN, hot.store, " ".join(subject), "the log has no such row"))
        else:
            found += _unlike(hot.store, subject, newest[subject], held)
    return found


def compare_checksums(log: Contents, stores: Iterable[Contents]) -> list[Finding]:
    """Count, xor and sums of the row hashes of each table, which must be the same in every store."""
    expected = checksums(log)
    found: list[Finding] = []
    for store in stores:
        for table, fingerprint in checksums(store).items():
            if fingerprint != expected[table]:
                sentence = f"{fingerprint} where the log has {expected[table]}"
                found.append(Finding(Kind.CHECKSUM, store.store, table, sentence))
    return found


def checksums(contents: Contents) -> dict[str, Fingerprint]:
    """The fingerprint of the newest versions of each table."""
    marks: dict[str, list[RowMark]] = {table: [] for table in contents.rows}
    for (table, key), (version, hashed) in newest_of(contents).items():
        marks[table].append(RowMark(key, version, hashed))
    return {table: fingerprint_of(found) for table, found in marks.items()}


def newest_of(contents: Contents) -> dict[Subject, tuple[int, int]]:
    """Version and hash of the newest version of each row; of equal versions the later one counts."""
    newest: dict[Subject, tuple[int, int]] = {}
    for table, rows in contents.rows.items():
        for key, version, hashed in rows:
            known = newest.get((table, key))
            if known is None or version >= known[0]:
                newest[table, key] = (version, hashed)
    return newest


def acknowledged_changes(operations: Iterable[Operation]) -> int:
    """How many changes the clients were told are kept."""
    return sum(len(each.changes) for each in operations if each.outcome is Outcome.ACKNOWLEDGED)


def by_kind(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each kind."""
    return dict(Counter(finding.kind.value for finding in findings))


def shown(findings: list[Finding]) -> str:
    """The findings in a failure's message: how many of each kind, and the first of them."""
    lines = [f"{len(findings)} findings: {by_kind(findings)}", *map(str, findings[:SHOWN_MAX])]
    return "\n  ".join(lines)


Claims = dict[tuple[str, str, int], list[Operation]]


def _claims(operations: Iterable[Operation]) -> Claims:
    claims: Claims = {}
    for operation in operations:
        for change in operation.changes:
            claims.setdefault((change.table, change.key, change.version), []).append(operation)
    return claims


def _judged(
    operation: Operation, held: Mapping[tuple[str, str, int], int], claims: Claims, store: str
) -> Iterable[Finding]:
    changes = [(change, held.get((change.table, change.key, change.version))) for change in operation.changes]
    there = [
        change for change, hashed in changes if hashed == change.row_hash and _is_its_own(operation, change, claims)
    ]
    if operation.outcome is Outcome.ACKNOWLEDGED:
        for change, hashed in changes:
            sentence = f"version {change.version} of operation {operation.id} ({operation.source})"
            if hashed is None:
                yield Finding(Kind.LOST, store, f"{change.table} {change.key}", sentence)
            elif hashed != change.row_hash:
                yield Finding(Kind.DIFFERENT, store, f"{change.table} {change.key}", f"{sentence} has another content")
    elif operation.outcome is Outcome.REFUSED and there:
        sentence = f"{len(there)} of {len(changes)} changes are there ({operation.source})"
        yield Finding(Kind.REFUSED, store, operation.id, sentence)
    elif operation.outcome is Outcome.MAYBE and 0 < len(there) < len(_own(operation, claims)):
        sentence = f"{len(there)} of {len(changes)} changes are there, and nobody acknowledged it ({operation.source})"
        yield Finding(Kind.HALF, store, operation.id, sentence)


def _is_its_own(operation: Operation, change: Change, claims: Claims) -> bool:
    """Whether no other operation that may have been done asked for this very version."""
    makers = claims[change.table, change.key, change.version]
    return all(each.id == operation.id or each.outcome is Outcome.REFUSED for each in makers)


def _own(operation: Operation, claims: Claims) -> list[Change]:
    return [change for change in operation.changes if _is_its_own(operation, change, claims)]


def _duplicated(log: Contents) -> Findings:
    for table, rows in log.rows.items():
        counted = Counter((key, version) for key, version, _ in rows)
        for (key, version), count in counted.items():
            if count > 1:
                yield Finding(Kind.DUPLICATED, log.store, f"{table} {key}", f"version {version} is there {count} times")


def _counted_twice(store: Contents) -> Findings:
    for table, rows in store.rows.items():
        for key, count in Counter(key for key, _, _ in rows).items():
            if count > 1:
                yield Finding(Kind.DUPLICATED, store.store, f"{table} {key}", f"the row is there {count} times")


def _unlike(store: str, subject: Subject, expected: tuple[int, int], held: tuple[int, int] | None) -> Findings:
    name = " ".join(subject)
    if held is None:
        yield Finding(Kind.LOST, store, name, f"the log has version {expected[0]}")
    elif held[0] < expected[0]:
        yield Finding(Kind.OLDER, store, name, f"version {held[0]}, the log has {expected[0]}")
    elif held != expected:
        yield Finding(Kind.DIFFERENT, store, name, f"version {held[0]} is not the log's version {expected[0]}")


def _lost(operation: Operation, there: Mapping[Subject, tuple[int, int]], store: Contents) -> Findings:
    for change in operation.changes:
        held = there.get((change.table, change.key))
        if change.table in store.rows and (held is None or held[0] < change.version):
            sentence = f"version {change.version} of operation {operation.id} ({operation.source})"
            yield Finding(Kind.LOST, store.store, f"{change.table} {change.key}", sentence)
