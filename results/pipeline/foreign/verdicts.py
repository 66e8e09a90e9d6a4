"""What is to become of a record of another program: the forms of a verdict, and of a dead letter.

A dead letter of the sweep is `kind`, `key` (the record's name), `table`, `content` (a hash as a JSON object, anything
else as the text it is) and `reason`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from results.domain.readable import readable
from results.pipeline.newest import Newest
from results.stores.schema import Table
from trading.stores.outbox import row_text
from trading.stores.sweep_store import ACCEPT, ASIDE, HASH, OURS, Found, Verdict

Row = Mapping[str, Any]
FOREIGN_VERSION_MAX = 2**62  # a version that another program made up must leave room for those to come


class Case(Protocol):
    """A record that can only be judged beside the newest durable version of its row."""

    @property
    def found(self) -> Found:
        """The record as it was read."""

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """The rows to judge it by: table and key; the first is its own."""

    @property
    def incomplete(self) -> str | None:
        """What it lacks, in a sentence."""

    def verdict(self, newest: Newest) -> tuple[Verdict, Row | None] | None:
        """The verdict, with the row where there is a new version; None: somebody may be about to complete it."""


def ours(found: Found) -> Verdict:
    """It stands as our own writer left it."""
    return Verdict(found, OURS, "the record stands as PaperDesk wrote it")


def aside(found: Found, table: str, reason: str) -> Verdict:
    """It is set aside, with a dead letter."""
    entry = {"kind": found.kind, "key": found.name, "table": table, "content": content_text(found), "reason": reason}
    return Verdict(found, ASIDE, reason, entry=entry)


def accepted(found: Found, table: Table, row: Row, stamp: Mapping[str, str]) -> Verdict:
    """It is the next version of its row, which is sealed."""
    key, version = str(row[table.key]), str(row["version"])
    entry = {"table": table.name, "id": key, "version": version, "row": row_text(row)}
    return Verdict(found, ACCEPT, f"accepted as version {version} of {table.name}", stamp, entry)


def known(found: Found, table: str, row: Row, stamp: Mapping[str, str]) -> Verdict:
    """It says what its newest version says already: a no-op (ruling 24)."""
    return Verdict(found, ACCEPT, f"it says the same as version {row['version']} of {table}", stamp)


def content_text(found: Found) -> str:
    """What was read, for people and for another try."""
    if found.kind == HASH:
        return msgspec.json.encode({readable(name): readable(value) for name, value in found.fields.items()}).decode()
    return readable(found.raw)
