"""Result hashes that another program wrote or changed, judged. Source: rulings 24 and 27.

A hash with our `version` and the `row_hash` of its own fields is ours. Any other is the next version of its row: of
what stands in it, laid over the newest durable version where the key had been removed and so has no `version`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

import msgspec

from results.domain.canonical import HASH_COLUMN, sealed
from results.domain.outcomes import InvalidResultTransition, ResultState, require_move
from results.pipeline.foreign.verdicts import FOREIGN_VERSION_MAX, Row, accepted, aside, known, ours
from results.pipeline.limits import misfit
from results.pipeline.newest import Newest
from results.stores.schema import TABLES, Table
from trading.stores import keys
from trading.stores.errors import WireError
from trading.stores.hashes import BOOKKEEPING, given_of_hash, hash_of_row, is_ours, row_of_hash
from trading.stores.rows import RESULT_METRICS, TRADE_RESULT
from trading.stores.sweep_store import Found, Verdict
from trading.stores.wire.trade import FOREIGN

RECONCILIATION = "trade_reconciliation"
KEY_OF: dict[str, tuple[str, Callable[[str], str]]] = {
    "result": (TRADE_RESULT, keys.result),
    "result_metrics": (RESULT_METRICS, keys.result_metrics),
    "reconciliation": (RECONCILIATION, keys.reconciliation),
}


class HashCase(msgspec.Struct, frozen=True):
    """A hash of another program. `is_stamped`: it was ours and has been changed; then `version` is the one it had."""

    found: Found
    table: Table
    row_id: str
    given: dict[str, object]
    is_stamped: bool
    version: int
    day: object
    incomplete: str | None

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """Its own row."""
        return ((self.table.name, self.row_id),)

    def verdict(self, newest: Newest) -> tuple[Verdict, Row | None] | None:
        """See `results.pipeline.foreign.verdicts.Case`."""
        table, found = self.table, self.found
        before = newest.get(table.name, {}).get(self.row_id)
        merges = before is not None and not self.is_stamped
        if self.incomplete and not merges:
            return None
        row = self._successor(before, merges)
        if before is not None and _same(row, before):
            return known(found, table.name, before, self._stamp(before)), None
        refusal = _refusal(table, self.row_id, before, row)
        if refusal:
            return aside(found, table.name, refusal), None
        row = sealed(table.columns, row)
        return accepted(found, table, row, self._stamp(row)), row

    def _successor(self, before: Row | None, merges: bool) -> dict[str, object]:
        names = [column.name for column in self.table.columns if column.name != HASH_COLUMN]
        row: dict[str, object] = dict.fromkeys(names)
        if before is not None and merges:
            row |= {name: before[name] for name in names}
        row |= self.given
        version = before["version"] if before is not None else min(self.version, FOREIGN_VERSION_MAX)
        row |= {self.table.key: self.row_id, "version": version + 1, "origin": FOREIGN}
        row["day"] = before["day"] if before is not None else self.day
        return row

    def _stamp(self, row: Row) -> dict[str, str]:
        """The fields of a sealed row that make the hash one of ours; what was written there stays as it was written."""
        texts = hash_of_row(self.table, dict(row))
        there = self.found.fields
        return {name: text for name, text in texts.items() if name in BOOKKEEPING or name.encode() not in there}


def judged_hash(found: Found) -> Verdict | HashCase:
    """A verdict, where the hash alone decides it, or the case."""
    beginning, _, row_id = found.key.partition(":")
    name, key_of = KEY_OF[beginning]
    table = TABLES[name]
    if not is_uuid(row_id):
        return aside(found, name, f"{found.key}: the key does not end in a lower-case UUID, such as {key_of(EXAMPLE)}")
    fields = dict(found.fields)
    is_stamped = b"version" in fields and HASH_COLUMN.encode() in fields
    if not is_stamped:
        fields = {field: value for field, value in fields.items() if field.decode(errors="replace") not in BOOKKEEPING}
    lacking = _lacking(table, found.key, fields)
    try:
        if lacking:
            return HashCase(found, table, row_id, _given(table, found.key, fields), is_stamped, 0, None, lacking)
        row = row_of_hash(table, found.key, row_id, fields)
    except WireError as error:
        return aside(found, name, str(error))
    if is_stamped and is_ours(table, row, fields):
        return ours(found)
    given = {column: value for column, value in row.items() if column.encode() in fields and column not in BOOKKEEPING}
    return HashCase(found, table, row_id, given, is_stamped, row["version"] if is_stamped else 0, row["day"], None)


EXAMPLE = "123e4567-e89b-12d3-a456-426614174000"


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in the one form that every store has."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _lacking(table: Table, key: str, fields: dict[bytes, bytes]) -> str | None:
    required = [column.name for column in table.columns if not column.nullable and column.name not in BOOKKEEPING]
    lacking = [name for name in required if name != table.key and name.encode() not in fields]
    return f"{key}: {'field' if len(lacking) == 1 else 'fields'} {', '.join(lacking)} missing" if lacking else None


def _given(table: Table, key: str, fields: dict[bytes, bytes]) -> dict[str, object]:
    """The columns of an incomplete hash; its key is not one of them, whatever a field of that name says."""
    given = given_of_hash(table, key, fields)
    given.pop(table.key, None)
    return given


def _same(row: Row, before: Row) -> bool:
    return all(before[name] == value for name, value in row.items() if name not in BOOKKEEPING)


def _refusal(table: Table, row_id: str, before: Row | None, row: Row) -> str | None:
    if table.name == TRADE_RESULT:
        before_state = None if before is None else ResultState(before["state"])
        try:
            require_move(row_id, before_state, ResultState(str(row["state"])))
        except InvalidResultTransition as error:
            return str(error)
    return misfit(table, row)
