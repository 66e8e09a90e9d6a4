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
from asyncio import Future
from collections.abc import Callable
from concurrent.futures import Future as Statement
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import IO, Any, cast
from urllib.parse import parse_qsl

from results.stores.embedded.encodings import Decoder
from results.stores.embedded.engine import STREAMED, Answer, Engine, Request
from results.stores.embedded.failures import (
    ACCESS_DENIED,
    AUTHENTICATION_FAILED,
    BODY_TOO_LARGE,
    NOT_IMPLEMENTED,
    StatementFailed,
    refused,
)
from results.stores.embedded.forms import form_fields
from results.stores.embedded.replies import Message, Receive, Reply, Send, send_whole
from results.stores.embedded.statements import HEAD_BYTES_MAX, insert_head

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
DROPPED_WITH_CLIENT = "cancel_http_readonly_queries_on_client_close"
YES = frozenset({"1", "true"})
KILL_AGAIN_SECONDS = 0.2
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


class ClientGone(Exception):
    """The connection was cut before the body was complete: nothing is run, nobody is answered."""


class Interface:
    """The ASGI application over one engine. `password` empty: nobody is asked for one."""

    def __init__(self, engine: Engine, password: str = "") -> None:
        self._engine = engine
        self._password = password
        self._threads = ThreadPoolExecutor(STATEMENTS_AT_ONCE, thread_name_prefix="statement")
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="killer")
        self._statements: set[Statement] = set()

    def close(self) -> bool:
        """Drop the statements that wait. Returns whether none runs any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._killer.shutdown(wait=False, cancel_futures=True)
        return not any(statement.running() for statement in self._statements)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        arguments = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        query_id = arguments.get("query_id") or str(uuid.uuid4())
        try:
            self._check_caller(headers, arguments)
            if scope["path"] == "/ping" or (scope["method"] == "GET" and "query" not in arguments):
                await send_whole(send, 200, {}, b"Ok.\n")
                return
            await self._answer(scope["method"], headers, arguments, receive, Reply(send, query_id, headers, arguments))
        except ClientGone:
            return
        except StatementFailed as error:
            extra = {"x-clickhouse-exception-code": str(error.code), "x-clickhouse-query-id": query_id}
            await send_whole(send, error.status, extra, error.text.encode())

    def _check_caller(self, headers: dict[str, str], arguments: dict[str, str]) -> None:
        """Only programs of this machine: a browser says where a page came from, and by which name it looked us up."""
        host = headers.get("host", "127.0.0.1").rsplit(":", 1)[0]
        if "origin" in headers or "sec-fetch-site" in headers or host not in LOCAL_HOSTS:
            raise refused(ACCESS_DENIED, "Requests of web pages are not answered", "ACCESS_DENIED")
        given = _password_given(headers, arguments)
        if self._password and not hmac.compare_digest(given.encode(), self._password.encode()):
            raise refused(AUTHENTICATION_FAILED, "Authentication failed: wrong password", "AUTHENTICATION_FAILED")

    async def _answer(
        self, method: str, headers: dict[str, str], arguments: dict[str, str], receive: Receive, reply: Reply
    ) -> None:
        decoder = Decoder(headers.get("content-encoding", ""))
        with tempfile.SpooledTemporaryFile(MEMORY_BYTES_MAX, dir=str(self._engine.incoming)) as spool:
            body = cast("IO[bytes]", spool)
            await _receive_body(receive, decoder, body)
            request = _request_of({**arguments, **_form_of(headers, body)}, body)
            request.tag = str(uuid.uuid4())
            if method == "GET":
                request.settings["readonly"] = "2"
            gone = asyncio.ensure_future(_left(receive)) if _is_dropped_with_its_client(request) else None
            try:
                if request.answer_format in STREAMED and arguments.get("wait_end_of_query") not in YES:
                    await self._stream(request, reply, gone)
                else:
                    await reply.whole(await self._run(partial(self._engine.execute, request), request, gone))
            finally:
                if gone is not None:
                    gone.cancel()

    async def _stream(self, request: Request, reply: Reply, gone: Future[None] | None) -> None:
        """Send rows as they come. What is only one piece is sent whole; an error before that is an ordinary one."""
        pieces = self._engine.stream(request)
        take = partial(self._run, partial(next, pieces, None), request, gone)
        try:
            piece = await take() or Answer(b"", request.answer_format, {})
            following = await take()
            if following is None:
                await reply.whole(piece)
                return
            while piece is not None:
                await reply.piece(piece)
                piece, following = following, await take() if following else None
            await reply.end()
        except StatementFailed as error:
            if not reply.has_begun:
                raise
            await reply.broken(error)
        finally:
            await self._run(pieces.close, request, None)

    async def _run(self, do: Callable[[], Any], request: Request, gone: Future[None] | None) -> Any:
        """Do it in a thread. When the client leaves meanwhile, the statement is killed, and ClientGone raised."""
        statement = self._threads.submit(do)
        self._statements.add(statement)
        statement.add_done_callback(self._statements.discard)
        answer = asyncio.wrap_future(statement)
        if gone is not None:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                await self._end(statement, answer, request)
                raise ClientGone
        return await answer

    async def _end(self, statement: Statement, answer: Future[Any], request: Request) -> None:
        """Kill the statement, again and again because it may not run yet, and wait for its end."""
        statement.cancel()
        while not answer.done():
            await asyncio.get_running_loop().run_in_executor(self._killer, self._engine.kill, request.tag)
            await asyncio.wait({answer}, timeout=KILL_AGAIN_SECONDS)
        if not answer.cancelled():
            answer.exception()  # nobody is there to be told


async def _left(receive: Receive) -> None:
    """Return when the client has left, after its body was received."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_dropped_with_its_client(request: Request) -> bool:
    """Only a statement that reads, and only when its client says so, as clickhouse-connect does."""
    return request.answer_format is not None and request.settings.get(DROPPED_WITH_CLIENT) in YES


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


def _form_of(headers: dict[str, str], body: IO[bytes]) -> dict[str, str]:
    """The fields of a body that is a form, which is then empty; none of any other body."""
    content_type = headers.get("content-type", "")
    if not content_type.startswith("multipart/"):
        return {}
    form = _text_of(body)
    body.seek(0)
    body.truncate()
    return form_fields(content_type, form)


def _text_of(body: IO[bytes]) -> bytes:
    body.seek(0)
    text = body.read(TEXT_BYTES_MAX + 1)
    if len(text) > TEXT_BYTES_MAX:
        raise refused(BODY_TOO_LARGE, f"A statement has at most {TEXT_BYTES_MAX} bytes", "BODY_TOO_LARGE")
    return text


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
    text = _text_of(body)
    try:
        request.statement = "\n".join(part for part in (statement, text.decode()) if part)
    except UnicodeDecodeError:
        raise refused(NOT_IMPLEMENTED, "A statement is UTF-8; bytes go into an INSERT", "NOT_IMPLEMENTED") from None
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
