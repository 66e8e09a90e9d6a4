"""The outcome of a run as one hash: two runs came out alike if and only if their hashes are equal.

It covers the newest version of every durable row, without stream ids and ingestion columns, which differ from run to
run: the rows' own canonical hashes, sorted by table and key.
"""

from __future__ import annotations

import hashlib

from results.stores.gate import Gate
from results.stores.schema import TABLES

DIGEST_BYTES = 16


def outcome_hash(gate: Gate) -> str:
    """32 hexadecimal digits. Raises WarehouseMissing, WarehouseBusy."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with gate.read() as connection:
        for name in sorted(TABLES):
            key = TABLES[name].key
            rows = connection.table(name).select(f'CAST("{key}" AS VARCHAR) AS id, version, row_hash').order("id")
            for row_id, version, row_hash in rows.fetchall():
                digest.update(f"{name}\x1f{row_id}\x1f{version}\x1f{row_hash}\n".encode())
    return digest.hexdigest()
