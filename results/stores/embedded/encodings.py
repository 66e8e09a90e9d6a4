"""Request bodies in the encodings that clickhouse-connect negotiates, decoded piece by piece."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any

import lz4.frame

from results.stores.embedded.failures import CANNOT_DECOMPRESS, UNKNOWN_COMPRESSION, refused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": zlib.decompressobj,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
}
ERRORS = (zlib.error, RuntimeError, zstd.ZstdError, EOFError)


class Decoder:
    """Decodes one body, which may be several frames one after the other. Empty or `identity`: unchanged."""

    def __init__(self, encoding: str) -> None:
        """`encoding` is the Content-Encoding header; an unknown one raises StatementFailed."""
        self._encoding = encoding.strip().lower()
        self._open: Any = None
        if self._encoding in ("", "identity"):
            return
        if self._encoding not in DECODERS:
            raise refused(UNKNOWN_COMPRESSION, f"Unknown Content-Encoding {encoding!r}", "UNKNOWN_COMPRESSION_METHOD")
        self._open = DECODERS[self._encoding]()

    def feed(self, piece: bytes) -> bytes:
        """The plain bytes of the next piece. Raises StatementFailed when it is not in the encoding."""
        if self._open is None:
            return piece
        plain = bytearray()
        try:
            while piece:
                plain += self._open.decompress(piece)
                if not self._open.eof:
                    break
                piece = self._open.unused_data or b""
                if piece:
                    self._open = DECODERS[self._encoding]()
        except ERRORS as error:
            raise refused(CANNOT_DECOMPRESS, f"{self._encoding}: {error}", "CANNOT_DECOMPRESS") from error
        return bytes(plain)

    def close(self, anything_came: bool) -> None:
        """Raises StatementFailed when the body ended in the middle of a frame."""
        if self._open is not None and anything_came and not self._open.eof:
            raise refused(CANNOT_DECOMPRESS, f"{self._encoding}: the body is cut short", "CANNOT_DECOMPRESS")
