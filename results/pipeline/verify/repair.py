"""The repairer: what the verifier found is sent again, until every store has what the log has.

    the log lacks a row, or it is corrupt   its entry is put into the stream again, from a sound copy: that of Redis,
                                            else the Django row, and of a corrupt one else ClickHouse's
    Django or ClickHouse differ             the log's newest row is written there again
    a result hash in Redis is older         the log's newest row is written over it, if it still is what was read

Invariants: only sound rows are sent, those whose hash is that of their values; nothing is deleted, and no newer version
is overwritten; a second repair finds nothing to do. What cannot be repaired is returned with the reason. A row that
only ClickHouse has may be another desk's and is left alone. Source: rulings 26, 27 and 28.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from redis import Redis

from results.pipeline.batches import in_batches
from results.pipeline.canonical_rows import Row
from results.pipeline.verify.comparison import LOG, Difference, Kind
from results.pipeline.verify.detail import Copies, copies_of, is_sound
from results.pipeline.verify.hot_rows import HASH_KEYS, hashes_of
from results.pipeline.verify.hot_rows import NAME as REDIS
from results.pipeline.verify.look import Keeper
from results.pipeline.verify.sources import ClickHouseRows, DjangoRows
from results.stores import duck
from results.stores.gate import Gate
from results.stores.schema import TABLES, Table
from trading.stores.errors import StepConflict
from trading.stores.hashes import hash_of_row
from trading.stores.outbox import Outbox
from trading.stores.step import Step, StepRunner

ROWS_PER_STEP = 50
KEYS_PER_BATCH = 1_000
ORIGINS = (REDIS, DjangoRows.name)  # of rows that the log lacks, in the order in which they are believed


class Mended(msgspec.Struct, frozen=True):
    """A row that was sent again, or that could not be: `store` is where it is wrong."""

    table: str
    key: str
    store: str
    sentence: str


class Repairer:
    """Mends what differs. `at_us` names the repair, so that its steps are not taken for those of an earlier one."""

    def __init__(self, client: Redis, gate: Gate, keepers: Sequence[Keeper], at_us: int) -> None:
        self._client = client
        self._gate = gate
        self._keepers = keepers
        self._runner = StepRunner(client)
        self._at_us = at_us
        self.repaired: list[Mended] = []
        self.unrepaired: list[Mended] = []

    def mend_log(self, differences: Iterable[Difference]) -> int:
        """Put what the log lacks, or has corrupt, into the stream again; how many rows. A sync then appends them.

        Raises RedisAway, WarehouseMissing, WarehouseBusy.
        """
        lost = (each for each in differences if each.store == LOG or each.kind in (Kind.EXTRA, Kind.NEWER))
        return sum(self._mend_log(*batch) for batch in self._batches(lost))

    def mend_others(self, differences: Iterable[Difference]) -> int:
        """Write the log's rows again where a store differs; how many rows. Notes what cannot be mended.

        Raises like `mend_log`; StoreError and django.db.DatabaseError of the store that is written.
        """
        return sum(self._mend_others(*batch) for batch in self._batches(differences))

    def _batches(self, differences: Iterable[Difference]) -> Iterable[tuple[Table, Mapping[str, set[str]], Copies]]:
        by_table: dict[str, dict[str, set[str]]] = {}
        for each in differences:
            by_table.setdefault(each.table, {}).setdefault(each.key, set()).add(each.store)
        for name, stores_of in by_table.items():
            for keys in in_batches(sorted(stores_of), KEYS_PER_BATCH):
                copies = copies_of(TABLES[name], keys, self._gate, self._keepers, self._client)
                yield TABLES[name], {key: stores_of[key] for key in keys}, copies

    def _mend_log(self, table: Table, stores_of: Mapping[str, set[str]], copies: Copies) -> int:
        outbox, sent = Outbox(TABLES), []
        for key in stores_of:
            origin = _origin(table, key, copies)
            if origin is not None:
                row = copies[origin][key]
                sent.append(outbox.entry(table.name, row))
                self.repaired.append(Mended(table.name, key, LOG, f"version {row['version']} taken from {origin}"))
        for start in range(0, len(sent), ROWS_PER_STEP):
            entries = sent[start : start + ROWS_PER_STEP]
            step = Step(f"repair:{self._at_us}:{table.name}:{entries[0]['id']}:{entries[-1]['id']}")
            for entry in entries:
                step.emit(entry)
            self._runner.run(step)
        return len(sent)

    def _mend_others(self, table: Table, stores_of: Mapping[str, set[str]], copies: Copies) -> int:
        resent: dict[str, list[str]] = {}
        mended = 0
        for key, stores in stores_of.items():
            truth = copies[LOG].get(key)
            for store in sorted(stores):
                refusal = _refusal(table, key, store, truth, copies)
                if refusal:
                    self.unrepaired.append(Mended(table.name, key, store, refusal))
                elif truth is not None and store == REDIS:
                    mended += self._mend_hash(table, key, truth)
                elif store != LOG:
                    resent.setdefault(store, []).append(key)
        return mended + sum(self._resend(keeper, table, resent.get(keeper.source.name, [])) for keeper in self._keepers)

    def _resend(self, keeper: Keeper, table: Table, keys: Sequence[str]) -> int:
        if not keys:
            return 0
        with self._gate.read() as connection:
            rows = duck.read_newest(connection, table, keys)
        keeper.follower.resend(table, rows)
        versions = rows.select([table.key, "version"]).to_pylist()
        self.repaired += [
            Mended(table.name, str(each[table.key]), keeper.source.name, f"version {each['version']} sent again")
            for each in versions
        ]
        return len(versions)

    def _mend_hash(self, table: Table, key: str, truth: Row) -> int:
        """Write the log's row over an older hash, if that is still what was read."""
        name = HASH_KEYS[table.name](key)
        (fields,) = hashes_of(self._client, [name])
        texts = hash_of_row(table, truth)
        emptied = [
            column.name for column in table.columns if column.name.encode() in fields and column.name not in texts
        ]
        step = Step(f"repair:{self._at_us}:{name}").expect_hash(name, fields).hset(name, texts)
        try:
            self._runner.run(step.hdel(name, *emptied) if emptied else step)
        except StepConflict:
            return 0  # somebody wrote it meanwhile: the next look says how it is
        self.repaired.append(Mended(table.name, key, REDIS, f"version {truth['version']} written over an older one"))
        return 1


def _origin(table: Table, key: str, copies: Copies) -> str | None:
    """The store whose copy of the row the log should have, or None when the log's own is right."""
    held = copies[LOG].get(key)
    is_sound_here = is_sound(table, held)
    origins = ORIGINS if held is None or is_sound_here else (*ORIGINS, ClickHouseRows.name)
    best: str | None = None
    for name in origins:
        row = copies.get(name, {}).get(key)
        if not is_sound(table, row) or row is None:
            continue
        if best is None or row["version"] > copies[best][key]["version"]:
            best = name
    if best is None or held is None:
        return best
    version = copies[best][key]["version"]
    return best if version > held["version"] or (version == held["version"] and not is_sound_here) else None


def _refusal(table: Table, key: str, store: str, truth: Row | None, copies: Copies) -> str | None:
    """Why the store's row cannot be mended from the log, in a sentence; None when it can, or need not."""
    if truth is None:
        return "the log has no such row, and no sound copy of it is in Redis or the Django tables"
    if not is_sound(table, truth):
        return f"the log's version {truth['version']} does not hash to its own row_hash, and no store has a sound copy"
    found = copies.get(store, {}).get(key)
    if found is not None and found["version"] > truth["version"]:
        return f"version {found['version']} is above the log's {truth['version']}, and is never overwritten"
    if store == DjangoRows.name and table.is_born and found != truth:
        return "the table is born in Django, which is never written from the log; save the row again in the admin"
    if store == REDIS and found is not None and found != truth:
        if table.name not in HASH_KEYS:
            return "only the engine writes this record"
        if not is_sound(table, found):
            return "the hash was changed by another program, and waits for the sweep"
    return None
