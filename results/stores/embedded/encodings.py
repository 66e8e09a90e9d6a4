"""Bodies in the encodings that clickhouse-connect negotiates: requests are decoded, answers encoded, piece by piece."""

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
ENCODERS: dict[str, Callable[[], Any]] = {  # the first one that a client takes is used
    "zstd": zstd.ZstdCompressor,
    "lz4": lz4.frame.LZ4FrameCompressor,
    "gzip": lambda: zlib.compressobj(wbits=31),
    "deflate": zlib.compressobj,
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


class Encoder:
    """Encodes one body. Without an encoding: unchanged."""

    def __init__(self, encoding: str | None) -> None:
        """`encoding` is one of ENCODERS."""
        self._open = ENCODERS[encoding]() if encoding else None
        self._start = self._open.begin() if isinstance(self._open, lz4.frame.LZ4FrameCompressor) else b""

    def feed(self, piece: bytes) -> bytes:
        """The next bytes of the encoded body; there may be none yet."""
        if self._open is None:
            return piece
        start, self._start = self._start, b""
        return bytes(start + self._open.compress(piece))

    def close(self) -> bytes:
        """The last bytes."""
        return b"" if self._open is None else bytes(self._start + self._open.flush())


def accepted_encoding(header: str) -> str | None:
    """The encoding for a client that sent this Accept-Encoding; None: unchanged."""
    accepted = {part.partition(";")[0].strip().lower() for part in header.split(",")}
    return next((encoding for encoding in ENCODERS if encoding in accepted), None)
