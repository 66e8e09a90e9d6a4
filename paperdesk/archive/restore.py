"""A restore into an empty place: everything is checked, then built beside the target, and only then put there.

Ctrl-C and errors leave the target as it was. ClickHouse is filled from the log by the first syncs of the desk.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from django.conf import settings

from paperdesk.archive import database, hot
from paperdesk.archive.backup import PASSWORDS, Say
from paperdesk.archive.container import Manifest, staging, unpack
from paperdesk.archive.errors import RestoreRefused
from paperdesk.embedded.desk_file import desk_lock
from results.pipeline.keep.log_copy import build_log
from results.stores.clickhouse import ClickHouse
from results.stores.failures import ClickHouseAway, ClickHouseRefused
from results.stores.gate import Gate
from results.stores.schema import TABLES, quoted

Move = tuple[Path, Path]


class Restored(msgspec.Struct, frozen=True):
    """What was restored, and to where."""

    manifest: Manifest
    data: Path


def restore_backup(archive: Path, say: Say) -> Restored:
    """Bring the desk of an archive to the data folder and the servers of the settings, which are empty.

    Raises RestoreRefused, ArchiveDamaged, DeskRunning, RedisDidNotStart, redis.RedisError, django.db.DatabaseError.
    """
    if not archive.is_file():
        raise RestoreRefused(f"{archive} is not a file")
    with desk_lock(settings.DATA), staging(settings.DATA / "restore") as folder:
        refuse_used_places()
        say("comparing the checksums")
        manifest = unpack(archive, folder)
        database.check_database(manifest.database)
        log = folder / "built.duckdb"
        build_log(folder / "log", Gate(log), manifest.rows, lambda name: say(f"building DuckDB: {name}"))
        say("building Redis")
        hot.build_redis(folder / "redis" / hot.FILE, folder / "server", manifest.redis)
        moves = [(log, Path(settings.DUCKDB_PATH))]
        if (folder / PASSWORDS).exists():
            moves.append((folder / PASSWORDS, settings.DATA / PASSWORDS))
        if manifest.database["kind"] == database.SQLITE:
            moves.append((folder / "database" / database.SQLITE_FILE, database.sqlite_path()))
        if not settings.REDIS_URL:
            moves.append((folder / "server", hot.redis_folder()))
        say("putting everything in its place")
        with contextlib.ExitStack() as places:  # the one that may still refuse at its end comes last
            if settings.REDIS_URL:
                places.enter_context(hot.restored_redis(folder / "server"))
            places.enter_context(_moved(moves))
            if manifest.database["kind"] == database.POSTGRES:
                places.enter_context(database.restored_postgres(folder / "database", manifest.database))
    return Restored(manifest, settings.DATA)


def refuse_used_places() -> None:
    """Raises RestoreRefused, with what is there, if any place that a restore fills is not empty."""
    hot.check_redis()
    for place in (Path(settings.DUCKDB_PATH), settings.DATA / "clickhouse", settings.DATA / PASSWORDS):
        if place.exists():
            raise RestoreRefused(f"{place} exists already; restore into an empty folder (--data)")
    if settings.CLICKHOUSE_URL:
        _refuse_used_clickhouse()


def _refuse_used_clickhouse() -> None:
    """Rows that are later than the archive would differ from the restored desk for ever. One that is away, or has no
    tables, is filled later."""
    store = ClickHouse(settings.CLICKHOUSE_URL, settings.CLICKHOUSE_CLUSTER)
    with contextlib.closing(store), contextlib.suppress(ClickHouseAway, ClickHouseRefused):
        logs = {name: quoted(table.log_name) for name, table in TABLES.items()}
        used = [name for name, log in logs.items() if store.rows(f"SELECT 1 FROM {log} LIMIT 1")]
        if used:
            raise RestoreRefused(
                f"ClickHouse at {store.address.host}:{store.address.port} has rows of {used[0]} in the database "
                f"{store.address.database}; name an empty one in CLICKHOUSE_URL"
            )


@contextlib.contextmanager
def _moved(moves: Sequence[Move]) -> Iterator[None]:
    """Put what was built into its places; all of it is gone again when the `with` block does not end well."""
    with contextlib.ExitStack() as undo:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.partial")
            undo.callback(_remove, target)
            undo.callback(_remove, draft)
            shutil.move(source, draft)  # the place may be on another disk
            draft.rename(target)
        yield
        undo.pop_all()


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
