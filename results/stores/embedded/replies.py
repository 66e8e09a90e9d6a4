"""Replies as ClickHouse writes them over HTTP: whole ones with their length, and streams.

A stream has begun with status 200 before all is known, so an error in its middle is told in the body, as ClickHouse
does: the header X-ClickHouse-Exception-Tag names a word, and the body ends with

    \\r\\n__exception__\\r\\n<tag>\\r\\nCode: 395. DB::Exception: ...\\n<length> <tag>\\r\\n__exception__\\r\\n
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from results.stores.embedded.encodings import Encoder, accepted_encoding
from results.stores.embedded.engine import Answer
from results.stores.embedded.failures import StatementFailed

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TAG_BYTES = 8
ENCODED_BYTES_MIN = 1_024  # a shorter answer is not worth it
YES = frozenset({"1", "true"})


class Reply:
    """The reply to one statement: `whole`, or `piece` after `piece` and then `end` or `broken`."""

    def __init__(self, send: Send, query_id: str, headers: dict[str, str], arguments: dict[str, str]) -> None:
        """`headers` and `arguments` are the request's; they say whether the answer may be encoded, and how."""
        self._send = send
        self._headers = {"x-clickhouse-query-id": query_id, "x-clickhouse-timezone": "UTC"}
        may_encode = arguments.get("enable_http_compression") in YES
        self._encoding = accepted_encoding(headers.get("accept-encoding", "")) if may_encode else None
        self._encoder = Encoder(None)
        self._tag = ""
        self.has_begun = False

    async def whole(self, answer: Answer) -> None:
        """Send all of it."""
        headers = {**self._headers, "x-clickhouse-summary": orjson.dumps(answer.summary).decode()}
        if answer.format is not None:
            headers["x-clickhouse-format"] = answer.format
        body = answer.body
        if self._encoding is not None and len(body) >= ENCODED_BYTES_MIN:
            headers["content-encoding"] = self._encoding
            body = await asyncio.to_thread(_encoded, self._encoding, body)
        await send_whole(self._send, 200, headers, body)

    async def piece(self, piece: Answer) -> None:
        """Send the next rows."""
        if not self.has_begun:
            await self._begin(piece)
        encoded = await asyncio.to_thread(self._encoder.feed, piece.body)
        await self._send({"type": "http.response.body", "body": encoded, "more_body": True})

    async def end(self) -> None:
        """Send what is left."""
        await self._send({"type": "http.response.body", "body": self._encoder.close()})

    async def broken(self, error: StatementFailed) -> None:
        """End a stream with the error's text."""
        text = error.text.strip()
        block = f"\r\n__exception__\r\n{self._tag}\r\n{text}\n{len(text.encode())} {self._tag}\r\n__exception__\r\n"
        last = self._encoder.feed(block.encode()) + self._encoder.close()
        await self._send({"type": "http.response.body", "body": last})

    async def _begin(self, first: Answer) -> None:
        self.has_begun = True
        self._tag = secrets.token_hex(TAG_BYTES)
        headers = {
            "content-type": "text/plain; charset=UTF-8",
            **self._headers,
            "x-clickhouse-format": first.format or "",
            "x-clickhouse-summary": orjson.dumps(first.summary).decode(),
            "x-clickhouse-exception-tag": self._tag,
        }
        if self._encoding is not None:
            headers["content-encoding"] = self._encoding
            self._encoder = Encoder(self._encoding)
        await self._send({"type": "http.response.start", "status": 200, "headers": _pairs(headers)})


async def send_whole(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    """Send a body of known length."""
    fields = {"content-type": "text/plain; charset=UTF-8", "content-length": str(len(body)), **headers}
    await send({"type": "http.response.start", "status": status, "headers": _pairs(fields)})
    await send({"type": "http.response.body", "body": body})


def _encoded(encoding: str, body: bytes) -> bytes:
    encoder = Encoder(encoding)
    return encoder.feed(body) + encoder.close()


def _pairs(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
