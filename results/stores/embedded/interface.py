"""ClickHouse's HTTP interface as an ASGI application: what clickhouse-connect 1.12 sends, and what it reads back.

A statement is in `?query=`, in the body, or in both (the body follows it); what else is in the query string and is no
parameter of the interface is a setting of the engine. An error is `Code: N. DB::Exception: ...` with an HTTP status.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import tempfile
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, cast
from urllib.parse import parse_qsl

import orjson

from results.stores.embedded.encodings import Decoder
from results.stores.embedded.engine import Answer, Engine, Request
from results.stores.embedded.failures import (
    ACCESS_DENIED,
    AUTHENTICATION_FAILED,
    BODY_TOO_LARGE,
    NOT_IMPLEMENTED,
    StatementFailed,
    refused,
)
from results.stores.embedded.statements import HEAD_BYTES_MAX, insert_head

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Named by the interface itself; the rest of the query string goes to the engine as settings.
INTERFACE_PARAMETERS = frozenset(
    ["query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace"]
    + ["session_id", "session_timeout", "session_check"]
    + ["wait_end_of_query", "buffer_size", "compress", "decompress", "client_protocol_version"]
)
PARAMETER_PREFIX = "param_"
STATEMENTS_AT_ONCE = 2  # a long question must not hold up an INSERT; more would only compete for memory
MEMORY_BYTES_MAX = 4 << 20  # of one body; what is longer waits in a file
BODY_BYTES_MAX = 1 << 30
TEXT_BYTES_MAX = 64 << 20  # of a statement that the engine's parser gets whole
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


class ClientGone(Exception):
    """The connection was cut before the body was complete: nothing is run, nobody is answered."""


class Interface:
    """The ASGI application over one engine. `password` empty: nobody is asked for one."""

    def __init__(self, engine: Engine, password: str = "") -> None:
        self._engine = engine
        self._password = password
        self._threads = ThreadPoolExecutor(STATEMENTS_AT_ONCE, thread_name_prefix="statement")
        self._statements: set[Future[Answer]] = set()

    def close(self) -> bool:
        """Drop the statements that wait. Returns whether none runs any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        return not any(statement.running() for statement in self._statements)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        arguments = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        query_id = arguments.get("query_id") or str(uuid.uuid4())
        try:
            self._check_caller(headers, arguments)
            if scope["path"] == "/ping" or (scope["method"] == "GET" and "query" not in arguments):
                await _send(send, 200, {}, b"Ok.\n")
                return
            answer = await self._answer(scope["method"], headers, arguments, receive)
        except ClientGone:
            return
        except StatementFailed as error:
            extra = {"x-clickhouse-exception-code": str(error.code), "x-clickhouse-query-id": query_id}
            await _send(send, error.status, extra, error.text.encode())
            return
        await _send(send, 200, {"x-clickhouse-query-id": query_id, **_answer_headers(answer)}, answer.body)

    def _check_caller(self, headers: dict[str, str], arguments: dict[str, str]) -> None:
        """Only programs of this machine: a browser says where a page came from, and by which name it looked us up."""
        host = headers.get("host", "127.0.0.1").rsplit(":", 1)[0]
        if "origin" in headers or "sec-fetch-site" in headers or host not in LOCAL_HOSTS:
            raise refused(ACCESS_DENIED, "Requests of web pages are not answered", "ACCESS_DENIED")
        given = _password_given(headers, arguments)
        if self._password and not hmac.compare_digest(given.encode(), self._password.encode()):
            raise refused(AUTHENTICATION_FAILED, "Authentication failed: wrong password", "AUTHENTICATION_FAILED")

    async def _answer(
        self, method: str, headers: dict[str, str], arguments: dict[str, str], receive: Receive
    ) -> Answer:
        if headers.get("content-type", "").startswith("multipart/"):
            raise refused(NOT_IMPLEMENTED, "Forms and external data are not supported", "NOT_IMPLEMENTED")
        decoder = Decoder(headers.get("content-encoding", ""))
        with tempfile.SpooledTemporaryFile(MEMORY_BYTES_MAX, dir=str(self._engine.incoming)) as spool:
            body = cast("IO[bytes]", spool)
            await _receive_body(receive, decoder, body)
            request = _request_of(arguments, body)
            if method == "GET":
                request.settings["readonly"] = "2"
            statement = self._threads.submit(self._engine.execute, request)
            self._statements.add(statement)
            statement.add_done_callback(self._statements.discard)
            return await asyncio.wrap_future(statement)


async def _receive_body(receive: Receive, decoder: Decoder, body: IO[bytes]) -> None:
    """Everything that the client sends, decoded, into `body`, which is left at its beginning."""
    came = False
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        came = came or bool(piece)
        body.write(decoder.feed(piece))
        if body.tell() > BODY_BYTES_MAX:
            raise refused(BODY_TOO_LARGE, f"A body has at most {BODY_BYTES_MAX} bytes", "BODY_TOO_LARGE")
        if not message.get("more_body", False):
            break
    decoder.close(came)
    body.seek(0)


def _request_of(arguments: dict[str, str], body: IO[bytes]) -> Request:
    """The statement, its settings and parameters; `body` stands where an INSERT's bytes begin."""
    statement = arguments.get("query", "")
    request = Request(
        statement,
        {name.removeprefix(PARAMETER_PREFIX): arguments[name] for name in arguments if _is_parameter(name)},
        {name: arguments[name] for name in arguments if _is_setting(name)},
        arguments.get("database", ""),
        arguments.get("default_format", "TabSeparated"),
    )
    start = statement.encode() or body.read(HEAD_BYTES_MAX)
    head = insert_head(start)
    if head is not None and (not statement or head.length_bytes == len(start)):
        body.seek(0 if statement else head.length_bytes)
        request.insert, request.body = head, body
        return request
    body.seek(0)
    text = body.read(TEXT_BYTES_MAX + 1)
    if len(text) > TEXT_BYTES_MAX:
        raise refused(BODY_TOO_LARGE, f"A statement has at most {TEXT_BYTES_MAX} bytes", "BODY_TOO_LARGE")
    request.statement = "\n".join(part for part in (statement, text.decode(errors="surrogateescape")) if part)
    return request


def _is_parameter(name: str) -> bool:
    return name.startswith(PARAMETER_PREFIX)


def _is_setting(name: str) -> bool:
    return not _is_parameter(name) and name not in INTERFACE_PARAMETERS


def _password_given(headers: dict[str, str], arguments: dict[str, str]) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return headers.get("x-clickhouse-key") or arguments.get("password", "")


def _answer_headers(answer: Answer) -> dict[str, str]:
    summary = {"x-clickhouse-summary": orjson.dumps(answer.summary).decode(), "x-clickhouse-timezone": "UTC"}
    return summary if answer.format is None else {**summary, "x-clickhouse-format": answer.format}


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    fields = {"content-type": "text/plain; charset=UTF-8", "content-length": str(len(body)), **headers}
    pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
