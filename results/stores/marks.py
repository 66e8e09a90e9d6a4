"""Where a follower of the log stands, in a form that notices when the log is not the one that it followed.

    Mark(seq=100003, row="100001/1723161250000-1/-123456789012345677")

`seq` alone lies once an older DuckDB file was restored, because its numbers are given again; `row` names the log's
last row up to `seq`. A follower keeps its marks in its own store, where they are lost or restored together with its
rows, and goes on from the newest one that still fits (`duck.resume`); with none it begins anew. What it then sends
twice, its store holds once.
"""

from __future__ import annotations

import msgspec


class Mark(msgspec.Struct, frozen=True):
    """Everything up to `seq` is confirmed; `row` is `seq/stream_id/row_hash` of the last row, empty without rows."""

    seq: int
    row: str
