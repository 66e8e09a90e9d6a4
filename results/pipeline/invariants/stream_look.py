"""What the checker of invariants has to know of the outbox stream, from one reading of it.

The stream goes on while records are read. So it is read up to its end twice: before the records, which are then at the
versions found or newer ones, and what came meanwhile after them, so that no fill of theirs is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
from redis import Redis

from results.domain.readable import readable
from results.pipeline.canonical_rows import Row
from results.pipeline.invariants.fills import Fills
from results.pipeline.invariants.portfolios import Violation
from results.pipeline.loss import Losses
from results.pipeline.reconcile.reconciler import candidates_of
from results.pipeline.stream import START, OutboxStream, StreamEntry, order_of
from results.stores.schema import TABLES
from trading.stores import keys
from trading.stores.outbox import row_of_text
from trading.stores.rows import ORDER_FILL

Subject = tuple[str, str]  # table and row id
BORN = frozenset(name for name, table in TABLES.items() if table.is_born)


class StreamLook:
    """`versions` has the newest version of each row when the first reading ended, `violations` where versions do not
    grow, `fills` those in the stream. What is no row of its table is left to the dead letters. Once the stream lost its
    history, the relay has told every version of what is born in Django anew (`results.pipeline.relay`)."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._stream = OutboxStream(client)
        self._position = START
        self._rows: dict[Subject, bytes] = {}
        self._retold = BORN if Losses(client).last() else frozenset()
        self._closed: list[tuple[str, str]] = []
        self.versions: dict[Subject, int] = {}
        self.violations: list[Violation] = []
        self.fills: Fills = {}
        reconciled = self._reconciled()
        for entry in self._fresh():
            self._compare(entry)
            self._keep(entry, reconciled)
        self._rows.clear()
        self._before = reconciled

    def go_on(self) -> set[str]:
        """Read what came since, once trades were read; the closed ones that the reconciler has yet to see."""
        for entry in self._fresh():
            self._keep(entry, self._before)
        position = order_of(self._reconciled())
        return {trade_id for stream_id, trade_id in self._closed if order_of(stream_id) > position}

    def _fresh(self) -> Iterator[StreamEntry]:
        while batch := self._stream.after(self._position):
            yield from batch
            self._position = batch[-1].stream_id

    def _reconciled(self) -> str:
        raw = cast("bytes | None", self._client.get(keys.RECONCILE_POSITION))
        return raw.decode().partition(" ")[2] if raw else START

    def _compare(self, entry: StreamEntry) -> None:
        """Note the version, or that it does not grow; the same row again is none of ours to mind."""
        table, row_id = (readable(entry.fields.get(name, b"")) for name in (b"table", b"id"))
        version, row = integer_of(entry.fields.get(b"version")), entry.fields.get(b"row", b"")
        if version is None:
            return
        subject = (table, row_id)
        before = self.versions.get(subject)
        grows = before is None or version > before or row == self._rows[subject]
        if not grows and table not in self._retold:
            sentence = f"version {version} of {table} {row_id} follows version {before} at {entry.stream_id}"
            self.violations.append(Violation("version monotony", keys.OUTBOX, sentence))
        self.versions[subject], self._rows[subject] = version, row

    def _keep(self, entry: StreamEntry, reconciled: str) -> None:
        if entry.fields.get(b"table") == ORDER_FILL.encode():
            row = _fill(entry.fields.get(b"row", b""))
            if row is not None:
                self.fills.setdefault(row["trade_id"], {})[row["id"]] = row
        elif order_of(entry.stream_id) > order_of(reconciled):
            self._closed += [(entry.stream_id, each.trade_id) for each in candidates_of(entry)]


def integer_of(raw: bytes | None) -> int | None:
    """The number that the bytes say; None where they say none."""
    try:
        return None if raw is None else int(raw)
    except ValueError:
        return None


def _fill(text: bytes) -> Row | None:
    try:
        return row_of_text(TABLES[ORDER_FILL].columns, text)
    except (msgspec.DecodeError, KeyError, ValueError, ArithmeticError):
        return None
