"""The append-only file of the embedded Redis: removing the holes that a full disk leaves in it, before a start.

After a rewrite, Valkey (9.1, like Redis) writes the new file without O_APPEND. When the disk is full and a write comes
through in part, it cuts that part off, but goes on behind it as soon as there is room: between two commands there are
then as many zero bytes as had been written in vain. Nothing is lost by that, since the whole write is repeated behind
the hole; but the next start refuses the file: "Bad file format". Only such holes are removed, zero bytes where a
command should begin. A file is replaced in one step, so that this may be killed anywhere; other damage is left to a
person.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path

from paperdesk.drafts import replacing

FOLDER = "appendonlydir"
PATTERN = "*.incr.aof"
LINE_END = b"\r\n"
SUSPECT = LINE_END + b"\0"
HOLE = re.compile(rb"\0+(?=[*#]|\Z)")


def remove_holes(folder: Path) -> list[str]:
    """Remove the holes from the append-only files of the Redis that keeps its data in `folder`, and is not running.

    Returns a sentence for each file that was mended. Raises OSError.
    """
    return [sentence for file in sorted((folder / FOLDER).glob(PATTERN)) if (sentence := _mend(file))]


def _mend(file: Path) -> str:
    if not file.stat().st_size:
        return ""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        holes = list(_holes(content)) if _is_suspect(content) else []
        if not holes:
            return ""
        with replacing(file) as draft, draft.open("wb") as mended:
            kept = 0
            for start, end in [*holes, (len(content), 0)]:
                mended.write(content[kept:start])
                kept = end
            mended.flush()
            os.fsync(mended.fileno())
    zeros = sum(end - start for start, end in holes)
    return f"{file.name}: {zeros} zero bytes removed that a full disk had left between two commands; nothing is lost"


def _is_suspect(content: mmap.mmap) -> bool:
    """Whether anything in it looks like a hole; values may, so the commands are gone through then."""
    place = 0
    while place >= 0:
        if HOLE.match(content, place):
            return True
        place = content.find(SUSPECT, place)
        place = place + len(LINE_END) if place >= 0 else place
    return False


def _holes(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Where zero bytes stand in the place of a command: first byte, and first byte after them."""
    place = 0
    while place < len(content):
        if zeros := HOLE.match(content, place):
            yield zeros.span()
            place = zeros.end()
            continue
        following = _after_command(content, place)
        if following is None:
            return  # cut off, which Redis mends by itself, or damaged in another way
        place = following


def _after_command(content: mmap.mmap, place: int) -> int | None:
    """Where the command (or comment) at a place ends; None if it is not whole."""
    if content[place : place + 1] == b"#":
        end = content.find(b"\n", place)
        return None if end < 0 else end + 1
    count, place = _number(content, place, b"*")
    for _ in range(count):
        length, place = _number(content, place, b"$")
        if place < 0:
            return None
        place += length + 2
    return place if 0 <= place <= len(content) else None


def _number(content: mmap.mmap, place: int, mark: bytes) -> tuple[int, int]:
    """The number of a line that begins with a mark, and where the next line begins; (0, -1) if there is none."""
    end = content.find(LINE_END, place)
    digits = content[place + 1 : end]
    if end < 0 or content[place : place + 1] != mark or not digits.isdigit():
        return 0, -1
    return int(digits), end + 2
