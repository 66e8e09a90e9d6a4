"""The lines of a recorded file, gzip, zip or plain, streamed: never more than a chunk in memory.

What it is, its first bytes tell, not its name. Several gzip members after each other are one file; a zip archive holds
one file.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trading.market.errors import CaptureError

CHUNK_BYTES = 64 * 1024
LINE_BYTES_MAX = 32 * 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK"
_GZIP_WINDOW = 31  # zlib's code for "gzip header and checksum"


class CaptureLines:
    """Iterates lists of lines (without their ends). `bytes_read` of `bytes_total` is the progress in the file.

    A file that breaks off is an error, unless it `may_break_off`: then its last line counts only if it is whole.
    """

    def __init__(self, path: Path, may_break_off: bool = False) -> None:
        self.path = path
        self.bytes_read = 0
        self.lines_read = 0
        self._may_break_off = may_break_off
        try:
            self.bytes_total = path.stat().st_size
            with path.open("rb") as file:
                self._magic = file.read(2)
        except OSError as error:
            raise CaptureError(f"{path}: {error.strerror}") from None

    def __iter__(self) -> Iterator[list[bytes]]:
        """Raises CaptureError for a file that breaks off or is damaged; what came before was yielded."""
        self.bytes_read = self.lines_read = 0
        tail = b""
        with self.path.open("rb") as file:
            for piece in self._pieces(file):
                lines = (tail + piece).split(b"\n") if tail else piece.split(b"\n")
                tail = lines.pop()
                if len(tail) > LINE_BYTES_MAX:
                    raise self._error(f"a line is longer than {LINE_BYTES_MAX} bytes")
                yield lines
                self.lines_read += len(lines)
        if tail and not self._may_break_off:
            yield [tail]
            self.lines_read += 1

    def _pieces(self, file: BinaryIO) -> Iterator[bytes]:
        if self._magic == GZIP_MAGIC:
            return self._unpacked(file)
        return self._unzipped(file) if self._magic == ZIP_MAGIC else self._chunks(file)

    def _unzipped(self, file: BinaryIO) -> Iterator[bytes]:
        try:
            archive = zipfile.ZipFile(file)
            names = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(names) != 1:
                raise self._error(f"the archive holds {len(names)} files, it must be one")
            with archive.open(names[0]) as member:
                while chunk := member.read(CHUNK_BYTES):
                    self.bytes_read = file.tell()
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise self._error(f"the zip archive is damaged ({error})") from None
        self.bytes_read = self.bytes_total

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        while chunk := file.read(CHUNK_BYTES):
            self.bytes_read += len(chunk)
            yield chunk

    def _unpacked(self, file: BinaryIO) -> Iterator[bytes]:
        member = zlib.decompressobj(_GZIP_WINDOW)
        for chunk in self._chunks(file):
            packed = chunk
            while packed:
                if member.eof:
                    packed = packed.lstrip(b"\0")  # padding between members
                    if not packed:
                        break
                    member = zlib.decompressobj(_GZIP_WINDOW)
                try:
                    yield member.decompress(packed)
                except zlib.error as error:
                    raise self._error(f"the gzip stream is damaged ({error})") from None
                packed = member.unused_data
        if not member.eof and not self._may_break_off:
            raise self._error("the gzip stream breaks off (the file is truncated)")

    def _error(self, what: str) -> CaptureError:
        return CaptureError(f"{self.path}: after line {self.lines_read}: {what}")
