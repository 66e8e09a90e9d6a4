"""What cannot be backed up or restored is refused in one sentence, and nothing was changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pyarrow.parquet
import pytest
import redis
from django.conf import settings
from django.db import connection

from paperdesk.archive.backup import make_backup
from paperdesk.archive.container import FORMAT, Manifest, pack, unpack
from paperdesk.archive.database import SQLITE
from paperdesk.archive.errors import ArchiveDamaged, BackupRefused, RestoreRefused
from paperdesk.archive.restore import restore_backup
from results.pipeline.keep.log_copy import LogChanged
from tests.desk.test_backup import (
    BusyDesk,
    archive,
    busy,
    clickhouse,
    contents,
    fresh_clickhouse_url,
    gate,
    here,
    quiet,
)
from tests.desk.typed import bare, manage
from trading.stores import keys

__all__ = ["archive", "busy", "clickhouse", "fresh_clickhouse_url", "gate", "here"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_redis_that_refuses_sync_is_left_as_it_was(busy: BusyDesk, tmp_path: Path) -> None:
    admin, target = busy.side.client, tmp_path / "archives" / "desk.backup"
    target.parent.mkdir()
    admin.acl_setuser("clerk", enabled=True, passwords="+secret", keys="*", channels="*", commands=["+@all", "-sync"])
    clerk = redis.Redis.from_url(settings.REDIS_URL, username="clerk", password="secret")
    before = redis_keys(admin)
    try:
        with pytest.raises(BackupRefused, match="Redis gives no snapshot: it answered .-NOPERM .* to SYNC, which"):
            make_backup(clerk, busy.side.gate, target, quiet)
    finally:
        clerk.close()
        admin.acl_deluser("clerk")
    assert contents(target.parent) == {}
    assert not admin.exists(keys.lease(keys.BACKUP_LEASE), keys.TRIM_HOLDS)
    assert redis_keys(admin) - before == {keys.fence(keys.BACKUP_LEASE)}  # counts backups, and stays
    make_backup(admin, busy.side.gate, target, quiet)  # nothing that is left stands in its way


def redis_keys(client: redis.Redis) -> set[str]:
    return {key.decode() for key in client.scan_iter()}


def changed(archive: Path, change: Callable[[Manifest, Path], Manifest]) -> Path:
    """The archive with another manifest or other files, and the checksums that go with them."""
    folder, target = archive.with_name("folder"), archive.with_name("changed.backup")
    folder.mkdir()
    pack(folder, change(unpack(archive, folder), folder), target)
    return target


def later_migration(manifest: Manifest, _folder: Path) -> Manifest:
    applied = [*manifest.database["migrations"], ("trading", "0999_from_the_future")]
    return msgspec.structs.replace(manifest, database={**manifest.database, "migrations": applied})


def later_format(manifest: Manifest, _folder: Path) -> Manifest:
    return msgspec.structs.replace(manifest, format=FORMAT + 1)


def later_column(manifest: Manifest, folder: Path) -> Manifest:
    file = folder / "log" / "trade_result_log.parquet"
    rows: Any = pyarrow.parquet.read_table(file)
    pyarrow.parquet.write_table(rows.append_column("mood", [["calm"] * rows.num_rows]), file)
    return manifest


def later_redis(manifest: Manifest, folder: Path) -> Manifest:
    file = folder / "redis" / "dump.rdb"
    dump = file.read_bytes()
    file.write_bytes(b"REDIS9999" + dump[9:])
    return msgspec.structs.replace(manifest, redis={**manifest.redis, "version": "99.0", "format": "REDIS9999"})


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (
            later_migration,
            RestoreRefused,
            "of a later version of PaperDesk: trading.0999_from_the_future is not known",
        ),
        (later_format, ArchiveDamaged, f"has the format {FORMAT + 1}; this version of PaperDesk reads format {FORMAT}"),
        (later_column, LogChanged, "trade_result_log.parquet has the columns mood, which this version does not know"),
        (later_redis, RestoreRefused, "Redis data, which version 99.0 wrote in the format REDIS9999, cannot be read"),
    ],
)
def test_an_archive_of_a_later_version_is_refused(
    archive: tuple[Path, Manifest],
    here: Path,
    change: Callable[[Manifest, Path], Manifest],
    error: type[Exception],
    sentence: str,
) -> None:
    later = changed(archive[0], change)
    with pytest.raises(error, match=sentence):
        restore_backup(later, quiet)
    assert contents(here) == {}


@pytest.mark.both_databases
def test_an_archive_with_another_kind_of_database_is_refused(
    archive: tuple[Path, Manifest], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = bare(tmp_path / "place")
    other, ours = "postgresql", SQLITE
    if connection.vendor == SQLITE:
        environment["DATABASE_URL"] = request.getfixturevalue("postgres_url")
    else:
        other, ours = ours, other
    done = manage(environment, "restore", str(archive[0]))
    said = f"the archive holds a database of {ours}, and this desk's is one of {other}; DATABASE_URL decides which"
    assert (done.returncode, done.stderr.strip().splitlines()[-1:]) == (1, [f"Error: {said}"])
    assert "Traceback" not in done.stderr
    assert contents(tmp_path / "place").keys() <= {"secret_key"}  # which every command makes
    if other != SQLITE:
        with psycopg.connect(environment["DATABASE_URL"]) as there:
            tables = there.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)
