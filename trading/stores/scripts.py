"""The Lua scripts beside this module: one per file, sent once, then called by their digest.

A Redis that forgot a script (it restarted, or SCRIPT FLUSH) answers NOSCRIPT; the client then sends it again.
A script of many strings takes them in one argument, a MessagePack list: it costs both sides less in one piece.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

FOLDER = Path(__file__).parent / "lua"
ALL_TEXT = frozenset({str})


@functools.cache
def script_text(name: str) -> str:
    """The Lua of `lua/<name>.lua`."""
    return (FOLDER / f"{name}.lua").read_text()


class Script:
    """A script bound to a client. Calling it returns Redis's answer, bytes as bytes."""

    def __init__(self, client: Redis, name: str) -> None:
        self._client = client
        self._text = script_text(name)
        self._digest = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: list[str], arguments: list[Any]) -> Any:
        call = ("EVALSHA", self._digest, len(keys), *keys, *arguments)
        try:
            return _answer(self._client, call)
        except NoScriptError:
            self._client.script_load(self._text)
            return _answer(self._client, call)


def _answer(client: Redis, call: tuple[Any, ...]) -> Any:
    """The answer to a call. A client that keeps one connection is asked over it, with its retries: what redis-py does
    besides for any command takes about as long as sealing a row."""
    connection: Any = client.connection
    if connection is None:
        return client.execute_command(*call)

    def ask() -> Any:
        connection.send_command(*call)
        return connection.read_response()

    with client.single_connection_lock:
        try:
            return connection.retry.call_with_retry(ask, lambda _error: connection.disconnect())
        except ResponseError:
            raise
        except BaseException:  # an answer may still come, and the next call must not take it for its own
            connection.disconnect()
            raise


def flat(fields: Mapping[Any, Any]) -> list[Any]:
    """Field, value, field, value, ..."""
    return list(chain.from_iterable(fields.items()))


def texts(values: Iterable[Any]) -> list[Any]:
    """Strings, bytes and numbers as a MessagePack list gives them to Lua, each as Redis has it. Raises TypeError."""
    given = list(values)
    return given if ALL_TEXT.issuperset(map(type, given)) else list(map(_text, given))


def _text(value: Any) -> str | msgspec.Raw:
    """Bytes go under the mark of a text, the only one that Redis's MessagePack knows, and numbers as text, because Lua
    would round them beyond 2^53."""
    if type(value) is str:
        return value
    if isinstance(value, bytes):
        return msgspec.Raw(b"\xdb" + len(value).to_bytes(4, "big") + value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    raise TypeError(f"a script takes strings and numbers, not {value!r}")
