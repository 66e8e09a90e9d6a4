"""A small disk for a desk under test, which can be made full.

With the rights to mount (root, as in a container), the data folder is a tmpfs in a mount namespace of this process and
its children: nothing of it is left when they end. Without them only the warehouse worker, which writes DuckDB and the
Django tables, is kept from making any file longer (RLIMIT_FSIZE); its writes fail as on a full disk, and nobody else's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
FILLER = "filler"
PIECES = (1 << 24, 1 << 20, 1 << 16, 1 << 12)  # the disk is full to the last page


def own_disk(folder: Path, megabytes: int) -> bool:
    """Make the folder a disk of its own for this process and the children that its main thread starts. Whether that
    is allowed here."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        return False
    commands = (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "paperdesk-faults", str(folder)],
    )
    try:
        return all(subprocess.run(command, capture_output=True).returncode == 0 for command in commands)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """The disk of the folder has no free page meanwhile."""
    filler = folder / FILLER
    try:
        with open(filler, "wb") as file:
            at = 0
            for piece in PIECES:
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), at, piece)
                        at += piece
        yield
    finally:
        filler.unlink(missing_ok=True)


@contextlib.contextmanager
def no_longer_files(pid: int) -> Iterator[None]:
    """A process of ours can make no file longer meanwhile."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
