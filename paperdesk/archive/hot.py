"""Redis's part of an archive: `dump.rdb`, the server's data of one moment.

It is asked for as a replica asks (SYNC), which any Redis or Valkey answers over the wire, this machine's or another's.
It holds all databases of the server; restored is the desk's alone, without leases.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from paperdesk.archive.errors import BackupRefused, RestoreRefused
from paperdesk.embedded.redis_server import RedisDidNotStart, running_redis
from paperdesk.environment import masked
from trading.stores import keys

FILE = "dump.rdb"
CHUNK_BYTES = 1 << 20
SILENT_SECONDS_MAX = 60.0  # while it writes its snapshot the server sends a sign of life each second
HEADER_BYTES_MAX = 4_096
KEYS_PER_READ = 500
# What Redis 7 and later loads at its start: an append-only file whose base is the snapshot.
BASE, BASE_MANIFEST = "appendonly.aof.1.base.rdb", "appendonly.aof.manifest"


def copy_redis(client: Redis, folder: Path, say: Callable[[int, int], None]) -> dict[str, Any]:
    """Write the server's snapshot into `folder`; what the manifest says of it. `say` is told bytes, of how many.

    Raises BackupRefused when the server does not give one, redis.RedisError.
    """
    folder.mkdir(parents=True)
    told = client.info("server")
    connection = client.connection_pool.get_connection()
    try:
        with open(folder / FILE, "wb") as target:
            _receive(connection, target, say)
    except OSError as error:
        raise BackupRefused(f"Redis at {masked(settings.REDIS_URL)} broke off its snapshot: {error}") from error
    finally:
        connection.disconnect()
        client.connection_pool.release(connection)
    version = told.get("valkey_version") or told["redis_version"]
    return {
        "version": version,
        "database": int(client.get_connection_kwargs().get("db") or 0),
        "format": (folder / FILE).open("rb").read(9).decode(errors="replace"),
    }


def _receive(connection: Any, target: Any, say: Callable[[int, int], None]) -> None:
    connection.send_command("SYNC")
    stream = connection._sock
    stream.settimeout(SILENT_SECONDS_MAX)
    header = b""
    while not header.lstrip(b"\n").endswith(b"\r\n"):
        piece = stream.recv(1)
        if not piece or len(header) > HEADER_BYTES_MAX:
            raise BackupRefused("Redis closed the connection instead of sending a snapshot (SYNC)")
        header += piece
    line = header.strip().decode(errors="backslashreplace")
    if not line.startswith("$") or not line[1:].isdecimal():
        raise BackupRefused(f"Redis gives no snapshot: it answered {line!r} to SYNC, which a backup needs")
    size = left = int(line[1:])
    while left:
        piece = stream.recv(min(CHUNK_BYTES, left))
        if not piece:
            raise BackupRefused(f"Redis broke off its snapshot {left} bytes before its end")
        target.write(piece)
        left -= len(piece)
        say(size - left, size)


def redis_folder() -> Path:
    """Where an embedded Redis keeps its data."""
    return Path(settings.DATA) / "redis"


def check_redis() -> None:
    """Raises RestoreRefused if there is a Redis with something in it."""
    if not settings.REDIS_URL:
        if redis_folder().exists():
            raise RestoreRefused(f"{redis_folder()} exists already; restore into an empty folder (--data)")
        return
    with contextlib.closing(Redis.from_url(settings.REDIS_URL)) as client:
        count = client.dbsize()
    if count:
        raise RestoreRefused(f"Redis at {masked(settings.REDIS_URL)} has {count} keys; restore into an empty database")


def build_redis(dump: Path, folder: Path, about: dict[str, Any]) -> None:
    """Make of a snapshot the folder of an embedded Redis that holds the desk's database alone, as its database 0.

    `about` is what the manifest says of it. Raises RestoreRefused when the embedded Redis cannot read the snapshot.
    """
    try:
        _build(dump, folder, about["database"])
    except RedisDidNotStart as error:
        raise RestoreRefused(
            f"the archive's Redis data, which version {about['version']} wrote in the format {about['format']}, "
            f"cannot be read here: {error}"
        ) from error


def _build(dump: Path, folder: Path, database: int) -> None:
    (folder / "appendonlydir").mkdir(parents=True)
    dump.rename(folder / "appendonlydir" / BASE)
    (folder / "appendonlydir" / BASE_MANIFEST).write_text(f"file {BASE} seq 1 type b\n")
    with running_redis(folder) as url, contextlib.closing(Redis.from_url(url)) as client:
        if database:
            client.swapdb(0, database)
        for name in client.info("keyspace"):
            if name != "db0":
                with contextlib.closing(Redis.from_url(f"{url.rpartition('/')[0]}/{name.removeprefix('db')}")) as other:
                    other.flushdb()
        client.delete(keys.TRIM_HOLDS, *client.scan_iter(keys.lease("*"), count=1_000))
    (folder / "redis.log").unlink(missing_ok=True)


@contextlib.contextmanager
def restored_redis(folder: Path) -> Iterator[int]:
    """Copy what the embedded Redis of `folder` has into the empty one at REDIS_URL; gives how many keys.

    They are removed again when the `with` block does not end well. Raises RestoreRefused when the server cannot read
    the records of the archive's, redis.RedisError.
    """
    written: list[bytes] = []
    with contextlib.closing(Redis.from_url(settings.REDIS_URL)) as target:
        try:
            with running_redis(folder) as url, contextlib.closing(Redis.from_url(url)) as source:
                _copy_keys(source, target, written)
            yield len(written)
        except BaseException:
            for start in range(0, len(written), KEYS_PER_READ):
                target.delete(*written[start : start + KEYS_PER_READ])
            raise


def _copy_keys(source: Redis, target: Redis, written: list[bytes]) -> None:
    names = list(source.scan_iter(count=1_000))
    for start in range(0, len(names), KEYS_PER_READ):
        batch = names[start : start + KEYS_PER_READ]
        reading, writing = source.pipeline(transaction=False), target.pipeline(transaction=False)
        for name in batch:
            reading.dump(name)
            reading.pttl(name)
        answers = reading.execute()
        for name, dump, left_ms in zip(batch, answers[::2], answers[1::2], strict=True):
            if dump is not None:
                writing.restore(name, max(0, left_ms), dump)
                written.append(name)
        try:
            writing.execute()
        except RedisError as error:
            where = urlsplit(settings.REDIS_URL)
            raise RestoreRefused(f"Redis at {where.hostname}:{where.port} refused a record: {error}") from error
