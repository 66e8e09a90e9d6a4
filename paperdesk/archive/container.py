"""The archive as a file: an uncompressed tar, readable by its owner only, since it holds password hashes and sessions.

    manifest.json      what is in it, of when, made by which versions; bytes and SHA-256 of each file
    manifest.sha256    SHA-256 of the manifest
    database/...       the Django database            log/...       the durable log, Parquet
    redis/dump.rdb     Redis                          passwords.txt the demo users' passwords, where there are any

It is written under another name and renamed when it is whole, and nothing of it is used before every checksum fits.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from paperdesk.archive.errors import ArchiveDamaged, BackupRefused

FORMAT = 1
MANIFEST, MANIFEST_SUM = "manifest.json", "manifest.sha256"
CHUNK_BYTES = 1 << 20
OWNER_ONLY = 0o600
MANIFEST_BYTES_MAX = 10_000_000


class FileSum(msgspec.Struct, frozen=True):
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive says of itself. `rows` counts versions by table of the log; `made_at` is UTC."""

    format: int = FORMAT
    made_at: str
    versions: dict[str, str]
    database: dict[str, Any]
    log: dict[str, Any]
    rows: dict[str, int]
    redis: dict[str, Any]
    files: dict[str, FileSum] = {}


@contextlib.contextmanager
def staging(beside: Path) -> Iterator[Path]:
    """A folder on the same disk as `beside`, for its owner only, which is gone afterwards whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=f".{beside.name}.", suffix=".partial", dir=beside.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_target(file: Path) -> None:
    """Raises BackupRefused if there is something at `file`, or no folder to write it into."""
    if file.exists():
        raise BackupRefused(f"{file} exists already; name a file that does not")
    if not file.parent.is_dir():
        raise BackupRefused(f"{file.parent} is not a folder")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise BackupRefused(f"{file.parent} cannot be written to")


def pack(folder: Path, manifest: Manifest, target: Path) -> Manifest:
    """Write the files of `folder` and the manifest, with their checksums, as `target`; the manifest as written."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    sums = {name: sum_of(folder / name) for name in names}
    manifest = msgspec.structs.replace(manifest, files=sums)
    told = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    draft = folder / "archive"
    with open(draft, "wb", opener=_for_owner) as output:
        with tarfile.open(fileobj=output, mode="w|") as tar:
            _add(tar, MANIFEST, len(told), io.BytesIO(told))
            digest = hashlib.sha256(told).hexdigest().encode()
            _add(tar, MANIFEST_SUM, len(digest), io.BytesIO(digest))
            for name in names:
                with open(folder / name, "rb") as source:
                    _add(tar, name, sums[name].bytes, source)
                (folder / name).unlink()  # so that the disk holds everything twice only for a moment
        output.flush()
        os.fsync(output.fileno())
    refuse_target(target)
    draft.rename(target)
    _sync_folder(target.parent)
    return manifest


def unpack(archive: Path, folder: Path) -> Manifest:
    """Write the archive's files into `folder`, each compared with its checksum. Raises ArchiveDamaged."""
    try:
        with tarfile.open(archive, mode="r|") as tar:
            members = iter(tar)
            manifest = _manifest(archive, tar, members)
            found = {member.name for member in members if _extracted(archive, manifest, tar, member, folder)}
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveDamaged(f"{archive} is not a whole archive of PaperDesk: {error}") from error
    for name in sorted(manifest.files.keys() - found):
        raise ArchiveDamaged(f"{archive}: {name} is missing; its checksum is {manifest.files[name].sha256}")
    return manifest


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, OWNER_ONLY)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sum_of(file: Path) -> FileSum:
    """Size and checksum of a file."""
    with open(file, "rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return FileSum(file.stat().st_size, digest)


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, OWNER_ONLY
    tar.addfile(about, content)


def _manifest(archive: Path, tar: tarfile.TarFile, members: Iterator[tarfile.TarInfo]) -> Manifest:
    told, digest = (_whole(archive, tar, members, name) for name in (MANIFEST, MANIFEST_SUM))
    found = hashlib.sha256(told).hexdigest()
    if found.encode() != digest:
        said = digest.decode(errors="backslashreplace")
        raise ArchiveDamaged(f"{archive}: {MANIFEST} has the checksum {found}, {MANIFEST_SUM} says {said}")
    number = msgspec.json.decode(told, type=dict[str, Any]).get("format")
    if number != FORMAT:
        raise ArchiveDamaged(f"{archive} has the format {number}; this version of PaperDesk reads format {FORMAT}")
    return msgspec.json.decode(told, type=Manifest)


def _whole(archive: Path, tar: tarfile.TarFile, members: Iterator[tarfile.TarInfo], name: str) -> bytes:
    member = next(members, None)
    content = tar.extractfile(member) if member is not None and member.name == name else None
    if member is None or content is None or member.size > MANIFEST_BYTES_MAX:
        raise ArchiveDamaged(f"{archive} is not an archive of PaperDesk: it has no {name}")
    return content.read()


def _extracted(archive: Path, manifest: Manifest, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> bool:
    """Whether the file was written; one that the manifest does not name is none of ours."""
    expected, content = manifest.files.get(member.name), tar.extractfile(member)
    if expected is None or content is None:
        raise ArchiveDamaged(f"{archive}: {member.name!r} is not in {MANIFEST}")
    target = folder / member.name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ArchiveDamaged(f"{archive}: {member.name!r} points out of the archive")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(target, "wb", opener=_for_owner) as output:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
            output.write(chunk)
    if digest.hexdigest() != expected.sha256:
        raise ArchiveDamaged(
            f"{archive}: {member.name} has the checksum {digest.hexdigest()}, the manifest says {expected.sha256}"
        )
    return True
