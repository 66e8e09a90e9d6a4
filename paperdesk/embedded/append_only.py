"""The append-only file of the embedded Redis on a full disk: renewed while the server runs, mended before it starts.

After a rewrite, Valkey (9.1, like Redis) writes the new file without O_APPEND. When the disk is full and a write comes
through in part, it cuts that part off, but goes on behind it as soon as there is room: as many zero bytes as had been
written in vain stand between two commands, a hole, and the next start refuses the file ("Bad file format"). Worse, from
then on the server believes the file to be shorter than it is. The next time, its cut takes as many bytes of whole
commands as the hole is long, and the zeros that follow begin in the middle of one.

The memory of the server has everything, so a file with a hole is written anew at once, by BGREWRITEAOF. If the server
is killed before that: the first hole is removed and nothing is lost. What stands from a second one on, or behind a
command that was overwritten, is set aside, so that the server starts with the state of that moment, as with an older
copy (ruling 29). Any other damage is left to a person. A file is replaced in one step.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

import redis

from paperdesk.drafts import replacing

FOLDER = "appendonlydir"
MANIFEST = "*.manifest"
PATTERN = "*.incr.aof"
LINE_END = b"\r\n"
SUSPECT = (b"\0*", b"\0#")  # where a hole ends
HOLE = re.compile(rb"\0+(?=[*#]|\Z)")
HEADER_BYTES_MAX = 32  # of the line that tells how many parts or bytes follow
CHUNK_BYTES = 1 << 20


# While the server runs --------------------------------------------------------------------------------------------


def renewer(folder: Path, url: str) -> Callable[[], list[str]]:
    """What is to be called each second while the Redis at `url`, which keeps its data in `folder`, runs.

    It has the file written anew when there is a hole in it, and returns a sentence then. It raises nothing: the server
    may be away, and the disk still full.
    """
    client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)

    def renew() -> list[str]:
        try:
            there = _bytes_there(folder / FOLDER)
            found = client.info("persistence")
            written = found["aof_current_size"] - found["aof_base_size"]
            if found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"]:
                return []
            if there <= written or found["aof_last_write_status"] != "ok":
                return []
            client.bgrewriteaof()
        except (OSError, redis.RedisError, ValueError):
            return []
        zeros = there - written
        return [f"a full disk left {zeros} zero bytes in its append-only file, which is written anew; nothing is lost"]

    return renew


def _bytes_there(folder: Path) -> int:
    """Bytes of the files that the manifest names as what came after the base. Raises OSError, ValueError."""
    [manifest] = folder.glob(MANIFEST)
    lines = [line.split() for line in manifest.read_text().splitlines()]  # file NAME seq N type b|i|h
    return sum((folder / words[1]).stat().st_size for words in lines if words[5] == "i")


# Before it starts ------------------------------------------------------------------------------------------------


def mend(folder: Path) -> list[str]:
    """Mend the append-only files of the Redis that keeps its data in `folder`, and is not running.

    Returns a sentence for each file that was changed. Raises OSError.
    """
    told, is_cut = [], False
    for file in sorted((folder / FOLDER).glob(PATTERN), key=_sequence):
        if not file.stat().st_size:
            continue
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            hole, overwritten = (None, 0) if is_cut else _examined(content)
            if hole is None and overwritten is None:
                continue
            aside = None if overwritten is None else _set_aside(file, content, overwritten)
            with replacing(file) as draft, draft.open("wb") as mended:
                _copy(content, 0, hole[0] if hole else overwritten or 0, mended)
                if hole:
                    _copy(content, hole[1], len(content) if overwritten is None else overwritten, mended)
                mended.flush()
                os.fsync(mended.fileno())
            told.append(_sentence(file, hole, aside, len(content) - (overwritten or 0)))
        is_cut = is_cut or aside is not None
    return told


def _sequence(file: Path) -> int:
    """The number of a file: appendonly.aof.13.incr.aof is the 13th."""
    number = file.name.removesuffix(".incr.aof").rpartition(".")[2]
    return int(number) if number.isdigit() else 0


def _sentence(file: Path, hole: tuple[int, int] | None, aside: Path | None, bytes_aside: int) -> str:
    if aside is not None:
        return (
            f"{file.name}: a full disk made Redis overwrite some of its last commands; it starts with what stood "
            f"before them, {bytes_aside} bytes are set aside in {aside.name}, and changes of that time may be missing"
        )
    zeros = hole[1] - hole[0] if hole else 0
    return f"{file.name}: {zeros} zero bytes removed that a full disk had left between two commands; nothing is lost"


def _set_aside(file: Path, content: mmap.mmap, start: int) -> Path:
    """Copy what is not trusted to a file of its own, whose name is free."""
    number = 1
    while (aside := file.with_name(f"{file.name}.{number}.overwritten")).exists():
        number += 1
    with replacing(aside) as draft, draft.open("wb") as opened:
        _copy(content, start, len(content), opened)
    return aside


def _copy(content: mmap.mmap, start: int, end: int, target: IO[bytes]) -> None:
    for place in range(start, end, CHUNK_BYTES):
        target.write(content[place : min(place + CHUNK_BYTES, end)])


class _Overwritten(Exception):
    """There are zero bytes where a command cannot have any."""


def _examined(content: mmap.mmap) -> tuple[tuple[int, int] | None, int | None]:
    """The first hole (its first byte, and the first after it), and the place of the first command that is overwritten;
    None for what there is not.
    """
    hole: tuple[int, int] | None = None
    place = 0
    if not _is_suspect(content):
        return None, None
    while place < len(content):
        if zeros := HOLE.match(content, place):
            if hole:
                return hole, place  # as many bytes before it as the first is long were cut off
            hole = zeros.span()
            place = zeros.end()
            continue
        try:
            following = _after_command(content, place)
        except _Overwritten:
            return hole, place
        if following is None:
            break  # cut off, which Redis mends by itself, or damaged in another way
        place = following
    return hole, None


def _is_suspect(content: mmap.mmap) -> bool:
    """Whether anything in it looks like a hole; values may, so the commands are gone through then."""
    return b"\0" in (content[:1], content[-1:]) or any(content.find(end) >= 0 for end in SUSPECT)


def _after_command(content: mmap.mmap, place: int) -> int | None:
    """Where the command (or comment) at a place ends; None if it is not whole. Raises _Overwritten."""
    if content[place : place + 1] == b"#":
        end = content.find(b"\n", place)
        return None if end < 0 else end + 1
    count, place = _number(content, place, b"*")
    for _ in range(count):
        length, place = _number(content, place, b"$")
        if place < 0:
            return None
        place += length
        ending = content[place : place + len(LINE_END)]
        if b"\0" in ending:
            raise _Overwritten
        if ending != LINE_END:
            return None
        place += len(LINE_END)
    return None if place < 0 else place


def _number(content: mmap.mmap, place: int, mark: bytes) -> tuple[int, int]:
    """The number of a line that begins with a mark, and where the next line begins; (0, -1) if there is none. Raises
    _Overwritten.
    """
    line = content[place : place + HEADER_BYTES_MAX]
    header, is_whole, _ = line.partition(LINE_END)
    if b"\0" in header:
        raise _Overwritten
    digits = header[1:]
    if not is_whole or header[:1] != mark or not digits.isdigit():
        return 0, -1
    return int(digits), place + len(header) + len(LINE_END)
