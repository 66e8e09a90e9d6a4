"""What the sync asks of a store that follows the durable log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow

from results.pipeline.log_slice import LogSlice
from results.stores.marks import Mark
from results.stores.schema import Table


class Follower(Protocol):
    """A store that follows the durable log."""

    @property
    def name(self) -> str:
        """Its name in reports."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The errors that mean that it is in trouble, and not that the pipeline is."""

    @property
    def seqs_per_slice(self) -> int:
        """How much of the log it takes at once."""

    def marks(self) -> Sequence[Mark]:
        """How far it is, by its own account."""

    def mend(self, error: Exception) -> bool:
        """Make good what `marks` failed for; whether it is worth asking again."""

    def write(self, log: LogSlice, at_us: int) -> int:
        """Write a slice; the rows written. Writing one again changes nothing."""

    def resend(self, table: Table, rows: pyarrow.Table) -> int:
        """Write rows of the log again, because they were lost or damaged; never over a newer version."""


def marks_of(follower: Follower) -> Sequence[Mark]:
    """How far a follower is, asked once more if it could mend what failed. Raises its failures."""
    try:
        return follower.marks()
    except follower.failures as error:
        if not follower.mend(error):
            raise
    return follower.marks()
