"""The Lua scripts beside this module: one per file, sent once, then called by their digest.

A Redis that forgot a script (it restarted, or SCRIPT FLUSH) answers NOSCRIPT; the client then sends it again.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from redis import Redis

FOLDER = Path(__file__).parent / "lua"


@functools.cache
def script_text(name: str) -> str:
    """The Lua of `lua/<name>.lua`."""
    return (FOLDER / f"{name}.lua").read_text()


class Script:
    """A script bound to a client. Calling it returns Redis's answer, bytes as bytes."""

    def __init__(self, client: Redis, name: str) -> None:
        self._registered = client.register_script(script_text(name))

    def __call__(self, keys: list[str], arguments: list[Any]) -> Any:
        return self._registered(keys=keys, args=arguments)
