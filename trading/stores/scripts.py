"""The Lua scripts beside this module: one per file, sent once, then called by their digest.

A Redis that forgot a script (it restarted, or SCRIPT FLUSH) answers NOSCRIPT; the client then sends it again.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError

FOLDER = Path(__file__).parent / "lua"


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
            return self._client.execute_command(*call)
        except NoScriptError:
            self._client.script_load(self._text)
            return self._client.execute_command(*call)
