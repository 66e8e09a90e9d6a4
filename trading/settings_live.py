"""Whether a row of settings is in force: what is stored, compared with what the engine says that it runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from redis import Redis

from trading.settings_models import SettingsModel, Strategy
from trading.stores.desk_store import DeskStore, InForce
from trading.stores.errors import RedisAway, StoreError

State = Literal["live", "off", "waits", "not yet", "elsewhere", "unknown"]


class Standing(msgspec.Struct, frozen=True):
    """How a row stands. `since_us` for what is in force, `sentence` for what a person should know besides."""

    state: State
    since_us: int | None = None
    sentence: str = ""


def in_force_now(connect: Callable[[], Redis]) -> tuple[Mapping[str, InForce], str]:
    """What each running engine runs on, by shard, and a sentence when nobody can tell."""
    try:
        told = DeskStore(connect()).in_force()
    except RedisAway:
        return {}, "Redis does not answer"
    except StoreError as error:
        return {}, str(error)
    return told, "" if told else "no engine runs"


def standing_of(row: SettingsModel, told: Mapping[str, InForce], trouble: str) -> Standing:
    """How the row stands with these engines."""
    if not told:
        return Standing("unknown", sentence=trouble)
    key = f"{row._meta.verbose_name} {row.pk}"
    source = next((each.source for each in told.values() if each.source), "")
    if source:
        return Standing("elsewhere", sentence=f"the engine runs on the settings of {source}")
    waiting = [sentence for each in told.values() for sentence in _waiting(each.waiting, key)]
    if waiting:
        return Standing("waits", sentence=waiting[0])
    if any(each.version < row.settings_version for each in told.values()):
        return Standing("not yet", sentence="a running engine takes it in within 3 s")
    since_us = max((each.since_us.get(key, each.at_us) for each in told.values()), default=None)
    is_off = isinstance(row, Strategy) and not row.enabled
    return Standing("off" if is_off else "live", since_us)


def _waiting(waiting: Mapping[str, str], key: str) -> list[str]:
    return [sentence for name, sentence in waiting.items() if name in (key, "desk")]


def as_json(standing: Standing) -> dict[str, Any]:
    """The standing for the API: `state`, `since_us`, `sentence`."""
    return msgspec.structs.asdict(standing)
